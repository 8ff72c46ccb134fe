"""Previews of a backend that has them, in OpenAI's events."""

import base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from tests.integration.comfyui.server import ComfyServer
from tests.integration.serve.running import GENERATIONS, Running

from imagen.testing.fakes import tiny_png

PICTURE = tiny_png(8, 8, (200, 30, 30))


@pytest.fixture(scope="module")
def vendor() -> Iterator[ComfyServer]:
    with ComfyServer(newer=True, preview_picture=PICTURE) as server:
        yield server


@pytest.fixture(scope="module")
def running(
    vendor: ComfyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    comfy = {"adapter": "comfyui", "base_url": vendor.url, "workflow": "sd15"}
    config = {"backends": {"comfy": comfy, "mock": {"adapter": "mock"}}}
    folder = tmp_path_factory.mktemp("previews")
    with Running(folder, {"default_backend": "comfy", **config}) as running:
        yield running


@contextmanager
def events_of(running: Running, **asked: Any) -> Iterator[Iterator[dict[str, Any]]]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="any") as client:
        stream = client.images.generate(
            prompt="a fox",
            size="64x64",
            stream=True,
            extra_body={"num_inference_steps": 20},
            **asked,
        )
        yield (event.to_dict() for event in stream)


def kinds_of(events: Iterable[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("image_generation.") for event in events]


def test_a_preview_is_sent_while_the_backend_works(
    running: Running, vendor: ComfyServer
) -> None:
    vendor.trouble(pauses=True, at_step=10, times=1)
    with events_of(running, partial_images=1) as events:
        first = next(each for each in events if each["type"].endswith("partial_image"))
        vendor.resume()
        rest = kinds_of(events)

    assert base64.b64decode(first["b64_json"]) == PICTURE
    assert (first["partial_image_index"], first["index"]) == (0, 0)
    assert rest[-1] == "completed"
    assert "partial_image" not in rest


def test_without_partial_images_no_preview_is_sent(running: Running) -> None:
    with events_of(running) as events:
        assert {*kinds_of(events)} == {"progress", "completed"}


def test_a_backend_without_previews_sends_progress(running: Running) -> None:
    with events_of(running, model="mock", partial_images=3) as events:
        assert {*kinds_of(events)} == {"progress", "completed"}
    assert "no pictures" not in running.log.read_text()


def test_more_previews_than_openai_allows_is_400(running: Running) -> None:
    asked = {"prompt": "a fox", "stream": True, "partial_images": 4}

    assert running.http.post(GENERATIONS, json=asked).status_code == 400
