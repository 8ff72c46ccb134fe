"""ComfyUI keeps every promise of a backend: one's own server, and a guarded one."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import pytest
from tests.integration.comfyui.drawing import draw_stock
from tests.integration.comfyui.server import ComfyServer

from imagen.adapters.backends.comfyui.adapter import ComfyOptions, create
from imagen.adapters.system.clock import SystemClock
from imagen.ports.adapter import BackendContext, Secrets
from imagen.ports.backend import ImageBackend
from imagen.testing import BackendContract

KEY = "comfy-canary-5b21"

Open = Callable[..., ImageBackend]


@pytest.fixture
def servers() -> Iterator[list[ComfyServer]]:
    started: list[ComfyServer] = []
    yield started
    for server in started:
        server.stop()


class ComfyContract(BackendContract):
    """What is staged alike for both."""

    @pytest.fixture
    def key(self) -> str | None:
        return None

    @pytest.fixture
    def workflow(self) -> str:
        return "sd15"

    @pytest.fixture
    def opened(
        self, servers: list[ComfyServer], key: str | None, workflow: str
    ) -> Iterator[Callable[..., ImageBackend]]:
        built: list[ImageBackend] = []

        def open_one(*, trouble: Mapping[str, object] | None = None) -> ImageBackend:
            server = ComfyServer(token=key).start()
            servers.append(server)
            if trouble:
                server.trouble(**trouble)
            built.append(_build(server, key, workflow))
            return built[-1]

        yield open_one
        for backend in built:
            backend.close()

    @pytest.fixture
    def backend(self, opened: Open) -> ImageBackend:
        return opened()

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        return {"cfg": "much"}

    @pytest.fixture
    def sent_images(
        self, servers: list[ComfyServer]
    ) -> Callable[[], Collection[bytes]]:
        return lambda: {
            path.read_bytes() for path in servers[0].folder.glob("output/*.png")
        }

    @pytest.fixture
    def refusing_backend(
        self, opened: Open, servers: list[ComfyServer]
    ) -> ImageBackend:
        backend = opened()
        servers[-1].models["checkpoints"] = ["another.safetensors"]
        return backend

    @pytest.fixture
    def throttled_backend(self, opened: Open) -> ImageBackend:
        return opened(trouble={"refuses_with": 429, "times": 1})

    @pytest.fixture
    def unavailable_backend(self, opened: Open) -> ImageBackend:
        return opened(trouble={"refuses_with": 503, "times": 1})

    @pytest.fixture
    def unauthorized_backend(
        self, opened: Open, servers: list[ComfyServer]
    ) -> ImageBackend:
        backend = opened()
        servers[-1].token = "another"
        return backend

    @pytest.fixture
    def creditless_backend(self, opened: Open) -> ImageBackend:
        return opened(trouble={"refuses_with": 402, "times": 1})

    @pytest.fixture
    def failing_backend(self, opened: Open) -> ImageBackend:
        return opened(trouble={"fails": "mat1 and mat2 shapes cannot be multiplied"})

    @pytest.fixture
    def vanishing_backend(self, opened: Open) -> ImageBackend:
        return opened(trouble={"restarts": 3600.0, "at_step": 1})

    @pytest.fixture
    def slow_backend(self, opened: Open) -> ImageBackend:
        return opened(trouble={"pauses": True})

    @pytest.fixture
    def cancelled_remotely(self, servers: list[ComfyServer]) -> Callable[[], bool]:
        return lambda: (
            [prompt.state for prompt in servers[-1].prompts]
            in (
                ["interrupted"],
                ["deleted"],
            )
        )

    @pytest.fixture
    def jobs_created(self, servers: list[ComfyServer]) -> Callable[[], int]:
        return lambda: len(servers[-1].prompts)


# A server without a key differs in two things only: its jobs are free, and a lost one
# is submitted again. test_comfyui.py checks both.
@pytest.mark.nightly
class TestOwnServer(ComfyContract):
    pass


class TestGuardedServer(ComfyContract):
    @pytest.fixture
    def key(self) -> str | None:
        return KEY

    @pytest.fixture
    def secret(self) -> str:
        return KEY


# Converted with the types of the server's nodes, before the first use.
@pytest.mark.nightly
class TestWorkflowOfTheEditor(TestGuardedServer):
    @pytest.fixture
    def workflow(self, tmp_path: Path) -> str:
        file = tmp_path / "drawn.json"
        file.write_text(json.dumps(draw_stock()))
        return str(file)


def _build(server: ComfyServer, key: str | None, workflow: str) -> ImageBackend:
    options = ComfyOptions(
        base_url=server.url,
        workflow=workflow,
        api_key_env="COMFY_KEY" if key else None,
    )
    secrets = Secrets({"api_key_env": key} if key else {})
    return create(
        options, BackendContext(name="comfy", clock=SystemClock(), secrets=secrets)
    )
