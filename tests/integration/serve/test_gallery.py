"""The gallery's routes: images, thumbnails, spending, trash, reruns."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from PIL import Image
from tests.integration.serve.running import GENERATIONS, Running, until

from imagen.adapters.database.connection import FILE
from imagen.bootstrap.runtime import Runtime
from imagen.domain.history import HistoryEntry
from imagen.domain.sidecar import Reference, read_sidecar
from imagen.settings.environment import Environment

IMAGES = "/gallery/api/images"
JOBS = "/gallery/api/jobs"
ASKED = {"prompt": "a fox", "size": "64x48"}


def make(client: httpx.Client, prompt: str, **fields: object) -> str:
    asked = {"prompt": prompt, "size": "64x48", "response_format": "url", **fields}
    answer = client.post(GENERATIONS, json=asked)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"][0]["id"])


def rerun(client: httpx.Client, image_id: str, **fields: object) -> Any:
    """Start a job that makes an image again, and return the job when it has ended."""
    path = f"{IMAGES}/{image_id}/again"
    started = client.post(path, json=fields, headers={"Idempotency-Key": str(uuid4())})
    assert started.status_code == 202, started.text
    return wait_for(client, started.json()["id"])


def wait_for(client: httpx.Client, job_id: str) -> Any:
    """Return a job of the gallery when it has ended."""

    def find() -> Any:
        [job] = [each for each in client.get(JOBS).json() if each["id"] == job_id]
        return job if job["status"] not in {"queued", "running"} else None

    until(find)
    return find()


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def test_images_are_listed_in_pages_the_newest_first(shop: Running) -> None:
    with shop.client() as client:
        made = [make(client, f"fox {number}") for number in range(5)]

        first = client.get(IMAGES, params={"limit": 2}).json()
        second = client.get(IMAGES, params={"limit": 2, "before": first["next"]}).json()
        third = client.get(IMAGES, params={"limit": 2, "before": second["next"]}).json()

    found = [each["id"] for page in (first, second, third) for each in page["images"]]
    assert found == made[::-1]
    assert third["next"] is None
    assert first["images"][0]["prompt"] == "fox 4"
    assert (first["images"][0]["width"], first["images"][0]["height"]) == (64, 48)


def test_images_can_be_searched_and_filtered(shop: Running) -> None:
    with shop.client() as client:
        fox = make(client, "a red fox in the snow")
        owl = make(client, "an OWL at night", model="paid")

        def found(**query: str) -> list[str]:
            answer = client.get(IMAGES, params=query)
            assert answer.status_code == 200, answer.text
            return [each["id"] for each in answer.json()["images"]]

        week = client.get("/gallery/api/counts").json()["week"]
        assert found(words="owl") == found(backend="paid") == [owl]
        assert found(words="snow fox") == found(backend="mock") == [fox]
        assert found(words="SNÖW") == [fox]
        assert found(model="mock") == found(week=next(iter(week))) == [owl, fox]
        assert found(week="2001-W01") == found(caller="ann") == []


@pytest.mark.parametrize(
    "query",
    [
        "before=x",
        "before=2026-01-01T00:00:00~1",
        f"before=0001-01-01T00:00:00%2B23:59~{'a' * 36}",
        "week=2026-W99",
        "week=now",
    ],
)
def test_an_invalid_query_is_400(server: Running, query: str) -> None:
    with server.client() as client:
        answer = client.get(f"{IMAGES}?{query}")

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == query.partition("=")[0]


def test_details_have_all_parameters_and_no_path(shop: Running) -> None:
    with shop.client() as client:
        image_id = make(client, "a fox", seed=2**63)
        said = client.get(f"{IMAGES}/{image_id}")

    found = said.json()
    assert found["sidecar"]["prompt"] == "a fox"
    assert found["seed"] == str(2**63)
    assert f"--seed {2**63} 'a fox'" in found["recipe"]["command"]
    assert found["name"].endswith(".png")
    assert str(shop.images) not in said.text


def test_a_file_supports_ranges_and_etags(shop: Running) -> None:
    with shop.client() as client:
        image_id = make(client, "a fox")
        path = f"{IMAGES}/{image_id}/file"
        whole = client.get(path)
        part = client.get(path, headers={"Range": "bytes=5-9"})
        last = client.get(path, headers={"Range": "bytes=-4"})
        none = client.get(path, headers={"Range": "bytes=99999999-"})
        long = client.get(path, headers={"Range": f"bytes={'9' * 5000}-"})
        again = client.get(path, headers={"If-None-Match": whole.headers["etag"]})

    [file] = shop.stored
    assert whole.content == file.read_bytes()
    assert "sandbox" in whole.headers["content-security-policy"]
    assert (part.status_code, part.content) == (206, whole.content[5:10])
    assert (last.status_code, last.content) == (206, whole.content[-4:])
    assert (none.status_code, again.status_code) == (416, 304)
    assert (long.status_code, long.content) == (200, whole.content)


def test_a_thumbnail_is_small_and_created_once(shop: Running) -> None:
    with shop.client() as client:
        image_id = make(client, "a fox", size="1200x600")
        path = f"{IMAGES}/{image_id}/thumbnail"
        small = client.get(path)
        [file] = shop.stored
        file.unlink()
        kept = client.get(path)

    with Image.open(BytesIO(small.content)) as image:
        assert (image.format, image.size) == ("WEBP", (512, 256))
    assert "immutable" in small.headers["cache-control"]
    assert kept.content == small.content


def test_an_svg_is_its_own_thumbnail_and_cannot_run_scripts(server: Running) -> None:
    with server.client() as client:
        asked = {"prompt": "a drawing", "model": "probe", "response_format": "url"}
        [made] = client.post(GENERATIONS, json=asked).json()["data"]
        urls = [f"{IMAGES}/{made['id']}/{name}" for name in ("file", "thumbnail")]
        answers = [client.get(url) for url in (*urls, made["url"])]

    assert made["mime_type"] == "image/svg+xml"
    for answer in answers:
        assert answer.headers["content-type"] == "image/svg+xml"
        assert b"<script>" in answer.content
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "script-src" not in answer.headers["content-security-policy"]
    assert [answer.headers.get("content-disposition") for answer in answers[:2]] == [
        "attachment"
    ] * 2


def test_a_missing_or_replaced_file_is_410(shop: Running) -> None:
    with shop.client() as client:
        image_id = make(client, "a fox")
        [file] = shop.stored
        file.write_bytes(b"another picture")
        other = client.get(f"{IMAGES}/{image_id}/file")
        file.unlink()
        gone = client.get(f"{IMAGES}/{image_id}/thumbnail")
        said = client.get(f"{IMAGES}/{image_id}").json()
        [tile] = client.get(IMAGES).json()["images"]

    assert (other.status_code, gone.status_code) == (410, 410)
    assert said["missing"] is tile["missing"] is True


def pipe(file: Path) -> None:
    os.mkfifo(file)


def endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


def vast(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(2**40)


@pytest.mark.parametrize("put", [pipe, endless, vast])
def test_pipes_devices_and_huge_files_are_not_read(
    shop: Running, put: Callable[[Path], None]
) -> None:
    with shop.client() as client:
        answer = client.post(GENERATIONS, json={**ASKED, "response_format": "url"})
        [image] = answer.json()["data"]
        path = f"{IMAGES}/{image['id']}"
        [file] = shop.stored
        file.unlink()
        put(file)

        assert client.get(image["url"]).status_code == 404
        assert client.get(f"{path}/file").status_code == 410
        assert client.get(f"{path}/thumbnail").status_code == 410
        assert client.post(f"{path}/again/estimate", json={}).status_code == 200


@pytest.mark.parametrize("what", ["", "/file", "/thumbnail"])
def test_an_unknown_image_is_404(server: Running, what: str) -> None:
    for image_id in ("0" * 36, "last", "..%2F..%2Fetc", "x" * 400, "%00"):
        answer = server.http.get(f"{IMAGES}/{image_id}{what}")
        assert answer.status_code == 404, image_id


def test_a_deleted_image_can_be_restored(shop: Running) -> None:
    with shop.client() as client:
        image_id = make(client, "a fox")
        [file] = shop.stored
        note = file.with_name(f"{file.name}.json")
        before = (file.read_bytes(), note.read_bytes())

        thrown = client.delete(f"{IMAGES}/{image_id}")

        assert (thrown.status_code, thrown.json()["can_undo"]) == (200, True)
        assert not file.exists()
        assert not note.exists()
        assert client.get(IMAGES).json()["images"] == []
        assert client.delete(f"{IMAGES}/{image_id}").status_code == 404

        back = client.post(f"{IMAGES}/{image_id}/undo")

        assert (back.status_code, back.json()["id"]) == (200, image_id)
        assert (file.read_bytes(), note.read_bytes()) == before
        [tile] = client.get(IMAGES).json()["images"]
        assert tile == back.json()
        assert client.post(f"{IMAGES}/{image_id}/undo").status_code == 400


def test_a_damaged_history_row_hides_no_other_and_can_be_deleted(shop: Running) -> None:
    with shop.client() as client:
        fox, owl = make(client, "a fox"), make(client, "an owl")
        with closing(sqlite3.connect(shop.account / FILE)) as history, history:
            history.execute(
                "UPDATE images SET document = "
                "json_replace(document, '$.sidecar.width', 'wide') WHERE id = ?",
                [owl],
            )

        listed = [client.get(IMAGES).json()["images"] for _ in range(2)]
        one = client.get(f"{IMAGES}/{owl}")
        thrown = client.delete(f"{IMAGES}/{owl}")
        again = client.delete(f"{IMAGES}/{owl}")

    assert [[each["id"] for each in images] for images in listed] == [[fox], [fox]]
    assert one.status_code == 500
    assert (thrown.status_code, thrown.json()["can_undo"]) == (200, False)
    assert again.status_code == 404
    assert len(shop.stored) == 2
    assert shop.log.read_text().count(f"'{owl}' is skipped in the history") == 1


def test_restoring_does_not_overwrite_a_new_file(shop: Running) -> None:
    with shop.client() as client:
        image_id = make(client, "a fox")
        [file] = shop.stored
        client.delete(f"{IMAGES}/{image_id}")
        file.write_bytes(b"another file")

        refused = client.post(f"{IMAGES}/{image_id}/undo")

        assert refused.status_code >= 400
        said = refused.json()["error"]["message"]
        assert said == "The file cannot be moved: another file has its name."
        assert file.read_bytes() == b"another file"
        file.unlink()
        assert client.post(f"{IMAGES}/{image_id}/undo").status_code == 200


def test_deleting_keeps_a_file_that_replaced_the_image(shop: Running) -> None:
    with shop.client() as client:
        image_id = make(client, "a fox")
        [file] = shop.stored
        file.write_bytes(b"another file")

        thrown = client.delete(f"{IMAGES}/{image_id}").json()

    assert thrown["can_undo"] is False
    assert file.read_bytes() == b"another file"


def test_a_rerun_uses_the_same_or_a_new_seed(shop: Running) -> None:
    with shop.client() as client:
        image_id = make(client, "a fox", seed=7, model="paid")
        path = f"{IMAGES}/{image_id}/again"
        cost = client.post(f"{path}/estimate", json={}).json()["cost_usd"]
        [same] = rerun(client, image_id, seed="same")["images"]
        [new] = rerun(client, image_id, seed="new")["images"]
        seeds = [
            client.get(f"{IMAGES}/{image['id']}").json()["seed"]
            for image in (same, new)
        ]

    assert cost == same["cost_usd"] == 0.04
    assert seeds[0] == "7" != seeds[1]
    assert len(shop.stored) == 3
    assert len({pixels(path) for path in shop.stored}) == 2


def test_a_rerun_does_not_reveal_the_path_of_the_original(shop: Running) -> None:
    with shop.client() as client:
        image_id, other = make(client, "a fox"), make(client, "an owl")
        [file] = [path for path in shop.stored if "fox" in path.name]
        [owl] = [path for path in shop.stored if "owl" in path.name]
        note = json.loads(file.with_name(f"{file.name}.json").read_bytes())
        file.write_bytes(owl.read_bytes())

        job = rerun(client, image_id)

    assert (note["id"], image_id != other) == (image_id, True)
    assert any("is not the file that its" in each for each in job["warnings"])
    assert str(shop.images) not in json.dumps(job)
    for sidecar in shop.images.glob("*.json"):
        assert str(shop.images) not in sidecar.read_text()


def test_a_failed_rerun_has_no_hints_about_the_command_line(shop: Running) -> None:
    with shop.client() as client:
        make(client, "a fox")
        [file] = shop.stored
        note = read_sidecar(file.with_name(f"{file.name}.json").read_bytes())
        edited = msgspec.structs.replace(
            note,
            id=note.id[:-4] + "0000",
            references=(Reference(name="upload.png", sha256="0" * 64),),
            applied={**note.applied, "images": ["upload.png"]},
        )
        entry = HistoryEntry(location=str(file.with_name("gone.png")), sidecar=edited)
        environment = Environment({"IMAGEN_DATA_DIR": str(shop.account)})
        with Runtime(environment) as runtime:
            runtime.stores.history.add([entry])
        path = f"{IMAGES}/{edited.id}/again"
        key = {"Idempotency-Key": "again"}
        answers = [
            client.post(f"{path}{what}", json={}, headers=key)
            for what in ("", "/estimate")
        ]

    for answer in answers:
        assert answer.status_code == 400
        said = answer.json()["error"]["message"]
        assert said.startswith("The image was made from upload.png (sha256 ")
        assert said.endswith("no file with that content was found.")


def test_an_estimate_has_the_cost_and_reserves_no_budget(shop: Running) -> None:
    with shop.client() as client:
        asked = {"prompt": "a fox", "n": 3, "model": "paid"}
        said = client.post("/gallery/api/estimate", json=asked).json()
        [budget] = client.get("/gallery/api/budgets").json()

    assert (said["images"], said["cost_usd"], said["may_cost"]) == (3, 0.12, True)
    assert (budget["usd"], budget["taken_usd"]) == (1, 0)
    assert shop.stored == []


def test_spending_is_summed_by_week_and_budgets_have_the_rest(
    shop: Running,
) -> None:
    with shop.client() as client:
        for _ in range(2):
            make(client, "a fox", model="paid")
        said = client.get("/gallery/api/spending", params={"by": "backend"}).json()
        [budget] = client.get("/gallery/api/budgets").json()
        wrong = client.get("/gallery/api/spending", params={"by": "prompt"})

    [row] = said["rows"]
    assert (row["name"], row["usd"], row["calls"]) == ("paid", 0.08, 2)
    assert (budget["taken_usd"], budget["left_usd"]) == (0.08, 0.92)
    assert wrong.status_code == 400


def test_the_page_runs_only_its_own_scripts(server: Running) -> None:
    with server.client() as client:
        page = client.get("/")
        again = client.get("/", headers={"If-None-Match": page.headers["etag"]})

    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in page.text
    assert again.status_code == 304
