"""A small Chalk on a socket of this machine."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

from imagen.testing import tiny_png


class Chalk(ThreadingHTTPServer):
    """Draws squares; how it behaves is said by `mood`.

    `once` is a status with which it answers the first order, and only that;
    `thinks` is how many seconds pass before it says that it has taken one.
    """

    daemon_threads = True
    request_queue_size = 128  # a crowd connects at once

    def __init__(
        self, key: str, *, once: int = 0, mood: str = "well", thinks: float = 0
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key, self.once, self.mood, self.thinks = key, once, mood, thinks
        self.orders: dict[str, dict[str, int]] = {}
        self.looks: dict[str, int] = {}
        self.sent: list[bytes] = []
        self.cancelled: list[str] = []
        self.lock = Lock()
        self.closing = Event()
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hung up."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Chalk

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {self.server.key}":
            return self._answer(401)
        once, self.server.once = self.server.once, 0
        if once:
            return self._answer(once, headers={"Retry-After": "7"})
        with self.server.lock:
            name = f"d-{len(self.server.orders) + 1}"
            self.server.orders[name] = order
        if self.server.mood == "vanishing":
            self.close_connection = True
            return None
        self.server.closing.wait(self.server.thinks)
        return self._answer(202, {"id": name, "state": "drawing"})

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {self.server.key}":
            return self._answer(401)
        if self.path == "/v1/account":
            return self._answer(self.server.once or 200, {})
        _, _, _, name, *rest = self.path.split("/")
        if rest:
            return self._send_image(self.server.orders[name])
        if self.server.mood == "silent":
            self.server.closing.wait(60)
            return self._answer(503)
        looks = self.server.looks[name] = self.server.looks.get(name, 0) + 1
        done = "done" if self.server.mood == "well" else self.server.mood
        return self._answer(
            200,
            {
                "id": name,
                "state": done if looks > 2 else "drawing",
                "progress": min(1.0, looks / 2),
                "seed": self.server.orders[name]["seed"],
                "price_micros": 4000,
            },
        )

    def do_DELETE(self) -> None:
        self.server.cancelled.append(self.path.rpartition("/")[2])
        self._answer(200, {})

    def _send_image(self, order: dict[str, int]) -> None:
        content = tiny_png(order["width"], order["height"])
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
        """Say nothing."""
