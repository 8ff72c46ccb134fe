"""A server on a socket, and backends for it in each dialect."""

from collections.abc import Iterator

import msgspec
import pytest
from tests.integration.openai_dialects.cases import PICTURE
from tests.integration.remote.server import Recorded, Reply, ScriptedServer

from imagen.adapters.backends.openai.adapter import OpenAIOptions, create
from imagen.adapters.system.clock import SystemClock
from imagen.backend import BackendContext, ImageBackend, ImageJob, Secrets, Size


class Server:
    """The server of a test, and the backend for it."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.backends: list[ImageBackend] = []

    def connect(self, dialect: str, model: str = "m", **more: object) -> ImageBackend:
        options = OpenAIOptions(
            dialect=dialect, model=model, base_url=f"{self.server.url}/v1", **more
        )  # type: ignore[arg-type]
        backend = create(
            options,
            BackendContext(
                name="it",
                clock=SystemClock(),
                secrets=Secrets({"api_key_env": "key-7f3a"}),
            ),
        )
        self.backends.append(backend)
        return backend

    def reply(self, reply: Reply) -> None:
        def answer(request: Recorded) -> Reply:
            is_image = request.method == "GET" and request.path.endswith("/content")
            return Reply(content=PICTURE) if is_image else reply

        self.server.answer = answer

    @staticmethod
    def job_for(backend: ImageBackend, **changes: object) -> ImageJob:
        """Return a job with everything that the backend supports, as a plan does."""
        can = backend.capabilities()
        size = can.sizes.default or Size()
        job = ImageJob(
            number=1,
            prompt="a fox",
            size=Size() if can.sizes.allows(Size()) else size,
            seed=7 if can.largest_seed else None,
            steps=8 if can.steps else None,
            negative="blur" if can.negative else "",
            model=can.model,
            timeout=60,
        )
        return msgspec.structs.replace(job, **changes)

    @property
    def request(self) -> Recorded:
        (request,) = [each for each in self.server.requests if each.method == "POST"]
        return request


@pytest.fixture(scope="module")
def one_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.stop()


@pytest.fixture
def it(one_server: ScriptedServer) -> Iterator[Server]:
    one_server.requests.clear()
    server = Server(one_server)
    yield server
    for backend in server.backends:
        backend.close()  # type: ignore[attr-defined]
