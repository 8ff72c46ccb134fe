"""Names of models and fields, files, HEAD: what programs need besides the basics."""

import io
from random import randbytes
from typing import Any

import pytest
from PIL import Image
from tests.integration.serve.running import GENERATIONS, Running
from tests.integration.serve.test_programs import (
    BEARER,
    EDITS,
    PROMPT,
    data_url,
    picture_of,
)


@pytest.mark.parametrize(
    "source",
    ["https://example.org/cat.png", "data:image/png;base64,%%%", "", {"url": None}, {}],
)
def test_an_image_that_is_no_data_url_is_refused(
    sketching: Running, source: Any
) -> None:
    body = {"prompt": PROMPT, "image": source}
    answer = sketching.http.post(EDITS, json=body, headers=BEARER)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "image"


def test_only_bodies_with_images_may_be_larger_than_a_megabyte(
    sketching: Running,
) -> None:
    noise = io.BytesIO()
    Image.frombytes("RGB", (700, 700), randbytes(3 * 700 * 700)).save(noise, "PNG")
    edit = {"prompt": PROMPT, "image": data_url(noise.getvalue()), "size": "64x64"}

    edited = sketching.http.post(EDITS, json=edit, headers=BEARER)
    generated = sketching.http.post(
        GENERATIONS, json={"prompt": PROMPT, "user": "x" * 1_000_000}, headers=BEARER
    )

    assert len(noise.getvalue()) > 1_000_000
    assert picture_of(sketching, edited).size == (64, 64)
    assert generated.status_code == 413


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 3, "num_inference_steps": 4},
        {"cfg_scale": 3, "guidance_scale": 4},
        {"size": "64x64", "width": 64, "height": 96},
        {"width": 64},
        {"seed": -2},
    ],
)
def test_contradicting_names_of_a_field_are_refused(
    sketching: Running, fields: dict[str, Any]
) -> None:
    body = {"prompt": PROMPT, **fields}
    answer = sketching.http.post(GENERATIONS, json=body, headers=BEARER)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in {*fields, "height"}


def test_jpg_is_jpeg(sketching: Running) -> None:
    body = {"prompt": PROMPT, "output_format": "jpg"}
    answer = sketching.http.post(GENERATIONS, json=body, headers=BEARER)

    assert picture_of(sketching, answer).format == "JPEG"


def test_aliases_are_listed_and_described(sketching: Running) -> None:
    models = sketching.http.get("/v1/models", headers=BEARER).json()["data"]
    names = [model["id"] for model in models]

    assert names == ["sketch", "learner", "plain", "mock", "gpt-image-1", "plain-1"]
    for name in ("dall-e-3", "gpt-image-1"):
        model = sketching.http.get(f"/v1/models/{name}", headers=BEARER).json()
        assert (model["id"], model["owned_by"]) == (name, "sketch")
        assert model["capabilities"]["edits"] == 16
    assert sketching.http.get("/v1/models/gpt-4", headers=BEARER).status_code == 404


def test_models_show_what_a_backend_has_learned_without_a_restart(
    sketching: Running,
) -> None:
    def learned() -> list[int]:
        model = sketching.http.get("/v1/models/learner", headers=BEARER).json()
        form = sketching.http.get("/gallery/api/choices", headers=BEARER).json()[
            "models"
        ]
        [choice] = [each for each in form if each["id"] == "learner"]
        return [each["capabilities"]["edits"] for each in (model, choice)]

    assert learned() == [0, 0]
    body = {"prompt": PROMPT, "model": "learner"}
    answer = sketching.http.post(GENERATIONS, json=body, headers=BEARER)

    assert picture_of(sketching, answer).size == (64, 64)
    assert learned() == [16, 16]


def test_an_alias_does_not_depend_on_the_default(sketching: Running) -> None:
    body = {"prompt": PROMPT, "model": "plain-1"}
    answer = sketching.http.post(GENERATIONS, json=body, headers=BEARER)

    assert picture_of(sketching, answer).size == (64, 64)
    assert answer.json()["model"] == "plain/mock"


def test_a_file_has_an_etag_byte_ranges_and_head(sketching: Running) -> None:
    body = {"prompt": PROMPT, "model": "dall-e-3"}
    [image] = sketching.http.post(GENERATIONS, json=body, headers=BEARER).json()["data"]
    whole = sketching.http.get(image["url"])
    etag = whole.headers["etag"]

    head = sketching.http.head(image["url"])
    part = sketching.http.get(image["url"], headers={"Range": "bytes=10-19"})
    same = sketching.http.get(image["url"], headers={"If-None-Match": f'"x", {etag}'})
    beyond = sketching.http.get(image["url"], headers={"Range": "bytes=99999999-"})

    assert head.status_code == 200
    assert head.content == b""
    assert int(head.headers["content-length"]) == len(whole.content)
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    assert (same.status_code, same.content) == (304, b"")
    assert beyond.status_code == 416


def test_head_is_answered_on_every_get_route(sketching: Running) -> None:
    paths = sketching.http.get("/schema", headers=BEARER).json()["paths"]
    plain = [path for path, item in paths.items() if "get" in item and "{" not in path]
    for path in ["/", "/schema", "/v1/models/sketch", "/gallery/static/app.js", *plain]:
        head = sketching.http.head(path, headers=BEARER)

        assert (head.status_code, head.content) == (200, b""), path
        assert int(head.headers["content-length"]) > 0
    assert sketching.http.head("/v1/models").status_code == 401
