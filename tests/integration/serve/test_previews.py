"""Previews of a backend that has them, in OpenAI's events."""

import base64
from collections.abc import Iterator

import httpx
import openai
import pytest
from tests.integration.comfyui.server import ComfyServer
from tests.integration.serve.conftest import Serve
from tests.integration.serve.running import Running

from imagen.testing.fakes import tiny_png

PICTURE = tiny_png(8, 8, (200, 30, 30))


@pytest.fixture
def running(serve: Serve) -> Iterator[Running]:
    with ComfyServer(newer=True, preview_picture=PICTURE, step_seconds=0.05) as server:
        comfy = {"adapter": "comfyui", "base_url": server.url, "workflow": "sd15"}
        yield serve(
            {
                "default_backend": "comfy",
                "backends": {"comfy": comfy, "mock": {"adapter": "mock"}},
            }
        )


def told(running: Running, **asked: object) -> list[dict[str, object]]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="any") as client:
        stream = client.images.generate(
            prompt="a fox",
            size="64x64",
            stream=True,
            extra_body={"num_inference_steps": 20},
            **asked,  # type: ignore[arg-type]
        )
        return [event.to_dict() for event in stream]


@pytest.mark.parametrize("most", [1, 3])
def test_the_requested_number_of_previews_is_sent(running: Running, most: int) -> None:
    events = told(running, partial_images=most)

    partial = [each for each in events if each["type"].endswith(".partial_image")]
    assert [each["partial_image_index"] for each in partial] == list(range(most))
    assert all(base64.b64decode(str(each["b64_json"])) == PICTURE for each in partial)
    assert events[-1]["type"] == "image_generation.completed"
    first = events.index(partial[0])
    assert {each["type"] for each in events[:first]} == {"image_generation.progress"}


def test_without_partial_images_no_preview_is_sent(running: Running) -> None:
    kinds = {str(each["type"]).rpartition(".")[2] for each in told(running)}

    assert kinds == {"progress", "completed"}


def test_a_backend_without_previews_sends_progress(running: Running) -> None:
    events = told(running, model="mock", partial_images=3)

    kinds = {str(each["type"]).rpartition(".")[2] for each in events}
    assert kinds == {"progress", "completed"}
    assert "no pictures" not in running.log.read_text()


def test_more_previews_than_openai_allows_is_400(running: Running) -> None:
    asked = {"prompt": "a fox", "stream": True, "partial_images": 4}
    with running.client() as client:
        answer: httpx.Response = client.post("/v1/images/generations", json=asked)

    assert answer.status_code == 400
