"""Requests as common programs send them: docs/serve.md has the same table.

Each looks at the picture that comes back, and at what the backend was asked.
"""

import base64
import io
import json
from hashlib import sha256
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.integration.serve.conftest import KEY
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


def asked_of(sketching: Running) -> dict[str, Any]:
    """Return the job that the backend got last."""
    notes = sorted(
        sketching.images.glob("*.json"), key=lambda file: file.stat().st_mtime_ns
    )
    sidecar = json.loads(notes[-1].read_bytes())
    return {
        **sidecar["parameters"],
        "seed": sidecar["seed"],
        "backend": sidecar["backend"],
    }


def picture_of(sketching: Running, answer: httpx.Response) -> Image.Image:
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
    sketching: Running,
    path: str,
    headers: dict[str, str],
    body: dict[str, Any],
    by: str,
    size: tuple[int, int],
    options: dict[str, Any],
) -> None:
    answer = sketching.http.post(path, json={"prompt": PROMPT, **body}, headers=headers)

    assert picture_of(sketching, answer).size == size
    assert by in answer.json()["data"][0]
    asked = asked_of(sketching)
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
            BEARER,
            {
                "data": {**FORM, "n": "1", "response_format": "b64_json"},
                "files": [("image", ("image.png", RED))],
            },
            [RED],
            None,
            id="Open WebUI",
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
    sketching: Running,
    path: str,
    headers: dict[str, str],
    sent: dict[str, Any],
    images: list[bytes],
    mask: bytes | None,
) -> None:
    answer = sketching.http.post(path, headers=headers, **sent)

    size = picture_of(sketching, answer).size
    asked = asked_of(sketching)
    assert asked["size"] == f"{size[0]}x{size[1]}"
    assert asked["images"] == [sha256(image).hexdigest() for image in images]
    assert asked["mask"] == (mask and sha256(mask).hexdigest())
    assert asked["prompt"] == (
        "A variation of this image" if path == VARIATIONS else PROMPT
    )
