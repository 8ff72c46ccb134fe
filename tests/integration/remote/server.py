"""A server whose responses a test chooses, and which records every request."""

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

import msgspec


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> dict[str, object]:
        return json.loads(self.content)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A response.

    Attributes:
        length: The Content-Length; None for the true one.
        delay: Seconds before the response, or until the server stops.
        dropped: Whether the connection is closed without a response.
    """

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = {}
    length: int | None = None
    delay: float = 0.0
    dropped: bool = False


def json_reply(value: object, status: int = 200, **headers: str) -> Reply:
    content = msgspec.json.encode(value)
    return Reply(
        status=status,
        content=content,
        headers={"Content-Type": "application/json", **headers},
    )


class ScriptedServer(ThreadingHTTPServer):
    """Answers each request with the reply of `answer`.

    Attributes:
        answer: Returns the reply to a request.
        requests: All requests, in order of arrival.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Callable[[Recorded], Reply] = lambda _: Reply(status=404)
        self.requests: list[Recorded] = []
        self.lock = Lock()
        self.closing = Event()
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def sent(self, method: str, path: str) -> list[Recorded]:
        """Return the recorded requests with this method and beginning of the path."""
        with self.lock:
            return [
                request
                for request in self.requests
                if request.method == method and request.path.startswith(path)
            ]

    def stop(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ScriptedServer

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        request = Recorded(
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            content=self.rfile.read(length),
        )
        with self.server.lock:
            self.server.requests.append(request)
        reply = self.server.answer(request)
        self.server.closing.wait(reply.delay) if reply.delay else None
        if reply.dropped:
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        headers = {"Date": self.date_time_string(), **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        length = len(reply.content) if reply.length is None else reply.length
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(reply.content)
        self.close_connection = length != len(reply.content)

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815 - the names of http.server

    def log_message(self, *_: object) -> None:
        """Log nothing."""
