"""A server that answers as OpenRouter does, and backends that use it."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest
from tests.integration.openrouter.stub import ENDPOINTS, FLUX
from tests.integration.remote.conftest import one_server, server
from tests.integration.remote.server import (
    Recorded,
    Reply,
    ScriptedServer,
    json_reply,
)

from imagen.adapters.backends.openrouter.adapter import adapter
from imagen.domain.job import ImageJob
from imagen.domain.reference import ReferenceImage
from imagen.domain.size import Size
from imagen.ports.adapter import BackendContext, Secrets
from imagen.ports.clock import Clock
from imagen.testing import FakeClock

__all__ = ["one_server", "server"]  # fixtures

KEY = "sk-or-v1-test"
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)

Connect = Callable[..., Any]


def answer(*contents: bytes, **fields: object) -> Reply:
    data = [{"b64_json": b64encode(content).decode()} for content in contents]
    return json_reply({"created": 1, "data": data, **fields})


def job(**changes: Any) -> ImageJob:
    wanted = {"prompt": "a fox", "size": Size(1024, 1024), "timeout": 60, **changes}
    return ImageJob(number=1, **wanted)


def reference(content: bytes) -> ReferenceImage:
    return ReferenceImage(
        name="photo.png",
        sha256=sha256(content).hexdigest(),
        media_type="image/png",
        content=content,
    )


class Router:
    """The replies: the models of the stub, and what a test wants for the others.

    Attributes:
        made: The reply to a submit request.
        generation: The reply to the lookup of a generation.
    """

    def __init__(self) -> None:
        self.made = Reply(status=500)
        self.generation = Reply(status=404)

    def __call__(self, request: Recorded) -> Reply:
        path = request.path.removeprefix("/api/v1/").partition("?")[0]
        if request.method == "POST":
            return self.made
        if path == "generation":
            return self.generation
        if path == "images/models":
            return json_reply({"data": [{"id": name} for name in ENDPOINTS]})
        name = path.removeprefix("images/models/").removesuffix("/endpoints")
        if name in ENDPOINTS:
            return json_reply({"id": name, "endpoints": ENDPOINTS[name]})
        return json_reply({"error": {"code": 404, "message": "No endpoints"}}, 404)


@pytest.fixture
def router(server: ScriptedServer) -> Router:
    server.answer = Router()
    return server.answer


@pytest.fixture
def connect(server: ScriptedServer, router: Router) -> Iterator[Connect]:
    built: list[Any] = []

    def connect_one(
        *,
        cache: PurePosixPath | None = None,
        clock: Clock | None = None,
        **options: object,
    ) -> Any:
        wanted: Mapping[str, object] = {
            "base_url": f"{server.url}/api/v1",
            "model": FLUX,
            **options,
        }
        context = BackendContext(
            name="it",
            clock=clock or FakeClock(NOW),
            secrets=Secrets({"api_key_env": KEY}),
            cache=cache,
        )
        built.append(adapter.create(msgspec.convert(wanted, adapter.options), context))
        return built[-1]

    yield connect_one
    for backend in built:
        backend.close()
