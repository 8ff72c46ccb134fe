"""ComfyUI keeps every promise of a backend: one's own server, and a guarded one."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from tests.contract.lacks import (
    ANY_OPTION,
    NO_CHARGES,
    NO_COSTS,
    NO_KEYS,
    NO_MODELS,
    NO_REFERENCES,
)
from tests.forwarding import ForwardingStub
from tests.integration.comfyui.drawing import draw_stock
from tests.integration.comfyui.server import ComfyServer

from imagen.adapters.backends.comfyui.adapter import adapter
from imagen.ports.backend import ImageBackend
from imagen.testing import HttpBackendContract, RecordedRequest, Stub, StubResponse
from imagen.testing.contracts.http_stage import Build
from imagen.testing.proxy import RecordingProxy

KEY = "comfy-canary-5b21"

NO_ACCOUNTS = "a ComfyUI server has no accounts: a job that it lacks is gone"
COMFY = {
    **NO_COSTS,
    **NO_REFERENCES,
    **ANY_OPTION,
    NO_ACCOUNTS: {
        "test_leaves_an_unknown_job_open",
        "test_says_that_an_old_job_is_gone",
    },
    "the vendor says that the file is deleted": {
        "test_leaves_a_job_open_without_its_image[status 404]",
        "test_repeats_a_download[status 404]",
    },
}

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


def respond_failed(request: RecordedRequest) -> StubResponse:
    """Respond as to a prompt that a node has failed."""
    if not request.path.partition("/history/")[2]:
        return StubResponse(json={"queue_running": [], "queue_pending": []})
    prompt_id = request.path.rpartition("/")[2]
    error = {"prompt_id": prompt_id, "exception_message": "out of luck"}
    messages = [["execution_error", error]]
    status = {"status_str": "error", "completed": False, "messages": messages}
    return StubResponse(json={prompt_id: {"outputs": {}, "status": status}})


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
    failure = {"poll": respond_failed}
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

    def doubled(self, response: StubResponse) -> StubResponse:
        entries = msgspec.json.decode(response.body or b"null")
        if not isinstance(entries, dict) or "queue_running" in entries:
            return response
        for entry in entries.values():
            for output in entry["outputs"].values():
                output["images"] += [self.copy_file(file) for file in output["images"]]
        return StubResponse(json=entries)

    def copy_file(self, file: Mapping[str, str]) -> Mapping[str, str]:
        """Copy an output on the server, as no output names a file twice."""
        folder = self.opened[-1].stub.server.folder / "output" / file["subfolder"]
        name = f"2-{file['filename']}"
        (folder / name).write_bytes((folder / file["filename"]).read_bytes())
        return {**file, "filename": name}

    @pytest.fixture
    def unknown_reference(self) -> str:
        pytest.skip(NO_ACCOUNTS)

    @pytest.fixture
    def refusing_backend(self, build: Build, proxy: RecordingProxy) -> ImageBackend:
        proxy.stub.server.models["checkpoints"] = ["another.safetensors"]
        return build(proxy.url)

    @pytest.fixture
    def failing_backend(self, build: Build, proxy: RecordingProxy) -> ImageBackend:
        proxy.stub.server.trouble(fails="mat1 and mat2 shapes cannot be multiplied")
        return build(proxy.url)


class TestOwnServer(ComfyContract):
    lacks = {**COMFY, **NO_MODELS, **NO_KEYS, **NO_CHARGES}


@pytest.mark.nightly
class TestGuardedServer(ComfyContract):
    lacks = {**COMFY, **NO_MODELS}
    may_cost = True
    secrets = {"api_key_env": KEY}

    def options(self, url: str) -> Mapping[str, object]:
        return {**super().options(url), "api_key_env": "COMFY_KEY"}


# Converted with the types of the server's nodes, before the first use.
@pytest.mark.nightly
class TestWorkflowOfTheEditor(TestGuardedServer):
    lacks = COMFY

    def options(self, url: str) -> Mapping[str, object]:
        return {**super().options(url), "workflow": str(DRAWN[0])}
