"""ComfyUI keeps every promise of a backend: one's own server, and a guarded one."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.forwarding import ForwardingStub
from tests.integration.comfyui.drawing import draw_stock
from tests.integration.comfyui.server import ComfyServer

from imagen.adapters.backends.comfyui.adapter import adapter
from imagen.ports.backend import ImageBackend
from imagen.testing import HttpBackendContract, RecordedRequest, Stub
from imagen.testing.contracts.http_stage import Build
from imagen.testing.proxy import RecordingProxy

KEY = "comfy-canary-5b21"

DRAWN: list[Path] = []
"""The file of the workflow in the format of the editor."""


@pytest.fixture(scope="module", autouse=True)
def drawn(tmp_path_factory: pytest.TempPathFactory) -> None:
    DRAWN[:] = [tmp_path_factory.mktemp("editor") / "drawn.json"]
    DRAWN[0].write_text(json.dumps(draw_stock()))


class ComfyStub(ForwardingStub):
    """A simulator of its own, which takes any key."""

    def __init__(self, server: ComfyServer) -> None:
        self.server = server
        super().__init__(server.url, {})

    def close(self) -> None:
        super().close()
        self.server.stop()

    @property
    def pictures(self) -> list[bytes]:
        return [path.read_bytes() for path in self.server.folder.glob("output/*.png")]

    @pictures.setter
    def pictures(self, value: list[bytes]) -> None:
        """Ignore the value: the simulator has the pictures."""


class ComfyContract(HttpBackendContract):
    """What is the same for both."""

    adapter = adapter
    may_cost = False
    refuses_with = frozenset({503})
    deleted_with = frozenset({404})
    parameters = {
        "cfg": 5.5,
        "denoise": 0.75,
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
    }
    invalid_options = {"cfg": "much"}
    moderation = {}
    failure = {}
    doubled = None
    secrets = {}

    server: ComfyServer | None = None

    @pytest.fixture(autouse=True)
    def simulator(self) -> Iterator[None]:
        # Started before the test, so that its files and threads are not of the backend.
        with ComfyServer() as self.server:
            # One thread for files, which runs before the test counts the threads.
            self.server._loop.set_default_executor(ThreadPoolExecutor(1))
            warm = asyncio.to_thread(int)
            asyncio.run_coroutine_threadsafe(warm, self.server._loop).result(30)
            yield

    def make_stub(self) -> Stub:
        server, self.server = self.server, None
        return ComfyStub(server or ComfyServer().start())

    def options(self, url: str) -> Mapping[str, object]:
        return {"base_url": url, "workflow": "sd15"}

    def is_submit(self, request: RecordedRequest) -> bool:
        return request.method == "POST" and request.path.endswith("/prompt")

    def is_cancel(self, request: RecordedRequest) -> bool:
        ends = ("/interrupt", "/queue")
        return request.method == "POST" and request.path.endswith(ends)

    @pytest.fixture
    def unknown_reference(self) -> str:
        pytest.skip("a ComfyUI server has no accounts: a job that it lacks is gone")

    @pytest.fixture
    def refusing_backend(self, build: Build, proxy: RecordingProxy) -> ImageBackend:
        proxy.stub.server.models["checkpoints"] = ["another.safetensors"]
        return build(proxy.url)

    @pytest.fixture
    def failing_backend(self, build: Build, proxy: RecordingProxy) -> ImageBackend:
        proxy.stub.server.trouble(fails="mat1 and mat2 shapes cannot be multiplied")
        return build(proxy.url)


class TestOwnServer(ComfyContract):
    pass


@pytest.mark.nightly
class TestGuardedServer(ComfyContract):
    may_cost = True
    secrets = {"api_key_env": KEY}

    def options(self, url: str) -> Mapping[str, object]:
        return {**super().options(url), "api_key_env": "COMFY_KEY"}


# Converted with the types of the server's nodes, before the first use.
@pytest.mark.nightly
class TestWorkflowOfTheEditor(TestGuardedServer):
    def options(self, url: str) -> Mapping[str, object]:
        return {**super().options(url), "workflow": str(DRAWN[0])}
