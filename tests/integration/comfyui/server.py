"""A ComfyUI of our own: the recorded protocol on a real socket, trouble included.

    with ComfyServer() as server:                     # 127.0.0.1, a port of its own
        client = Client(server.url)
        server.trouble(history_late=0.3)              # for every prompt from here on
        server.trouble(accepts_then="500", times=1)   # for the next prompt only
        server.spoil("/view", status=502, times=2)    # for the next two requests
        ...
        assert server.count("POST", "/prompt") == 1   # what was asked
        assert server.ran == [prompt_id]              # what was run

It behaves as a ComfyUI 0.3.64 was seen to: one worker, first in first out,
every route with and without `/api`. `PromptTrouble` and `RequestTrouble` in
`trouble.py` list all the trouble there is. Nothing happens by chance.

Ways to be another server, all keywords of `ComfyServer`: `prefix="/comfy"` (a base
path), `token="…"` (401 without it), `newer=True` (prompt ids must be UUIDs, used once;
flux2 nodes), `ignores_prompt_id=True` (older), `previews=True`,
`models={"checkpoints": [...]}`, `without_nodes=[...]`, `greets=False` (silent),
`sid="…"` (another one than asked for), `only_api=True`, `host="::1"`, `tls=…`,
`step_seconds`.

What a test does to it while it runs: `restart(away=…)`, `delete_file(name)`, `occupy()`
(a prompt of another client runs until `resume()`), `pauses=True` and `resume()`;
`wait_until(condition)` waits for anything that is recorded: `requests`, `prompts`,
`frames`, `sockets`. test_recordings.py holds it against recordings.

    python -m tests.integration.comfyui.server --port 8188 --step 0.1

runs it by hand.
"""

import argparse
import asyncio
import contextlib
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.integration.comfyui.graph import Graph
from tests.integration.comfyui.life import Life
from tests.integration.comfyui.nodes import MODELS, object_info
from tests.integration.comfyui.records import Frame, Prompt, Request
from tests.integration.comfyui.trouble import (
    OUT_OF_MEMORY,
    OUT_OF_MEMORY_TYPE,
    PromptTrouble,
    RequestTrouble,
)

__all__ = [
    "OUT_OF_MEMORY",
    "OUT_OF_MEMORY_TYPE",
    "ComfyServer",
    "Frame",
    "Prompt",
    "PromptTrouble",
    "Request",
    "RequestTrouble",
]


class ComfyServer:
    """A ComfyUI that does as it is told; see the module for how to use it."""

    def __init__(
        self,
        *,
        prefix: str = "",
        token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        newer: bool = False,
        ignores_prompt_id: bool = False,
        only_api: bool = False,
        greets: bool = True,
        sid: str | None = None,
        previews: bool = False,
        preview_bytes: int = 2000,
        preview_picture: bytes | None = None,
        models: Mapping[str, Collection[str]] | None = None,
        without_nodes: Collection[str] = (),
        step_seconds: float = 0.0,
    ) -> None:
        self.prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        self.token, self.host, self.port, self.tls = token, host, port, tls
        self.newer, self.ignores_prompt_id = newer, ignores_prompt_id
        self.version = "0.26.0" if newer else "0.3.64"
        self.only_api, self.greets, self.sid = only_api, greets, sid
        self.previews, self.preview_bytes = previews, preview_bytes
        self.preview_picture = preview_picture
        self._models = {**MODELS, **(models or {})}
        self.without_nodes = set(without_nodes)
        self.step_seconds = step_seconds

        self._forget()

        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="comfyui", daemon=True
        )
        self._port_kept: socket.socket | None = None
        self._home: tempfile.TemporaryDirectory[str] | None = None
        self._life: Life | None = None
        self._away: set[asyncio.Task[None]] = set()

    def _forget(self) -> None:
        """Begin with nothing recorded, no trouble and all the files there are."""
        self.models: dict[str, list[str]] = {
            folder: list(names) for folder, names in self._models.items()
        }
        self.requests: list[Request] = []
        self.prompts: list[Prompt] = []
        self.ran: list[str] = []
        """Ids of the prompts that were started, in order."""
        self.frames: list[Frame] = []
        self.sockets_opened: list[str] = []
        """The client id of every socket ever opened."""
        self.paused: list[str] = []
        """Ids of the prompts that stand still until `resume()`."""

        self._troubles: list[tuple[dict[str, Any], list[int]]] = []
        self._spoilt: list[tuple[RequestTrouble, list[int]]] = []

    # Its life

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Begin to listen."""
        self._home = tempfile.TemporaryDirectory(prefix="comfyui-")
        for folder in ("output", "temp", "input"):
            (self.folder / folder).mkdir()
        if not self.port:
            self._keep_a_port()
        self._thread.start()
        try:
            self._on_loop(self._come_back())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End, whatever is under way, and leave nothing behind."""
        if self._home is None:
            return

        async def end() -> None:
            for task in self._away:
                task.cancel()
            await asyncio.gather(*self._away, return_exceptions=True)
            await self._kill()
            await self._loop.shutdown_asyncgens()
            await self._loop.shutdown_default_executor()

        self._on_loop(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._port_kept is not None:
            self._port_kept.close()
        self._home.cleanup()
        self._home = None

    def restart(self, *, away: float = 0.0) -> None:
        """Die, and be back after so many seconds; returns when it is back."""
        self._on_loop(self._restart(away), seconds=30 + away)

    def reset(self) -> None:
        """Be as new for the next test: restart, with no files and nothing recorded."""
        self._on_loop(self._reset())

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        scheme = "https" if self.tls else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}{self.prefix}"

    @property
    def folder(self) -> Path:
        """Where `output`, `temp` and `input` are."""
        assert self._home is not None, "the server was not started"
        return Path(self._home.name)

    # Trouble

    def trouble(self, *, times: int | None = None, **trouble: Any) -> None:
        """Order trouble for the prompts to come; see `PromptTrouble` for which.

        With `times` for so many prompts only. A prompt has the trouble of every
        order that still holds; where two name the same thing, the later one does.
        """
        PromptTrouble(**trouble)  # a word that it does not know is told here
        self._on_loop(self._do(self._troubles.append, (trouble, _left(times))))

    def spoil(self, path: str, *, times: int | None = None, **trouble: Any) -> None:
        """Order trouble for requests to a path; see `RequestTrouble` for which."""
        order = RequestTrouble(path=path, times=times, **trouble)
        self._on_loop(self._do(self._spoilt.append, (order, _left(times))))

    def resume(self) -> None:
        """Let what stands still go on."""
        self._with(lambda life: life.resume())

    def occupy(self, *, client_id: str = "somebody-else") -> str:
        """Queue a prompt of somebody else that runs until `resume()`; gives its id."""
        drawing: Graph = {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 1},
            },
            "2": {
                "class_type": "SaveImage",
                "inputs": {"images": ["1", 0], "filename_prefix": "theirs"},
            },
        }
        prompt = Prompt(
            id=str(uuid.uuid4()),
            number=-1.0,
            graph=drawing,
            extra_data={"client_id": client_id},
            outputs=["2"],
            trouble=PromptTrouble(pauses=True, at_step=0),
        )

        def queue(life: Life) -> None:
            prompt.number = life.next_number()
            life.put(prompt)
            life.release(prompt)

        self._with(queue)
        return prompt.id

    def delete_file(self, filename: str, *, subfolder: str = "") -> None:
        """Remove a finished picture from the server's disk."""
        (self.folder / "output" / subfolder / filename).unlink()

    # What happened

    def count(self, method: str, path: str) -> int:
        """Count the requests of a method to a path (without prefix and `/api`)."""
        return len(self.asked(method, path))

    def asked(self, method: str, path: str) -> list[Request]:
        """List the requests of a method to a path, or to what is below it."""
        return [
            request
            for request in list(self.requests)
            if request.method == method
            and (request.path == path or request.path.startswith(path + "/"))
        ]

    def prompt(self, prompt_id: str) -> Prompt:
        """Find a prompt by its id, the last one if there are two."""
        found = [prompt for prompt in list(self.prompts) if prompt.id == prompt_id]
        assert found, f"no prompt {prompt_id}"
        return found[-1]

    @property
    def sockets(self) -> list[str]:
        """The client ids that get frames now."""
        return list(self._life.sockets) if self._life else []

    @property
    def up(self) -> bool:
        """Whether it listens."""
        return self._life is not None

    @property
    def queued(self) -> list[str]:
        """The ids that are running or pending."""
        life = self._life
        return [p.id for p in [*life.running, *life.pending]] if life else []

    def wait_until(
        self, condition: Callable[[], object], *, seconds: float = 60.0
    ) -> None:
        """Wait for something that the server does or is asked, without polling."""
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise TimeoutError(f"It did not come to that within {seconds} s.")

    # Inside: everything below runs on the loop, but for the first three

    def _on_loop(self, work: Coroutine[Any, Any, None], *, seconds: float = 30) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def _with(self, act: Callable[[Life], object]) -> None:
        async def run() -> None:
            act(self._alive())
            self.note()

        self._on_loop(run())

    async def _do(self, act: Callable[..., object], *given: object) -> None:
        act(*given)
        self.note()

    def _alive(self) -> Life:
        assert self._life is not None, "the server is down"
        return self._life

    def note(self) -> None:
        """Wake whoever waits for something to happen."""
        with self._changed:
            self._changed.notify_all()

    def _keep_a_port(self) -> None:
        """Take a free port that nobody else can have while the server is away."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        kept = socket.socket(family, socket.SOCK_STREAM)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind((self.host, 0))
        self.port = kept.getsockname()[1]
        if sys.platform == "linux":
            self._port_kept = kept  # bound but not listening: connections are refused
        else:
            kept.close()

    async def _come_back(self) -> None:
        if self._life is not None:
            return
        _empty(self.folder / "temp")
        life = Life(self)
        await life.begin()
        self._life = life
        self.note()

    async def _kill(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            await life.end()
        self.note()

    async def _reset(self) -> None:
        for task in self._away:
            task.cancel()
        await self._kill()
        for folder in ("output", "input"):
            _empty(self.folder / folder)
        self._forget()
        await self._come_back()

    async def _restart(self, away: float) -> None:
        await self._kill()
        await asyncio.sleep(away)
        await self._come_back()

    def restart_soon(self, away: float) -> None:
        """Restart from within, while a prompt runs."""
        task = self._loop.create_task(self._restart(away))
        self._away.add(task)
        task.add_done_callback(self._away.discard)

    def trouble_of_prompt(self) -> PromptTrouble:
        """Add up the trouble for the prompt that comes now."""
        wanted: dict[str, Any] = {}
        for order, left in self._troubles:
            if left and left[0] == 0:
                continue
            if left:
                left[0] -= 1
            wanted.update(order)
        return PromptTrouble(**wanted)

    def trouble_of_request(self, path: str) -> RequestTrouble | None:
        """Find the trouble for the request that comes now."""
        for order, left in reversed(self._spoilt):
            if left and left[0] == 0:
                continue
            if path != order.path and not path.startswith(order.path + "/"):
                continue
            if left:
                left[0] -= 1
            return order
        return None

    def sid_for(self, asked: str) -> str:
        """Give the id under which a new socket is registered; "" for any."""
        if self.sid is None:
            return asked
        before = len(self.sockets_opened)
        return f"{self.sid}-{before + 1}" if before else self.sid

    def schemas(self) -> dict[str, Mapping[str, object]]:
        """List the nodes there are, with the files there are."""
        folder = self.folder / "input"
        files = (path for path in folder.rglob("*") if path.is_file())
        return object_info(
            self.models,
            newer=self.newer,
            without=self.without_nodes,
            inputs=[str(path.relative_to(folder)) for path in files],
        )


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _left(times: int | None) -> list[int]:
    return [] if times is None else [times]


def main() -> None:
    """Run the server by hand until it is interrupted."""
    words = argparse.ArgumentParser(description="A ComfyUI that only pretends.")
    words.add_argument("--port", type=int, default=8188)
    words.add_argument("--step", type=float, default=0.1, help="seconds per step")
    words.add_argument("--newer", action="store_true")
    words.add_argument("--previews", action="store_true")
    said = words.parse_args()
    with ComfyServer(
        port=said.port,
        step_seconds=said.step,
        newer=said.newer,
        previews=said.previews,
    ) as server:
        print(server.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
