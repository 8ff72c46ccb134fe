"""A vendor with Replicate's protocol whose answers a drill changes, byte by byte.

It runs by a clock that the client shares, so that its times agree with the client's.
"""

import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Literal

import msgspec

from imagen.ports.clock import Clock
from imagen.testing import tiny_png

Route = Literal["submit", "list", "poll", "file"]
IMAGES = [tiny_png(1024, 1024, colour=(n, 90, 90)) for n in range(4)]
"""The files of each job, of which a job usually returns the first."""
PIXEL = tiny_png(64, 64)
"""The file that a response may contain."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A response, and how the connection behaves.

    Attributes:
        headers: All headers but Content-Length.
        length: The stated Content-Length; None for the true one, -1 for none.
        chunked: Whether the body is sent in chunks.
        cut: How many bytes of the whole response are sent; None for all.
        before: Sent before the status line.
        pause: Seconds before each of ten parts of the response.
        ending: What follows: "reset" the connection, or "hang" until the client leaves.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    length: int | None = None
    chunked: bool = False
    cut: int | None = None
    before: bytes = b""
    version: str = "HTTP/1.1"
    pause: float = 0.0
    ending: Literal["close", "reset", "hang"] = "close"

    def encode(self) -> bytes:
        lines = [f"{self.version} {self.status} Any"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        body = self.body
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        elif self.length != -1:
            length = len(body) if self.length is None else self.length
            lines.append(f"Content-Length: {length}")
        lines.append("Connection: close\r\n\r\n")
        whole = self.before + "\r\n".join(lines).encode("latin-1") + body
        return whole if self.cut is None else whole[: self.cut]


Change = Callable[[Answer], Answer]
"""Returns the hostile answer in place of the usual one."""


def json_answer(value: object, status: int = 200) -> Answer:
    return Answer(
        status=status,
        body=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
    )


class HostileVendor(ThreadingHTTPServer):
    """Accepts jobs, makes images, and answers as it is told.

    Attributes:
        changes: The answers in place of the usual ones, by route.
        hostile: Returns whether the next such answer is changed, from their number.
        changed: How many answers were changed.
        accepts: Whether a submit request whose answer is changed creates a job.
        output: Returns the output of a job from the URLs of its images.
        jobs: The accepted jobs, by id.
        sent: The SHA-256 of each file that was sent, and of the one in a response.
    """

    daemon_threads = True

    def __init__(self, clock: Clock) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.clock = clock
        self.changes: Mapping[Route, Change] = {}
        self.hostile: Callable[[int], bool] = lambda _: False
        self.changed = 0
        self.accepts = True
        self.output: Callable[[list[str]], object] = lambda urls: urls[:1]
        self.jobs: dict[str, dict[str, Any]] = {}
        self.sent: set[str] = {sha256(PIXEL).hexdigest()}
        self.closing = Event()
        self._lock = Lock()
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close the connection."""

    def answer(self, method: str, path: str, content: bytes) -> Answer:
        with self._lock:
            route, act = self._find(method, path, content)
            if route is None:
                return json_answer({"detail": "not found"}, 404)
            hostile = route in self.changes and self.hostile(self.changed)
            refused = hostile and route == "submit" and not self.accepts
            usual = Answer() if refused else act()
            answer = self.changes[route](usual) if hostile else usual
            self.changed += answer is not usual
            if route == "file":
                self.sent |= {sha256(it.body).hexdigest() for it in (usual, answer)}
            return answer

    def _find(
        self, method: str, path: str, content: bytes
    ) -> tuple[Route | None, Callable[[], Answer]]:
        path, _, _ = path.partition("?")
        match method, path.strip("/").split("/"):
            case "POST", ["v1", "models", owner, name, "predictions"]:
                model, sent = f"{owner}/{name}", json.loads(content)["input"]
                return "submit", lambda: self._accept(model, sent)
            case "GET", ["v1", "predictions"]:
                return "list", self._list
            case "GET", ["v1", "predictions", job] if job in self.jobs:
                return "poll", lambda: self._poll(job)
            case "GET", ["out", number]:
                return "file", lambda: self._file(int(number.partition(".")[0]))
        return None, Answer

    def _accept(self, model: str, given: Mapping[str, object]) -> Answer:
        number = len(self.jobs) + 1
        job = {
            "id": f"job{number:023}",
            "model": model,
            "version": "hidden",
            "input": given,
            "logs": "",
            "output": None,
            "error": None,
            "status": "starting",
            "source": "api",
            "created_at": self.clock.now().isoformat(),
            "urls": {"get": f"{self.url}/v1/predictions/job{number:023}"},
        }
        self.jobs[str(job["id"])] = job
        return json_answer(job, 201)

    def _list(self) -> Answer:
        jobs = list(reversed(self.jobs.values()))
        return json_answer({"previous": None, "next": None, "results": jobs})

    def _poll(self, job_id: str) -> Answer:
        job = self.jobs[job_id]
        if job["status"] == "starting":
            job["status"] = "processing"
        elif job["status"] == "processing":
            now = self.clock.now().isoformat()
            urls = [f"{self.url}/out/{number}.png" for number in range(4)]
            job |= {
                "status": "succeeded",
                "output": self.output(urls),
                "started_at": job["created_at"],
                "completed_at": now,
                "metrics": {"predict_time": 0.5, "image_count": 1},
            }
        return json_answer(job)

    def _file(self, number: int) -> Answer:
        return Answer(body=IMAGES[number % 4], headers={"Content-Type": "image/png"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HostileVendor

    def _handle(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.answer(self.command, self.path, content)
        date = format_datetime(self.server.clock.now(), usegmt=True)
        headers = {"Date": date, **answer.headers}
        whole = msgspec.structs.replace(answer, headers=headers).encode()
        self.close_connection = True
        if answer.pause:
            size = len(whole) // 10 + 1
            for start in range(0, len(whole), size):
                time.sleep(answer.pause)
                self.wfile.write(whole[start : start + size])
        else:
            self.wfile.write(whole)
        if answer.ending == "hang":
            self.server.closing.wait(60)
        if answer.ending == "reset":
            option = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            self.connection.close()

    do_GET = do_POST = _handle  # noqa: N815 - the names of http.server

    def log_message(self, *_: object) -> None:
        """Log nothing."""
