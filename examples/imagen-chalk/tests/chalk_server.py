"""A simulator of the Chalk API on a local port."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

from imagen.testing import tiny_png


class ChalkServer(ThreadingHTTPServer):
    """A server that draws squares, or fails in a given way.

    Args:
        key: The API key that it accepts.
        first_status: The HTTP status that answers the first submit request; 0 for none.
        behaviour: "well"; "refused" or "failed", the state in which drawings end;
            "disconnecting", which accepts a drawing and closes the connection; or
            "silent", which does not answer status requests.
        submit_delay: Seconds between accepting a drawing and answering.

    Attributes:
        submitted: The body of each submit request, by the id of the drawing.
        sent: The image files that were downloaded.
        cancelled: The ids of the drawings that were cancelled.
        received: Set when a drawing was accepted, before the answer.
    """

    daemon_threads = True
    # The contract sends many requests at once; the default backlog of 5 refuses some.
    request_queue_size = 128

    def __init__(
        self,
        key: str,
        *,
        first_status: int = 0,
        behaviour: str = "well",
        submit_delay: float = 0,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key, self.behaviour = key, behaviour
        self.first_status, self.submit_delay = first_status, submit_delay
        self.submitted: dict[str, dict[str, int]] = {}
        self.polls: dict[str, int] = {}
        self.sent: list[bytes] = []
        self.cancelled: list[str] = []
        self.lock = Lock()
        self.closing = Event()
        self.received = Event()
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Print errors, except those of clients that closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ChalkServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {self.server.key}":
            return self._answer(401)
        status, self.server.first_status = self.server.first_status, 0
        if status:
            return self._answer(status, headers={"Retry-After": "7"})
        with self.server.lock:
            name = f"d-{len(self.server.submitted) + 1}"
            self.server.submitted[name] = body
        self.server.received.set()
        if self.server.behaviour == "disconnecting":
            self.close_connection = True
            return None
        self.server.closing.wait(self.server.submit_delay)
        return self._answer(202, {"id": name, "state": "drawing"})

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {self.server.key}":
            return self._answer(401)
        if self.path == "/v1/account":
            return self._answer(self.server.first_status or 200, {})
        _, _, _, name, *rest = self.path.split("/")
        if name not in self.server.submitted:
            return self._answer(404)
        if rest:
            return self._send_image(self.server.submitted[name])
        if self.server.behaviour == "silent":
            self.server.closing.wait(60)
            return self._answer(503)
        polls = self.server.polls[name] = self.server.polls.get(name, 0) + 1
        behaviour = self.server.behaviour
        end = "done" if behaviour == "well" else behaviour
        if name in self.server.cancelled:
            end, polls = "failed", 3
        return self._answer(
            200,
            {
                "id": name,
                "state": end if polls > 2 else "drawing",
                "progress": min(1.0, polls / 2),
                "seed": self.server.submitted[name]["seed"],
                "price_micros": 4000,
            },
        )

    def do_DELETE(self) -> None:
        self.server.cancelled.append(self.path.rpartition("/")[2])
        self._answer(200, {})

    def _send_image(self, body: dict[str, int]) -> None:
        content = tiny_png(body["width"], body["height"])
        self.server.sent.append(content)
        self._answer(200, content)

    def _answer(
        self,
        status: int,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""
