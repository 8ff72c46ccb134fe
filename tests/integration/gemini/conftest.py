"""Answers after the shapes of the Gemini API, and backends that receive them."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from tests.integration.remote.conftest import one_server, server
from tests.integration.remote.server import (
    Reply,
    ScriptedServer,
    json_reply,
)

from imagen.adapters.backends.gemini.adapter import adapter
from imagen.adapters.system.clock import SystemClock
from imagen.domain.errors import (
    ImagenError,
)
from imagen.domain.job import ImageJob
from imagen.domain.reference import ReferenceImage
from imagen.domain.result import Generated
from imagen.domain.size import Size
from imagen.ports.adapter import BackendContext, Secrets
from imagen.testing.fakes import RecordingContext, tiny_png

__all__ = ["one_server", "server"]  # fixtures

KEY = "AIza-test"
MODEL = "gemini-nano-banana-2.1"
DRAFT, FIRST, RESULT = (tiny_png(16, 16, (shade, 0, 0)) for shade in (1, 2, 3))
PHOTO = tiny_png(16, 16, (0, 9, 0))

Generate = Callable[..., Generated]


def encoded(content: bytes) -> str:
    return b64encode(content).decode()


def photo() -> ReferenceImage:
    return ReferenceImage(
        name="photo.png",
        sha256=sha256(PHOTO).hexdigest(),
        media_type="image/png",
        content=PHOTO,
    )


def interaction(status: str = "completed", **fields: object) -> dict[str, object]:
    return {"id": "v1_one", "status": status, **fields}


def output(*contents: bytes) -> dict[str, object]:
    images = [
        {"type": "image", "mime_type": "image/png", "data": encoded(content)}
        for content in contents
    ]
    return {"type": "model_output", "content": images}


def part(content: bytes, **fields: object) -> dict[str, object]:
    data = {"mimeType": "image/png", "data": encoded(content)}
    return {"inlineData": data, **fields}


def answer(*parts: object, **candidate: object) -> dict[str, object]:
    content = {"role": "model", "parts": parts}
    return {"candidates": [{"content": content, **candidate}]}


def connect(server: ScriptedServer, **options: object) -> Any:
    url = f"{server.url}/v1beta"
    return adapter.create(
        msgspec.convert({"base_url": url, **options}, adapter.options),
        BackendContext(
            name="it", clock=SystemClock(), secrets=Secrets({"api_key_env": KEY})
        ),
    )


@pytest.fixture
def generate(server: ScriptedServer) -> Iterator[Generate]:
    """Answer the requests in turn, and generate an image."""
    backends: list[Any] = []

    def run(*replies: Reply, options: Mapping[str, object] = {}, **job: Any) -> Any:
        pending = list(replies)
        server.answer = lambda _: pending.pop(0)
        backends.append(connect(server, **options))
        wanted = {"prompt": "a fox", "size": Size(1024, 1024), "timeout": 60, **job}
        try:
            return backends[-1].generate(
                ImageJob(number=1, **wanted), RecordingContext()
            )
        except ImagenError as error:
            return error
        finally:
            assert pending == []

    yield run
    for backend in backends:
        backend.close()


CONTENT = {"interactions": False}
DONE = json_reply(interaction(steps=[output(RESULT)]))


def bodies(server: ScriptedServer, path: str) -> list[dict[str, Any]]:
    return [request.body for request in server.sent("POST", path)]
