"""What a person does with the shared ledger and the copies."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image
from supabase import Client, ClientOptions, create_client
from tests.integration.supabase.machine import Machine, nobody
from tests.integration.supabase.pending import add_pending_file
from tests.integration.supabase.project import SupabaseProject
from tests.integration.supabase.rows import BUCKET


@pytest.fixture
def machine(project: SupabaseProject, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine", project)


@pytest.fixture
def drawn(machine: Machine) -> Machine:
    """With two images, which have their copies."""
    for number, animal in enumerate(("fox", "hen"), 1):
        words = ("-o", f"{animal}.png", "--seed", str(number))
        machine.generate(f"a {animal}", *words, MAI_FROM_ID=animal)
    assert machine.run("sync").code == 0
    return machine


def calls(said: list[dict[str, object]]) -> list[object]:
    return [each["calls"] for each in said]


def sidecar(image: Path) -> object:
    """Return what lies beside an image; PostgreSQL's jsonb has an order of its own."""
    return json.loads(image.with_name(f"{image.name}.json").read_bytes())


# imagen usage


def test_usage_is_that_of_all_machines(drawn: Machine) -> None:
    another = drawn.another("another")
    another.generate("an owl", "--no-cloud", MAI_FROM_ID="owl")

    assert another.run("sync").code == 0
    groups = drawn.run("usage", "--by", "caller", "--json")
    assert [(each["caller"], each["calls"]) for each in groups.objects] == [
        ("fox", 1),
        ("hen", 1),
        ("owl", 1),
    ]
    assert groups.err == ""
    table = drawn.run("usage")
    assert "$0.15" in table.out.splitlines()[-1]
    assert len(drawn.run("usage", "--raw").out.splitlines()) == 4
    raw = drawn.run("usage", "--raw", "--json")
    assert [each["caller"] for each in raw.objects] == ["owl", "hen", "fox"]
    mine = drawn.run("usage", "--local", "--by", "caller", "--json")
    assert [each["caller"] for each in mine.objects] == ["fox", "hen"]


def test_usage_delivers_pending_rows_first(machine: Machine) -> None:
    machine.project.kill("gateway")
    machine.generate()
    machine.project.heal()

    said = machine.run("usage", "--json")

    assert (said.code, calls(said.objects), said.err) == (0, [1], "")
    assert machine.pending[0] == 0


@pytest.mark.parametrize("words", [("--json",), ("--raw", "--json")])
def test_usage_adds_undelivered_rows_and_reports_them(
    words: tuple[str, ...], drawn: Machine
) -> None:
    drawn.project.trouble("/rest/v1/imagen_usage", method="POST", status=503)
    drawn.generate("an owl", "--no-cloud")

    said = drawn.run("usage", *words)

    assert said.code == 0
    assert sum(each.get("calls", 1) for each in said.objects) == 3
    assert "usage: 127.0.0.1" in said.err
    assert "is not available" in said.err
    included = "Included 1 row of this machine, $0.05, not yet in the shared ledger"
    assert included in said.err


def test_usage_of_a_ledger_that_is_away(drawn: Machine) -> None:
    drawn.project.kill("gateway")

    said = drawn.run("usage")
    mine = drawn.run("usage", "--local", "--json")

    assert (said.code, said.out) == (3, "")
    assert "was not reached" in said.err
    assert (mine.code, calls(mine.objects)) == (0, [1, 1])


def test_usage_is_never_cut(machine: Machine) -> None:
    machine.project.sql(
        "insert into mai.imagen_usage "
        "select gen_random_uuid(), now() - n * interval '1 s', 'caller-' || n, 'flux', "
        "'mock', '', 'ok', 1, 1, 0.001, 'reported', repeat('0', 64) "
        "from generate_series(1, 2500) as n"
    )

    groups = machine.run("usage", "--by", "caller", "--json")
    raw = machine.run("usage", "--raw", "--json")

    assert len(groups.objects) == 2500
    assert len({each["id"] for each in raw.objects}) == 2500
    assert [each["created_at"] for each in raw.objects] == sorted(
        (each["created_at"] for each in raw.objects), reverse=True
    )


# imagen history --cloud, imagen fetch


def test_history_lists_the_copies_wherever_they_were_made(drawn: Machine) -> None:
    another = drawn.another("another")

    listed = another.run("history", "--cloud", "--json")

    assert [each["prompt"] for each in listed.objects] == ["a hen", "a fox"]
    assert len(another.run("history", "--cloud", "--limit", "1").out.splitlines()) == 1
    assert "a fox" in another.run("history", "--cloud").out
    assert another.run("history", "--json").out == ""


def test_fetch_brings_back_the_file_and_its_sidecar(drawn: Machine) -> None:
    another = drawn.another("another")
    [hen, fox] = drawn.run("history", "--json").objects

    got = another.run("fetch", fox["id"], "-o", "back.png")

    assert (got.code, got.out, got.err) == (0, "back.png\n", "")
    back, mine = another.folder / "back.png", drawn.folder / "fox.png"
    assert back.read_bytes() == mine.read_bytes()
    assert sidecar(back) == sidecar(mine)
    last = another.run("fetch", "last", "-o", "-")
    assert last.bytes == (drawn.folder / "hen.png").read_bytes()
    noted = another.run("fetch", hen["id"], "--json", "-o", "deep/")
    assert noted.objects[0]["id"] == hen["id"]
    assert Path(another.folder, noted.objects[0]["path"]).exists()
    assert [each["id"] for each in another.run("history", "--json").objects] == [
        hen["id"],
        fox["id"],
    ]
    assert another.pending == [0, 0]


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def avif() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "AVIF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "media_type", "extension"),
    [
        (SVG, "image/svg+xml", "svg"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n" + SVG, "image/svg+xml", "svg"),
        (avif(), "image/avif", "avif"),
    ],
)
def test_a_file_that_is_never_converted_has_its_copy_byte_for_byte(
    machine: Machine, content: bytes, media_type: str, extension: str
) -> None:
    add_pending_file(machine, content, media_type)

    synced = machine.run("sync")
    fetched = machine.another("another").run("fetch", "last", "-o", "back/")

    assert (synced.code, synced.err, machine.pending) == (0, "", [0, 0])
    [(name, mime_type)] = machine.project.sql(
        "select name, metadata->>'mimetype' from storage.objects"
        " where bucket_id = %s and name like %s",
        *(BUCKET, f"{machine.owner}/%"),
    )
    assert name.endswith(f".{extension}")
    assert mime_type == media_type
    path = machine.folder.parent / "another" / fetched.out.strip()
    assert path.suffix == f".{extension}"
    assert path.read_bytes() == content


def test_a_fetched_image_replaces_a_file_by_way_of_the_trash(drawn: Machine) -> None:
    another = drawn.another("another")
    place = another.folder / "x.png"
    place.write_bytes(b"theirs")

    fetched = [another.run("fetch", "last", "-o", "x.png") for _ in range(2)]

    assert [each.out for each in fetched] == ["x.png\n"] * 2
    assert place.read_bytes() == (drawn.folder / "hen.png").read_bytes()
    [moved] = another.run("trash", "list", "--json").objects
    assert (moved["path"], moved["bytes"]) == (str(place), len(b"theirs"))
    assert moved["id"] in fetched[0].err
    assert fetched[1].err == ""


def test_what_is_fetched_twice_is_there_once(drawn: Machine) -> None:
    another = drawn.another("another")

    first = another.run("fetch", "last", "--no-sidecar", "-o", "here/")
    second = another.run("fetch", "last", "--no-sidecar", "-o", "here/")

    assert first.out == second.out
    [image] = (another.folder / "here").rglob("*.png")
    assert not image.with_name(f"{image.name}.json").exists()
    assert len(another.run("history", "--json").objects) == 1


def test_fetch_of_an_unknown_image(drawn: Machine) -> None:
    for name in ("0000", "last of all", "%", "", "01a*"):
        said = drawn.run("fetch", name)

        assert (said.code, said.out) == (2, "")
        assert "history --cloud" in said.err


def test_another_owner_sees_nothing(drawn: Machine) -> None:
    [hen, _] = drawn.run("history", "--json").objects
    another = drawn.another("another", owner=drawn.project.user())

    listed = another.run("history", "--cloud")
    got = another.run("fetch", hen["id"])

    assert (listed.code, listed.out) == (0, "")
    assert (got.code, got.out) == (2, "")


def test_a_cloud_that_is_away_is_reported(machine: Machine) -> None:
    machine.project.kill("gateway")

    for command in (("history", "--cloud"), ("fetch", "last")):
        said = machine.run(*command)

        assert (said.code, said.out) == (3, "")
        assert "was not reached" in said.err


def test_a_copy_that_was_tampered_with_is_not_taken(drawn: Machine) -> None:
    folder = drawn.project._folder / "objects"
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:-1])

    said = drawn.run("fetch", "last", "-o", "back.png")

    assert said.code == 4
    assert not (drawn.folder / "back.png").exists()


# What the reader sees, with the library that readers use


@pytest.fixture
def reader(project: SupabaseProject) -> Iterator[Callable[..., Client]]:
    """Connect with the token of somebody, or with none."""

    def connect(token: str | None = None) -> Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        http = connections.enter_context(httpx.Client(timeout=60))
        options = ClientOptions(
            headers=headers, httpx_client=http, auto_refresh_token=False
        )
        return create_client(project.url, project.anon_key, options)

    with ExitStack() as connections:
        yield connect


def copies(client: Client) -> list[str]:
    found = client.schema("imagen").table("images").select("storage_path").execute()
    return [each["storage_path"] for each in json.loads(json.dumps(found.data))]


# What the library passes on to its own parts is deprecated by them.
@pytest.mark.filterwarnings("ignore:The .* parameter is deprecated:DeprecationWarning")
def test_the_owner_and_nobody_else_reads_what_was_kept(
    drawn: Machine, reader: Callable[..., Client]
) -> None:
    project = drawn.project
    owner = reader(project.token("authenticated", drawn.owner))
    another = reader(project.token("authenticated", project.user()))
    stranger = reader(project.token("authenticated", nobody()))

    paths = copies(owner)

    assert len(paths) == 2
    kept = {owner.storage.from_(BUCKET).download(path) for path in paths}
    assert kept == {
        (drawn.folder / f"{name}.png").read_bytes() for name in ("fox", "hen")
    }
    for other in (another, stranger):
        assert copies(other) == []
    for other in (another, stranger, reader()):
        for path in paths:
            with pytest.raises(Exception, match=r"not.found|Object"):
                other.storage.from_(BUCKET).download(path)
    with pytest.raises(Exception, match="permission denied"):
        copies(reader())
