"""The images API over HTTP."""

import base64
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.integration.serve.running import GENERATIONS, PATIENCE, Running

from imagen.adapters.database.connection import FILE
from imagen.formats.container import rgb_png

EDITS = "/v1/images/edits"
ASKED = {"prompt": "a cat", "size": "64x64"}


def note_of(server: Running, slug: str) -> dict[str, Any]:
    [note] = server.images.glob(f"*-{slug}-*.json")
    found: dict[str, Any] = json.loads(note.read_bytes())
    return found


def picture(image: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(image["b64_json"])))


def test_an_image_is_stored_with_its_sidecar(
    client: httpx.Client, server: Running
) -> None:
    answer = client.post(
        GENERATIONS, json={"prompt": "a kept cat", "size": "64x48", "seed": 42}
    )

    assert answer.status_code == 200, answer.text
    [image] = answer.json()["data"]
    [stored] = [path for path in server.stored if "a-kept-cat" in path.name]
    assert base64.b64decode(image["b64_json"]) == stored.read_bytes()
    sidecar = note_of(server, "a-kept-cat")
    assert (sidecar["id"], sidecar["seed"]) == (image["id"], 42)
    assert (sidecar["width"], sidecar["height"]) == (64, 48)


def test_json_has_no_control_characters_and_no_exponents(
    client: httpx.Client, server: Running
) -> None:
    hostile = "\x1b\x7f\x85\u202e\u2028"
    body = {"prompt": f"a cheap cat {hostile}", "model": "cheap", "style": "grim"}

    made = client.post(GENERATIONS, json=body)
    streamed = client.post(GENERATIONS, json={**body, "stream": True})
    unknown = client.post(GENERATIONS, json={**body, "model": hostile})
    listed = client.get("/gallery/api/images")

    [sidecar, _] = server.folder.rglob("*a-cheap-cat*.json")
    texts = [each.text for each in (made, streamed, unknown, listed)]
    for text in (*texts, sidecar.read_text("utf-8")):
        assert all(line.isprintable() for line in text.split("\n"))
        assert "e-6" not in text
    assert made.json()["data"][0]["revised_prompt"] == f"{body['prompt']}, grim"
    assert '"cost_usd":0.000003' in made.text
    assert '"cost_usd": 0.000003' in sidecar.read_text("utf-8")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The request has no body."),
        (b'{"odd":' + b"[" * 100_000, "The body is nested too deeply."),
        (b"[]", "The body must be an object, not a list."),
        (b"{}", "`prompt` is missing."),
        (b"{,", "The body is not valid JSON: object keys must be strings (byte 1)."),
    ],
)
def test_an_invalid_body_is_400(client: httpx.Client, body: bytes, said: str) -> None:
    kind = {"content-type": "application/json"}
    answer = client.post(GENERATIONS, content=body, headers=kind)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == said
    assert answer.json()["error"]["param"] in {None, "prompt"}


def test_unsupported_fields_are_warnings_in_response_and_sidecar(
    client: httpx.Client, server: Running
) -> None:
    asked = {
        "prompt": "an honest cat",
        "size": "64x64",
        "user": "ann",
        "quality": "high",
        "guidance_scale": 4.5,
        "style": "vivid",
        "sampler": "euler",
    }

    answer = client.post(GENERATIONS, json=asked)

    assert answer.status_code == 200, answer.text
    for name in ("user", "quality", "guidance_scale", "style", "sampler"):
        assert any(f"{name} is ignored" in said for said in answer.json()["warnings"])
        assert name in note_of(server, "an-honest-cat")["ignored"]
    logged = server.log.read_text().splitlines()
    [line] = [each for each in logged if "sampler is ignored" in each]
    assert "guidance_scale is ignored" in line


def test_extension_fields_are_accepted(client: httpx.Client, server: Running) -> None:
    asked = {
        **ASKED,
        "prompt": "a styled cat",
        "seed": 7,
        "negative_prompt": "dogs",
        "num_inference_steps": 3,
        "style": "grim",
    }

    answer = client.post(GENERATIONS, json=asked)

    assert answer.status_code == 200, answer.text
    assert answer.json()["data"][0]["seed"] == 7
    assert answer.json()["data"][0]["revised_prompt"] == "a styled cat, grim"
    note = note_of(server, "a-styled-cat")
    assert (note["steps"], note["style"], note["negative"]) == (3, "grim", "dogs")


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, "64x64"),
        ({"size": "auto"}, "64x64"),
        ({"size": "16:9"}, "85x48"),
        ({"aspect_ratio": "16:9"}, "85x48"),
        ({"aspect_ratio": "auto"}, "64x64"),
        ({"aspect_ratio": ""}, "64x64"),
        ({"aspect_ratio": None, "size": None}, "64x64"),
    ],
)
def test_without_a_size_the_config_decides(
    client: httpx.Client, fields: dict[str, str | None], size: str
) -> None:
    asked = {"prompt": "a cat", "model": "small", **fields}
    answer = client.post(GENERATIONS, json=asked)

    assert answer.status_code == 200, answer.text
    assert answer.json()["size"] == size


@pytest.mark.parametrize(
    ("form", "found"), [("png", "PNG"), ("webp", "WEBP"), ("jpeg", "JPEG")]
)
def test_the_output_format_is_used(client: httpx.Client, form: str, found: str) -> None:
    answer = client.post(GENERATIONS, json={**ASKED, "output_format": form})

    assert answer.json()["output_format"] == form
    assert picture(answer.json()["data"][0]).format == found


def test_several_images_have_consecutive_seeds(client: httpx.Client) -> None:
    answer = client.post(GENERATIONS, json={**ASKED, "n": 3, "seed": 5})

    assert [each["seed"] for each in answer.json()["data"]] == [5, 6, 7]


def test_images_beyond_those_requested_are_stored_and_only_mentioned(
    client: httpx.Client, server: Running
) -> None:
    asked = {**ASKED, "prompt": "three at once", "model": "probe"}

    answer = client.post(GENERATIONS, json=asked).json()

    [image] = answer["data"]
    paths = server.images.glob("*-three-at-once-*.json")
    notes = [json.loads(path.read_bytes()) for path in paths]
    extras = sorted(note["id"] for note in notes if note["extra"])
    assert {note["id"] for note in notes} == {image["id"], *extras}
    [warning] = answer["warnings"]
    assert "probe returned 3 images, not 1" in warning
    assert all(extra in warning for extra in extras)


def test_a_url_returns_the_image_and_cannot_be_forged(
    client: httpx.Client,
) -> None:
    answer = client.post(GENERATIONS, json={**ASKED, "response_format": "url"})
    [image] = answer.json()["data"]

    assert "b64_json" not in image
    shown = client.get(image["url"])
    assert shown.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(shown.content)).size == (64, 64)
    later = re.sub(r"expires=(\d+)", r"expires=9\1", image["url"])
    other = image["url"].replace(image["id"], "0" * 36)
    for url in (later, other, image["url"][:-1], image["url"].partition("?")[0]):
        assert client.get(url).status_code == 404


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["mock", "paid"])
def test_an_image_that_no_url_would_find_is_sent_in_the_response(
    shop: Running, stream: bool, model: str
) -> None:
    database = shop.account / FILE
    refuse = (
        "CREATE TRIGGER full BEFORE INSERT ON images BEGIN SELECT RAISE(FAIL, ''); END"
    )
    with closing(sqlite3.connect(database, timeout=PATIENCE)) as base:
        base.execute(refuse)
        try:
            answer = shop.ask(response_format="url", stream=stream, model=model)
        finally:
            base.execute("DROP TRIGGER full")

    assert answer.status_code == 200, answer.text
    assert '"url"' not in answer.text
    assert answer.text.count('"b64_json":"iVBOR') == 1
    assert "sent as b64_json" in answer.text
    assert '"url":"http' in shop.ask(response_format="url", stream=stream).text


def test_models_are_listed(client: httpx.Client) -> None:
    model, *others = client.get("/v1/models").json()["data"]

    assert (model["id"], model["object"], model["default"]) == ("mock", "model", True)
    assert model["capabilities"]["seed"] is True
    assert not any(other.get("default") for other in others)
    assert client.get("/v1/models/mock").json() == model
    assert client.get("/v1/models/other").status_code == 404


def test_a_broken_backend_is_reported_and_hides_no_other(client: httpx.Client) -> None:
    models = client.get("/v1/models").json()["data"]
    answer = client.post(GENERATIONS, json={**ASKED, "model": "locked"})

    assert {"locked", "mock"} <= {model["id"] for model in models}
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "backend_unauthorized"
    assert answer.headers["x-should-retry"] == "false"


def test_metrics_count_images(client: httpx.Client) -> None:
    client.post(GENERATIONS, json=ASKED)

    said = client.get("/metrics").text

    assert re.search(r'imagen_images_total\{backend="mock"\} [1-9]', said)
    assert 'imagen_requests_waiting{backend="mock"} 0.0' in said


def test_edits_need_a_backend_that_accepts_references(client: httpx.Client) -> None:
    [image] = client.post(GENERATIONS, json=ASKED).json()["data"]
    content = base64.b64decode(image["b64_json"])
    for name in ("image", "image[]"):
        answer = client.post(
            EDITS, data={"prompt": "12"}, files=[(name, ("a.png", content))]
        )

        assert answer.status_code == 400
        assert "takes no reference images" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "files", [[], [("image", ("a.png", b"no picture"))]], ids=["none", "no image"]
)
def test_an_edit_needs_an_image(client: httpx.Client, files: Any) -> None:
    form = {"files": files} if files else {"files": [("prompt", (None, "a cat"))]}
    answer = client.post(EDITS, data={"prompt": "a cat"} if files else {}, **form)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "image"


@pytest.mark.parametrize(
    "kind", [None, "multipart/form-data", "multipart/form-data; boundary="]
)
def test_an_edit_needs_a_form(client: httpx.Client, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    for content in (b"", b"x"):
        answer = client.post(EDITS, content=content, headers=headers)

        assert answer.status_code == 400


# Errors


def test_errors_have_openais_format(client: httpx.Client) -> None:
    answer = client.post(GENERATIONS, json={"prompt": "a cat", "n": "many"})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "n"
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("fail", "status", "code"),
    [
        ("refused", 400, "moderation_blocked"),
        ("unauthorized", 502, "backend_unauthorized"),
        ("out_of_credit", 402, "backend_out_of_credit"),
        ("backend_error", 502, "backend_error"),
        ("unfinished", 504, "unfinished"),
        ("no_image", 502, "backend_error"),
    ],
)
def test_each_backend_error_has_its_status(
    client: httpx.Client, fail: str, status: int, code: str
) -> None:
    answer = client.post(GENERATIONS, json={**ASKED, "model": fail})

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("asked", "status", "param"),
    [
        ({"prompt": ""}, 400, "prompt"),
        ({}, 400, "prompt"),
        ({"prompt": "x" * 201}, 422, "prompt"),
        ({"prompt": "a", "negative_prompt": "x" * 201}, 422, "negative_prompt"),
        ({"prompt": "a", "n": 3}, 422, "n"),
        ({"prompt": "a", **{f"odd{n}": n for n in range(51)}}, 422, None),
        ({"prompt": "a", "size": "2000x2000"}, 422, "size"),
        ({"prompt": "a", "size": "large"}, 400, "size"),
        ({"prompt": "a", "size": "1x1"}, 400, "size"),
        ({"prompt": "a", "model": "dall-e-3"}, 404, "model"),
        (
            {"prompt": "a", "background": "transparent", "output_format": "jpeg"},
            400,
            "background",
        ),
    ],
)
def test_limits_and_invalid_values_name_the_field(
    small: Running, asked: dict[str, Any], status: int, param: str | None
) -> None:
    answer = small.http.post(GENERATIONS, json=asked)

    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize(
    "size", ["64x64\n", " 64x64", "large", "64", "64x64x64", "٦٤x64"]
)
def test_an_invalid_size_is_explained(client: httpx.Client, size: str) -> None:
    answer = client.post(GENERATIONS, json={**ASKED, "size": size})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "size"
    said = answer.json()["error"]["message"]
    assert said == (
        "`size` must be WIDTHxHEIGHT, such as 1024x1024, or WIDTH:HEIGHT, such as "
        "16:9, or `auto`."
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"size": "16:0"},
        {"aspect_ratio": "5000:1"},
        {"size": "64x64", "aspect_ratio": "16:9"},
    ],
)
def test_an_invalid_aspect_ratio_is_refused(
    client: httpx.Client, fields: dict[str, str]
) -> None:
    answer = client.post(GENERATIONS, json={"prompt": "a cat", **fields})

    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("ratio", ["0:1", "16:0", "x", "64x64"])
def test_an_invalid_aspect_ratio_names_its_field(
    client: httpx.Client, ratio: str
) -> None:
    answer = client.post(GENERATIONS, json={**ASKED, "aspect_ratio": ratio})

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["code"], error["param"]) == ("invalid_value", "aspect_ratio")


def test_up_to_50_unknown_fields_are_short_warnings(small: Running) -> None:
    odd = {f"{n}{'x' * 150}": n for n in range(50)}
    answer = small.http.post(GENERATIONS, json={**ASKED, **odd})

    assert answer.status_code == 200, answer.text
    warnings = answer.json()["warnings"]
    assert len(warnings) == 50
    assert max(map(len, warnings)) < 150


def test_a_form_with_too_many_unknown_fields_is_rejected(small: Running) -> None:
    [image] = small.ask().json()["data"]
    picture = base64.b64decode(image["b64_json"])
    form = {"prompt": "a cat", **{f"odd{n}": "1" for n in range(51)}}
    for content in (picture, picture + bytes(20_000)):  # the whole is too large, too
        answer = small.http.post(EDITS, data=form, files={"image": ("a", content)})

        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "limit_exceeded"


def test_a_form_with_50_unknown_fields_is_not_rejected_for_them(small: Running) -> None:
    form = {"prompt": "a cat", **{f"odd{n}": "1" for n in range(50)}}
    files = {"image": ("a.png", b"no picture")}

    answer = small.http.post(EDITS, data=form, files=files)

    assert answer.json()["error"]["code"] == "invalid_image_file"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("path", [GENERATIONS, EDITS, "/gallery/api/estimate"])
def test_a_body_that_is_too_large_is_rejected_while_it_is_sent(
    small: Running, path: str, chunked: bool
) -> None:
    asked = {"prompt": "a", "user": "x" * 4_000_000}
    request = small.http.build_request(
        "POST", path, json=asked, files=asked if path == EDITS else None
    )
    content = request.read()
    kind = {"Content-Type": request.headers["content-type"]}
    body = (content[i : i + 4096] for i in range(0, len(content), 4096))

    answer = small.http.post(path, content=body if chunked else content, headers=kind)

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"
    assert small.ask().status_code == 200


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = {"prompt": 200, "count": 2, "megapixels": 3, "body": 10_000}
    with Running(tmp_path_factory.mktemp("small"), {"serve": limits}) as running:
        yield running


def test_a_reference_with_too_many_pixels_is_rejected(small: Running) -> None:
    content = rgb_png(50_000, 50_000, [b"\0"])

    answer = small.http.post(
        EDITS, data={"prompt": "a cat"}, files={"image": ("a.png", content)}
    )

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "invalid_image_file"
    assert "a.png has 50000x50000 pixels" in error["message"]
