"""One server for all tests of a module, and backends for it."""

from collections.abc import Callable, Iterator

import pytest
from tests.integration.remote.server import ScriptedServer
from tests.integration.remote.vendors import KEY, PencilServer

import imagen.backend as kit
from imagen.adapters.system.clock import SystemClock


@pytest.fixture(scope="module")
def one_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.stop()


@pytest.fixture
def server(one_server: ScriptedServer) -> ScriptedServer:
    one_server.requests.clear()
    return one_server


@pytest.fixture
def pencil(server: ScriptedServer) -> PencilServer:
    server.answer = PencilServer()
    return server.answer


@pytest.fixture
def connect(server: ScriptedServer) -> Iterator[Callable[..., kit.ImageBackend]]:
    """Return a backend for a vendor file, by default at the server."""
    backends: list[kit.ImageBackend] = []

    def connect_one(
        vendor: kit.Vendor, *, url: str = "", key: str | None = KEY
    ) -> kit.ImageBackend:
        backend = kit.remote_backend(
            vendor,
            kit.BackendContext(name="one", clock=SystemClock()),
            base_url=url or server.url,
            credentials=kit.bearer(key) if key else None,
            hint="Set $PENCIL_KEY.",
        )
        backends.append(backend)
        return backend

    yield connect_one
    for backend in backends:
        backend.close()
