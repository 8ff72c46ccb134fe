"""ComfyUI from one start to its end: the queue, the worker and the sockets."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web
from tests.integration.comfyui.records import Frame, Interrupted, Preview, Prompt
from tests.integration.comfyui.routes import FEATURES, Routes
from tests.integration.comfyui.run import Run

if TYPE_CHECKING:
    from tests.integration.comfyui.server import ComfyServer


@dataclass
class Socket:
    """One WebSocket that is open, registered or not."""

    ws: web.WebSocketResponse
    transport: asyncio.Transport
    metadata: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Life:
    """The server from one start to its end: queue, history, cache and sockets."""

    def __init__(self, server: "ComfyServer") -> None:
        self.server = server
        self.pending: list[Prompt] = []
        self.running: list[Prompt] = []
        self.jobs: dict[str, Prompt] = {}
        self.history: dict[str, dict[str, Any]] = {}
        self.cache: dict[str, dict[str, Any] | None] = {}
        self.sockets: dict[str, Socket] = {}
        self.client_id: object = None
        self.last_node: str | None = None
        self.over = asyncio.Event()
        self._counter = 0
        self._deaf_next: set[str] = set()
        self._wake = asyncio.Event()
        self._go_on = asyncio.Event()
        self._stop = False
        self._free = False
        self._outbox: asyncio.Queue[tuple[float, str, Any, object]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None

    async def begin(self) -> None:
        """Listen, and start the worker."""
        server = self.server
        app = Routes(self).app()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            server.host,
            server.port,
            ssl_context=server.tls,
            reuse_address=True,
        )
        await site.start()
        self._tasks = [
            asyncio.create_task(self._publish()),
            asyncio.create_task(self._work()),
        ]

    async def end(self) -> None:
        """Cut every connection and lose what was in memory."""
        self.over.set()
        for task in self._tasks:
            task.cancel()
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
            if self._runner.server is not None:
                for connection in list(self._runner.server.connections):
                    if connection.transport is not None:
                        connection.transport.abort()
            await self._runner.cleanup()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for prompt in [*self.pending, *self.running]:
            prompt.state = "lost"

    # The queue

    def next_number(self) -> int:
        """Take the next number, which a refused prompt uses up as well."""
        self._counter += 1
        return self._counter - 1

    def put(self, prompt: Prompt) -> None:
        """Queue a prompt."""
        self.pending.append(prompt)
        self.jobs[prompt.id] = prompt
        self.server.prompts.append(prompt)
        self.send_status()

    def release(self, prompt: Prompt) -> None:
        """Let the worker take a prompt, now that it was answered."""
        prompt.released = True
        self._wake.set()

    def delete(self, ids: Collection[str]) -> None:
        """Take these out of the queue; what runs goes on running."""
        for prompt in [prompt for prompt in self.pending if prompt.id in ids]:
            self.pending.remove(prompt)
            prompt.end("deleted")
            self.send_status()
        self._wake.set()

    def interrupt(self, prompt_id: str | None) -> None:
        """Stop what runs, or this one if it is what runs."""
        if prompt_id is None or any(p.id == prompt_id for p in self.running):
            self._stop = True
            self._go_on.set()

    def resume(self) -> None:
        """Let what stands still go on."""
        self._go_on.set()

    async def hold(self) -> None:
        """Wait until `resume`."""
        self._go_on.clear()
        await self._go_on.wait()

    def free(self) -> None:
        """Drop the cache once nothing runs."""
        self._free = True
        self._wake.set()

    # Frames

    def send(self, kind: str, said: Any, to: object, *, late: float = 0.0) -> None:
        """Put a frame in line: for one client id, or with None for every socket."""
        due = asyncio.get_running_loop().time() + late
        self._outbox.put_nowait((due, kind, said, to))

    def send_status(self) -> None:
        """Tell everybody how much there is to do."""
        remaining = len(self.pending) + len(self.running)
        told = {"status": {"exec_info": {"queue_remaining": remaining}}}
        self.send("status", told, None)
        self.server.note()

    async def flush(self) -> None:
        """Wait until every frame in line was sent."""
        await self._outbox.join()

    async def drop(self, sid: str, how: str) -> None:
        """Close a socket, or cut it; when this returns it is forgotten as well."""
        socket = self.sockets.get(sid)
        if socket is None:
            return
        if how == "abort":
            socket.transport.abort()
        else:
            await socket.ws.close()
        await socket.ended.wait()

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, kind, said, to = await self._outbox.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            for sid in list(self.sockets):
                if to is None or to == sid:
                    await self._tell_if_fit(sid, kind, said, broadcast=to is None)
            self._outbox.task_done()

    async def _tell_if_fit(
        self, sid: str, kind: str, said: Any, *, broadcast: bool
    ) -> None:
        if not isinstance(said, Preview):
            await self._tell(sid, kind, said)
            return
        socket = self.sockets.get(sid)
        rich = socket is not None and socket.metadata and not broadcast
        if rich is (said.metadata is not None):
            await self._tell(sid, kind, said.packed)

    async def _tell(self, sid: str, kind: str, said: Any) -> None:
        socket = self.sockets.get(sid)
        if socket is None:
            return
        self.server.frames.append(Frame(sid, kind, said))
        with contextlib.suppress(ConnectionError, RuntimeError):
            if isinstance(said, bytes):
                await socket.ws.send_bytes(said)
            else:
                await socket.ws.send_str(json.dumps({"type": kind, "data": said}))
        self.server.note()

    # The worker

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            if self._free:
                self._free = False
                self.cache.clear()
            if not self.pending or not self.pending[0].released:
                await self._wake.wait()
                continue
            prompt = self.pending.pop(0)
            self.running.append(prompt)
            self.server.ran.append(prompt.id)
            prompt.state = "running"
            self._stop = False
            self.client_id = prompt.client_id
            self.send_status()
            await Run(self, prompt).run()

    def look(self) -> None:
        """Stop here if somebody interrupted."""
        if self._stop:
            raise Interrupted

    async def moment(self, prompt: Prompt) -> None:
        """Do what was ordered for this moment of the prompt."""
        trouble, server, client = prompt.trouble, self.server, prompt.client_id
        if isinstance(client, str) and (trouble.drops_socket or trouble.deaf):
            await self.flush()
            if trouble.deaf:
                self.sockets.pop(client, None)
            if trouble.deaf_after_reconnect:
                self._deaf_next.add(client)
            if trouble.drops_socket:
                await self.drop(client, trouble.drops_socket)
        if trouble.interrupted_by_another:
            self._stop = True
        if trouble.restarts is not None:
            await self.flush()
            server.restart_soon(trouble.restarts)
            await asyncio.Event().wait()
        if trouble.pauses and not self._stop:
            self._go_on.clear()
            server.paused.append(prompt.id)
            server.note()
            try:
                await self._go_on.wait()
            finally:
                server.paused.remove(prompt.id)
        self.look()

    # Sockets

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Serve `/ws` from its greeting to its end."""
        ws = web.WebSocketResponse(timeout=1.0)
        await ws.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        socket = Socket(ws, request.transport)
        asked = request.query.get("clientId", "")
        sid = self.server.sid_for(asked) or uuid.uuid4().hex
        self.sockets[sid] = socket
        self.server.sockets_opened.append(asked)
        try:
            await self._greet(sid)
            first = True
            async for message in ws:
                if first and message.type is WSMsgType.TEXT:
                    await self._negotiate(sid, socket, message.data)
                first = False
        finally:
            # As upstream does it: whoever has this id by now is forgotten with it.
            self.sockets.pop(sid, None)
            socket.ended.set()
            self.server.note()
        return ws

    async def _greet(self, sid: str) -> None:
        if self.server.greets:
            remaining = len(self.pending) + len(self.running)
            told: dict[str, Any] = {"exec_info": {"queue_remaining": remaining}}
            await self._tell(sid, "status", {"status": told, "sid": sid})
        if self.client_id == sid and self.last_node is not None:
            await self._tell(sid, "executing", {"node": self.last_node})
        if sid in self._deaf_next:
            self._deaf_next.discard(sid)
            self.sockets.pop(sid, None)
        self.server.note()

    async def _negotiate(self, sid: str, socket: Socket, said: str) -> None:
        with contextlib.suppress(ValueError, AttributeError):
            message = json.loads(said)
            if message.get("type") == "feature_flags":
                flags = message.get("data", {})
                socket.metadata = bool(flags.get("supports_preview_metadata"))
                await self._tell(sid, "feature_flags", dict(FEATURES))
