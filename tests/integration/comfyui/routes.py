"""What ComfyUI answers over HTTP."""

import asyncio
import contextlib
import ipaddress
import json
import os
import re
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from aiohttp import web
from PIL import Image
from tests.integration.comfyui import graph as graphs
from tests.integration.comfyui.graph import Graph
from tests.integration.comfyui.records import Gone, Prompt, Request
from tests.integration.comfyui.trouble import RequestTrouble

if TYPE_CHECKING:
    from tests.integration.comfyui.life import Life

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FEATURES = {"supports_preview_metadata": True, "max_upload_size": 104857600}
TROUBLED = "500 Internal Server Error\n\nServer got itself in trouble"
GATEWAY = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}
KINDS = ("output", "temp", "input")
_ASKED: ContextVar[Request] = ContextVar("asked")
_TROUBLE: ContextVar[RequestTrouble | None] = ContextVar("trouble", default=None)


class Routes:
    """Every route there is, with `/api` before it and without."""

    def __init__(self, life: "Life") -> None:
        self.life, self.server = life, life.server

    def app(self) -> web.Application:
        """Put the routes behind the guard."""
        app = web.Application(
            middlewares=[self._guard], client_max_size=FEATURES["max_upload_size"]
        )
        get: dict[str, Handler] = {
            "/queue": self._get_queue,
            "/history": self._get_history,
            "/history/{id}": self._get_history_of,
            "/view": self._get_view,
            "/object_info/{node}": self._get_object_info,
            "/system_stats": self._get_system_stats,
            "/ws": self.life.socket,
        }
        post: dict[str, Handler] = {
            "/prompt": self._post_prompt,
            "/queue": self._post_queue,
            "/interrupt": self._post_interrupt,
            "/free": self._post_free,
            "/upload/image": self._post_image,
            "/upload/mask": self._post_mask,
        }
        here = self.server.prefix
        for root in (f"{here}/api",) if self.server.only_api else (here, f"{here}/api"):
            for path, handler in get.items():
                app.router.add_get(root + path, handler)
            for path, handler in post.items():
                app.router.add_post(root + path, handler)
        return app

    # What every request goes through

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        server = self.server
        path = request.path.removeprefix(server.prefix)
        if path.startswith("/api/"):
            path = path.removeprefix("/api")
        asked = Request(
            method=request.method,
            path=path,
            query=dict(request.query),
            headers=dict(request.headers),
            # What was read here could not be parsed as a form.
            body=b""
            if request.content_type.startswith("multi")
            else await request.read(),
        )
        server.requests.append(asked)
        server.note()
        trouble = server.trouble_of_request(path)
        _ASKED.set(asked)
        _TROUBLE.set(trouble)
        try:
            answer = await self._answer(request, handler, trouble)
        except web.HTTPException as error:
            allow = {k: v for k, v in error.headers.items() if k == "Allow"}
            answer = web.Response(status=error.status, text=error.text, headers=allow)
        except Gone:
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError from None
        except (TypeError, ValueError, LookupError, AttributeError):
            answer = web.Response(status=500, text=TROUBLED)
        asked.status = answer.status
        server.note()
        return answer

    async def _answer(
        self, request: web.Request, handler: Handler, trouble: RequestTrouble | None
    ) -> web.StreamResponse:
        if refused := self._refuse_stranger(request):
            return refused
        if trouble is not None:
            await self._wait(trouble.late)
            if trouble.held:
                await self.life.hold()
            if trouble.drops:
                raise Gone
            if trouble.status is not None:
                return _bad(trouble.status, trouble.body)
        return await handler(request)

    def _refuse_stranger(self, request: web.Request) -> web.Response | None:
        origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
        if origin and _is_loopback(host) and urlsplit(origin).netloc != host:
            return web.Response(status=403)
        token = self.server.token
        if token is None:
            return None
        known = {
            request.headers.get("X-API-Key"),
            request.headers.get("Authorization", "").removeprefix("Bearer "),
            request.query.get("token"),
        }
        if token not in known:
            return web.Response(status=401, text="401: Unauthorized")
        return None

    async def _wait(self, seconds: float) -> None:
        """Wait, unless the server ends meanwhile: then there is no answer."""
        if seconds <= 0:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.life.over.wait(), seconds)
            raise Gone

    # Prompts

    async def _post_prompt(self, request: web.Request) -> web.StreamResponse:
        server, life = self.server, self.life
        trouble = server.trouble_of_prompt()
        if trouble.refuses_with is not None:
            return _bad(trouble.refuses_with, None)
        asked = await request.json()
        number = life.next_number()
        if "prompt" not in asked:
            return _refusal("no_prompt", "No prompt provided", "No prompt provided")
        prompt_id = str(uuid.uuid4())
        if "prompt_id" in asked and not server.ignores_prompt_id:
            prompt_id = str(asked["prompt_id"])
            if refused := self._refuse_id(prompt_id):
                return refused
        graph: Graph = asked["prompt"]
        checked = graphs.check(
            graph,
            server.schemas(),
        )
        if checked.error is not None:
            told = {"error": checked.error, "node_errors": checked.node_errors}
            return web.json_response(told, status=400)
        extra = asked.get("extra_data", {})
        if "client_id" in asked:
            extra["client_id"] = asked["client_id"]
        prompt = Prompt(
            id=prompt_id,
            number=number,
            graph=graph,
            extra_data=extra,
            outputs=checked.outputs,
            trouble=trouble,
        )
        life.put(prompt)
        return await self._answer_prompt(request, prompt, checked.node_errors)

    def _refuse_id(self, prompt_id: str) -> web.Response | None:
        if not self.server.newer:
            return None
        if not CANONICAL.fullmatch(prompt_id):
            told = "prompt_id must be a canonical lower-case UUID"
            return _refusal("invalid_prompt_id", told, prompt_id)
        if prompt_id in self.life.jobs:
            return web.json_response({"error": "prompt_id already exists"}, status=409)
        return None

    async def _answer_prompt(
        self, request: web.Request, prompt: Prompt, node_errors: Mapping[str, object]
    ) -> web.StreamResponse:
        trouble, life = prompt.trouble, self.life
        if trouble.accepts_then is not None:
            self._begin(prompt)
            if trouble.accepts_then == "500":
                return web.Response(status=500, text=TROUBLED)
            if trouble.accepts_then == "hang":
                await life.over.wait()
            raise Gone
        if trouble.frames_before_answer:
            self._begin(prompt)
            await prompt.ended.wait()
            await life.flush()
            await asyncio.sleep(0.02)  # the frames are read before the answer is
        await self._wait(trouble.answer_late)
        answer = web.json_response(
            {
                "prompt_id": prompt.id,
                "number": prompt.number,
                "node_errors": node_errors,
            }
        )
        _ASKED.get().status = 200
        with contextlib.suppress(ConnectionError):
            await answer.prepare(request)
            await answer.write_eof()
        if not trouble.frames_before_answer:
            self._begin(prompt)
        return answer

    def _begin(self, prompt: Prompt) -> None:
        if prompt.trouble.deleted_by_another:
            self.life.delete({prompt.id})
        else:
            self.life.release(prompt)

    async def _get_queue(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "queue_running": [prompt.item for prompt in self.life.running],
                "queue_pending": [prompt.item for prompt in self.life.pending],
            }
        )

    async def _post_queue(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.life.delete(set(asked["delete"]))
        return web.Response()

    async def _post_interrupt(self, request: web.Request) -> web.Response:
        try:
            asked = await request.json()
        except ValueError:
            asked = {}
        self.life.interrupt(asked.get("prompt_id"))
        return web.Response()

    async def _post_free(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked.get("free_memory"):
            self.life.free()
        return web.Response()

    async def _get_history(self, request: web.Request) -> web.Response:
        entries = list(self.life.history.items())
        most = request.query.get("max_items")
        start = 0 if most is None else max(0, len(entries) - int(most))
        return web.json_response(dict(entries[start:]))

    async def _get_history_of(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        entry = self.life.history.get(wanted)
        return web.json_response({} if entry is None else {wanted: entry})

    # Files

    async def _get_view(self, request: web.Request) -> web.StreamResponse:
        name, kind = request.query.get("filename", ""), request.query.get("type")
        kind = "output" if kind is None else kind
        if not name:
            return web.Response(status=404)
        if name.startswith("/") or ".." in name or kind not in KINDS:
            return web.Response(status=400)
        root = self.server.folder / kind
        folder = _within(root, request.query.get("subfolder", ""))
        if folder is None:
            return web.Response(status=403)
        path = folder / os.path.basename(name)  # noqa: PTH119 - as upstream does it
        if not path.is_file():
            return web.Response(status=404)
        return await self._send_file(request, path)

    async def _post_image(self, request: web.Request) -> web.Response:
        return await self._store_upload(request, None)

    async def _post_mask(self, request: web.Request) -> web.Response:
        original = json.loads(str((await request.post())["original_ref"]))
        root = self.server.folder / original.get("type", "output")
        folder = _within(root, original.get("subfolder", ""))
        if folder is None:
            return web.Response(status=400)
        return await self._store_upload(request, folder / original["filename"])

    async def _store_upload(
        self, request: web.Request, original: Path | None
    ) -> web.Response:
        """Store as upstream does: under the name, or the next that is free."""
        form = await request.post()
        sent, subfolder = form["image"], str(form.get("subfolder", ""))
        assert isinstance(sent, web.FileField)
        content = sent.file.read()
        folder = _within(self.server.folder / "input", subfolder)
        if folder is None:
            return web.Response(status=400)
        folder.mkdir(parents=True, exist_ok=True)
        path, number = folder / sent.filename, 0
        while path.exists() and form.get("overwrite") not in {"true", "1"}:
            if path.read_bytes() == content:
                break
            number += 1
            path = path.with_name(f"{Path(sent.filename).stem} ({number}).png")
        if original is not None:
            with Image.open(original) as picture, Image.open(sent.file) as mask:
                made = picture.convert("RGBA")
                made.putalpha(mask.convert("RGBA").getchannel("A"))
            made.save(path)
        elif not path.exists():
            path.write_bytes(content)
        return web.json_response(
            {"name": path.name, "subfolder": subfolder, "type": "input"}
        )

    async def _send_file(self, request: web.Request, path: Path) -> web.StreamResponse:
        headers = {"Content-Disposition": f'filename="{path.name}"'}
        trouble = _TROUBLE.get()
        if trouble is not None:
            return await self._spoilt_view(request, path, headers, trouble)
        return web.FileResponse(path, headers=headers)

    async def _spoilt_view(
        self,
        request: web.Request,
        path: Path,
        headers: dict[str, str],
        trouble: RequestTrouble,
    ) -> web.StreamResponse:
        sent = content = await asyncio.to_thread(path.read_bytes)
        if trouble.cut == "empty":
            sent = b""
        elif trouble.cut is not None:
            sent = content[: len(content) // 2]
        said = len(content) if trouble.cut == "short" else len(sent)
        answer = web.StreamResponse(
            headers={
                **headers,
                "Content-Type": "image/png",
                "Content-Length": str(said),
            }
        )
        try:
            await answer.prepare(request)
            async for piece in self._slowly(sent, trouble.bytes_per_second):
                await answer.write(piece)
            if said > len(sent):
                if request.transport is not None:
                    request.transport.close()
                raise asyncio.CancelledError
            await answer.write_eof()
        except ConnectionError:
            raise Gone from None
        return answer

    async def _slowly(
        self, content: bytes, speed: float | None
    ) -> AsyncIterator[bytes]:
        piece = len(content) or 1
        if speed is not None:
            piece = max(1, int(speed / 20))
        for at in range(0, len(content), piece):
            part = content[at : at + piece]
            yield part
            if speed is not None:
                await self._wait(len(part) / speed)

    async def _get_object_info(self, request: web.Request) -> web.Response:
        schemas = self.server.schemas()
        wanted = request.match_info["node"]
        return web.json_response({wanted: schemas[wanted]} if wanted in schemas else {})

    async def _get_system_stats(self, _: web.Request) -> web.Response:
        memory = 24 * 2**30
        system = {
            "os": "linux" if self.server.newer else "posix",
            "ram_total": memory,
            "ram_free": memory // 2,
            "comfyui_version": self.server.version,
            "required_frontend_version": "1.27.10",
            "installed_templates_version": None,
            "required_templates_version": "0.1.95",
            "python_version": sys.version,
            "pytorch_version": "2.8.0+none",
            "embedded_python": False,
            "argv": ["main.py"],
        }
        device = {
            "name": "cpu",
            "type": "cpu",
            "index": None,
            "vram_total": memory,
            "vram_free": memory // 2,
            "torch_vram_total": memory,
            "torch_vram_free": memory // 2,
        }
        return web.json_response({"system": system, "devices": [device]})


def _within(root: Path, subfolder: str) -> Path | None:
    folder = Path(os.path.normpath(root / subfolder))
    return folder if folder == root or root in folder.parents else None


def _bad(status: int, body: str | None) -> web.Response:
    if body is None and status in GATEWAY:
        told = f"{status} {GATEWAY[status]}"
        body = (
            f"<html>\r\n<head><title>{told}</title></head>\r\n<body>\r\n"
            f"<center><h1>{told}</h1></center>\r\n<hr><center>nginx/1.27</center>\r\n"
            "</body>\r\n</html>\r\n"
        )
    if body is None:
        body = TROUBLED if status == 500 else f"{status}: no"
    kind = "text/html" if body.startswith("<") else "text/plain"
    return web.Response(status=status, text=body, content_type=kind)


def _refusal(kind: str, message: str, details: str) -> web.Response:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=400)


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{unquote(host)}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
