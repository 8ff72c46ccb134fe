"""Requests as common programs send them: docs/serve.md has the same table.

Each looks at the picture that comes back, and at what the backend was asked.
"""

import base64
import io
import json
from collections.abc import Iterator
from hashlib import sha256
from random import randbytes
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.integration.serve.conftest import KEY, running_probe
from tests.integration.serve.running import GENERATIONS, Running

EDITS, VARIATIONS = "/v1/images/edits", "/v1/images/variations"
AZURE = "/openai/deployments/gpt-image-1/images/"
PROMPT = "a cat on a mat"
BEARER = {"Authorization": f"Bearer {KEY}"}


def png(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 24), colour).save(file, "PNG")
    return file.getvalue()


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


RED, BLUE = png(), png("blue")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = {
        "backends": {
            "sketch": {"adapter": "sketch", "size": "96x64"},
            "plain": {"adapter": "mock", "size": "64x64"},
            "learner": {"adapter": "learner", "size": "64x64"},
        },
        "default_backend": "sketch",
        "serve": {
            "workers": 1,
            "models": {
                "gpt-image-1": "sketch",
                "dall-e-*": "sketch",
                "plain-1": "plain",
            },
        },
    }
    folder = tmp_path_factory.mktemp("programs")
    with running_probe(folder, config, IMAGEN_SERVE_KEYS=f"writer:{KEY}") as running:
        yield running


def asked_of(running: Running) -> dict[str, Any]:
    """Return the job that the backend got last."""
    notes = sorted(
        running.images.glob("*.json"), key=lambda file: file.stat().st_mtime_ns
    )
    sidecar = json.loads(notes[-1].read_bytes())
    return {
        **sidecar["parameters"],
        "seed": sidecar["seed"],
        "backend": sidecar["backend"],
    }


def picture_of(running: Running, answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    [image] = answer.json()["data"]
    if "url" in image:
        content = httpx.get(image["url"]).raise_for_status().content
    else:
        content = base64.b64decode(image["b64_json"])
    return Image.open(io.BytesIO(content))


OPENAI_RETRY = {"x-stainless-retry-count": "0"}


@pytest.mark.parametrize(
    ("path", "headers", "body", "by", "size", "options"),
    [
        pytest.param(
            GENERATIONS,
            BEARER,
            {"model": "gpt-image-1", "n": 1, "size": "512x512"},
            "b64_json",
            (512, 512),
            {},
            id="Open WebUI",
        ),
        pytest.param(
            GENERATIONS + "?api-version=2025-04-01-preview",
            BEARER,
            {"model": "dall-e-3", "n": 1, "response_format": "b64_json", "steps": 9},
            "b64_json",
            (96, 64),
            {},
            id="Open WebUI with parameters",
        ),
        pytest.param(
            GENERATIONS,
            BEARER | OPENAI_RETRY,
            {
                "model": "dall-e-3",
                "quality": "hd",
                "style": "vivid",
                "size": "1024x1792",
            },
            "url",
            (1024, 1792),
            {"quality": "hd"},
            id="LibreChat DALL-E",
        ),
        pytest.param(
            GENERATIONS,
            BEARER | OPENAI_RETRY,
            {
                "model": "gpt-image-1",
                "n": 1,
                "background": "auto",
                "output_format": "png",
                "quality": "auto",
                "size": "auto",
            },
            "b64_json",
            (96, 64),
            {},
            id="LibreChat image tool",
        ),
        pytest.param(
            AZURE + "generations?api-version=2025-04-01-preview",
            {"api-key": KEY},
            {"prompt": PROMPT, "size": "auto", "n": 1},
            "b64_json",
            (96, 64),
            {},
            id="LibreChat on Azure",
        ),
        pytest.param(
            "/openai/v1/images/generations",
            {"api-key": KEY},
            {"model": "gpt-image-1", "size": "64x96"},
            "b64_json",
            (64, 96),
            {},
            id="Azure v1",
        ),
        pytest.param(
            GENERATIONS,
            BEARER,
            {
                "model": "dall-e-3",
                "response_format": "b64_json",
                "quality": "standard",
                "size": "1024x1024",
                "style": "natural",
            },
            "b64_json",
            (1024, 1024),
            {"quality": "standard"},
            id="n8n",
        ),
        pytest.param(
            GENERATIONS,
            BEARER | OPENAI_RETRY,
            {"model": "dall-e-2", "n": 1, "size": "256x256"},
            "url",
            (256, 256),
            {},
            id="LangChain",
        ),
        pytest.param(
            GENERATIONS,
            BEARER | OPENAI_RETRY,
            {
                "model": "dall-e-3",
                "n": 1,
                "response_format": "b64_json",
                "seed": None,
                "cfg": 2.5,
                "steps": 12,
                "width": 64,
                "height": 96,
            },
            "b64_json",
            (64, 96),
            {},
            id="LobeChat",
        ),
        pytest.param(
            GENERATIONS,
            BEARER,
            {
                "model": "dall-e-3",
                "size": "1024x1024",
                "n": 1,
                "quality": "standard",
                "style": "vivid",
                "response_format": "b64_json",
            },
            "b64_json",
            (1024, 1024),
            {"quality": "standard"},
            id="SillyTavern",
        ),
        pytest.param(
            GENERATIONS,
            BEARER,
            {"model": "gpt-image-1", "n": 1, "size": "64x64", "quality": "low"},
            "b64_json",
            (64, 64),
            {"quality": "low"},
            id="AI SDK",
        ),
        pytest.param(
            GENERATIONS,
            BEARER | OPENAI_RETRY,
            {"model": "sketch", "size": "64x64", "user": "u1"},
            "b64_json",
            (64, 64),
            {},
            id="LiteLLM",
        ),
        pytest.param(
            GENERATIONS,
            BEARER,
            {
                "model": "",
                "width": 64,
                "height": 48,
                "steps": 7,
                "cfg_scale": 4.5,
                "seed": -1,
                "negative_prompt": "dogs",
            },
            "b64_json",
            (64, 48),
            {"guidance_scale": 4.5},
            id="programs for Stable Diffusion",
        ),
        pytest.param(
            GENERATIONS,
            BEARER,
            {"aspect_ratio": "3:2", "model": None},
            "b64_json",
            (96, 64),
            {},
            id="aspect ratio",
        ),
    ],
)
def test_a_generation_of_a_common_program(  # noqa: PLR0917 - pytest names them
    running: Running,
    path: str,
    headers: dict[str, str],
    body: dict[str, Any],
    by: str,
    size: tuple[int, int],
    options: dict[str, Any],
) -> None:
    answer = running.http.post(path, json={"prompt": PROMPT, **body}, headers=headers)

    assert picture_of(running, answer).size == size
    assert by in answer.json()["data"][0]
    asked = asked_of(running)
    assert asked["backend"] == "sketch"
    assert asked["prompt"] == PROMPT
    assert asked["size"] == f"{size[0]}x{size[1]}"
    assert asked["options"] == options
    assert asked["steps"] == body.get("steps")
    assert asked["seed"] > 0


FORM = {"model": "gpt-image-1", "prompt": PROMPT, "size": "auto", "quality": "auto"}


@pytest.mark.parametrize(
    ("path", "headers", "sent", "images", "mask"),
    [
        pytest.param(
            EDITS,
            BEARER,
            {"data": FORM, "files": [("image[]", ("one.png", RED))]},
            [RED],
            None,
            id="LibreChat",
        ),
        pytest.param(
            AZURE + "edits?api-version=2025-04-01-preview",
            {"api-key": KEY},
            {"data": FORM, "files": [("image[]", ("one.png", RED))]},
            [RED],
            None,
            id="LibreChat on Azure",
        ),
        pytest.param(
            EDITS,
            BEARER | OPENAI_RETRY,
            {
                "data": {**FORM, "input_fidelity": "high", "n": "1"},
                "files": [("image", ("a", RED)), ("image", ("b", BLUE))],
            },
            [RED, BLUE],
            None,
            id="LobeChat",
        ),
        pytest.param(
            EDITS,
            BEARER,
            {
                "json": {
                    **FORM,
                    "images": [{"image_url": data_url(RED)}, data_url(BLUE)],
                    "mask": {"image_url": data_url(BLUE)},
                }
            },
            [RED, BLUE],
            BLUE,
            id="OpenAI's JSON",
        ),
        pytest.param(
            EDITS,
            BEARER,
            {"json": {"prompt": PROMPT, "image": {"url": data_url(RED)}}},
            [RED],
            None,
            id="xAI's JSON",
        ),
        pytest.param(
            EDITS,
            BEARER,
            {"json": {"prompt": PROMPT, "image_url": data_url(RED)}},
            [RED],
            None,
            id="Together's JSON",
        ),
        pytest.param(
            VARIATIONS,
            BEARER,
            {
                "data": {"n": "1", "size": "64x64", "model": "dall-e-2"},
                "files": {"image": ("one.png", RED)},
            },
            [RED],
            None,
            id="variations",
        ),
    ],
)
def test_an_edit_of_a_common_program(  # noqa: PLR0917 - pytest names them
    running: Running,
    path: str,
    headers: dict[str, str],
    sent: dict[str, Any],
    images: list[bytes],
    mask: bytes | None,
) -> None:
    answer = running.http.post(path, headers=headers, **sent)

    size = picture_of(running, answer).size
    asked = asked_of(running)
    assert asked["size"] == f"{size[0]}x{size[1]}"
    assert asked["images"] == [sha256(image).hexdigest() for image in images]
    assert asked["mask"] == (mask and sha256(mask).hexdigest())
    assert asked["prompt"] == (
        "A variation of this image" if path == VARIATIONS else PROMPT
    )


@pytest.mark.parametrize(
    "source",
    ["https://example.org/cat.png", "data:image/png;base64,%%%", "", {"url": None}, {}],
)
def test_an_image_that_is_no_data_url_is_refused(running: Running, source: Any) -> None:
    body = {"prompt": PROMPT, "image": source}
    answer = running.http.post(EDITS, json=body, headers=BEARER)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "image"


def test_only_bodies_with_images_may_be_larger_than_a_megabyte(
    running: Running,
) -> None:
    noise = io.BytesIO()
    Image.frombytes("RGB", (700, 700), randbytes(3 * 700 * 700)).save(noise, "PNG")
    edit = {"prompt": PROMPT, "image": data_url(noise.getvalue()), "size": "64x64"}

    edited = running.http.post(EDITS, json=edit, headers=BEARER)
    generated = running.http.post(
        GENERATIONS, json={"prompt": PROMPT, "user": "x" * 1_000_000}, headers=BEARER
    )

    assert len(noise.getvalue()) > 1_000_000
    assert picture_of(running, edited).size == (64, 64)
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
    running: Running, fields: dict[str, Any]
) -> None:
    body = {"prompt": PROMPT, **fields}
    answer = running.http.post(GENERATIONS, json=body, headers=BEARER)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in {*fields, "height"}


def test_jpg_is_jpeg(running: Running) -> None:
    body = {"prompt": PROMPT, "output_format": "jpg"}
    answer = running.http.post(GENERATIONS, json=body, headers=BEARER)

    assert picture_of(running, answer).format == "JPEG"


def test_aliases_are_listed_and_described(running: Running) -> None:
    models = running.http.get("/v1/models", headers=BEARER).json()["data"]
    names = [model["id"] for model in models]

    assert names == ["sketch", "learner", "plain", "mock", "gpt-image-1", "plain-1"]
    for name in ("dall-e-3", "gpt-image-1"):
        model = running.http.get(f"/v1/models/{name}", headers=BEARER).json()
        assert (model["id"], model["owned_by"]) == (name, "sketch")
        assert model["capabilities"]["edits"] == 16
    assert running.http.get("/v1/models/gpt-4", headers=BEARER).status_code == 404


def test_models_show_what_a_backend_has_learned_without_a_restart(
    running: Running,
) -> None:
    def learned() -> list[int]:
        model = running.http.get("/v1/models/learner", headers=BEARER).json()
        form = running.http.get("/gallery/api/choices", headers=BEARER).json()["models"]
        [choice] = [each for each in form if each["id"] == "learner"]
        return [each["capabilities"]["edits"] for each in (model, choice)]

    assert learned() == [0, 0]
    body = {"prompt": PROMPT, "model": "learner"}
    answer = running.http.post(GENERATIONS, json=body, headers=BEARER)

    assert picture_of(running, answer).size == (64, 64)
    assert learned() == [16, 16]


def test_an_alias_does_not_depend_on_the_default(running: Running) -> None:
    body = {"prompt": PROMPT, "model": "plain-1"}
    answer = running.http.post(GENERATIONS, json=body, headers=BEARER)

    assert picture_of(running, answer).size == (64, 64)
    assert answer.json()["model"] == "plain/mock"


def test_a_file_has_an_etag_byte_ranges_and_head(running: Running) -> None:
    body = {"prompt": PROMPT, "model": "dall-e-3"}
    [image] = running.http.post(GENERATIONS, json=body, headers=BEARER).json()["data"]
    whole = running.http.get(image["url"])
    etag = whole.headers["etag"]

    head = running.http.head(image["url"])
    part = running.http.get(image["url"], headers={"Range": "bytes=10-19"})
    same = running.http.get(image["url"], headers={"If-None-Match": f'"x", {etag}'})
    beyond = running.http.get(image["url"], headers={"Range": "bytes=99999999-"})

    assert head.status_code == 200
    assert head.content == b""
    assert int(head.headers["content-length"]) == len(whole.content)
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    assert (same.status_code, same.content) == (304, b"")
    assert beyond.status_code == 416


def test_head_is_answered_on_every_get_route(running: Running) -> None:
    paths = running.http.get("/schema", headers=BEARER).json()["paths"]
    plain = [path for path, item in paths.items() if "get" in item and "{" not in path]
    for path in ["/", "/schema", "/v1/models/sketch", "/gallery/static/app.js", *plain]:
        head = running.http.head(path, headers=BEARER)

        assert (head.status_code, head.content) == (200, b""), path
        assert int(head.headers["content-length"]) > 0
    assert running.http.head("/v1/models").status_code == 401
