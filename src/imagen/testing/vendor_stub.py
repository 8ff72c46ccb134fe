"""A stub of a vendor's HTTP API: a function from a request to a response."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from socket import socket
from threading import Event, Lock
from typing import Any, cast
from urllib.parse import unquote, urljoin

import msgspec
from PIL import Image

from imagen.formats.container import NotAnImage, read_facts
from imagen.testing.fakes import tiny_png

DRAW_SECONDS = 0.03
"""How long `Stub.draw` takes, unless a test needs another time."""

MAX_SHOWN = 160
_SHORTEST_VALUE, _SHORTEST_ID = 3, 8


class RecordedRequest(msgspec.Struct, eq=False, kw_only=True):
    """One request as the vendor received it.

    Attributes:
        method: The HTTP method.
        path: The path of the URL, not decoded.
        query: The first value of each query parameter.
        headers: The headers; their names are in lower case.
        body: The body.
        kind: What the kit takes it for: "setup" before the first submit request;
            "submit", "poll", "image" or "cancel".
        arrived: Whether the stub has received it; False if a fault answered instead.
        answer: The response that the client received, in a few words.
        status: The status that the client received; 0 for no complete response.
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""
    kind: str = "setup"
    arrived: bool = False
    answer: str = "no response"
    status: int = 0

    def json(self) -> Any:
        """Return the decoded JSON body.

        Raises:
            ValueError: the body is not JSON.
        """
        return json.loads(self.body)

    def has_value(self, value: object) -> bool:
        """Return whether the path, the query or the body contains the value.

        In JSON the value must be complete; elsewhere it may be part of a text.
        """
        text = _to_text(value)
        if any(text == found for found in self._values()):
            return True
        return len(text) >= _SHORTEST_VALUE and (
            text in unquote(self.path) or text in self._loose_text()
        )

    def has_text(self, text: str) -> bool:
        """Return whether one value contains the text, unchanged."""
        return text in self._loose_text() or any(text in one for one in self._values())

    def shares_id(self, other: "RecordedRequest") -> bool:
        """Return whether an id in this request is in the body of the other one."""
        found = {*self._values(), *self.path.split("/")}
        text = other.body.decode("utf-8", "replace")
        return any(len(value) >= _SHORTEST_ID and value in text for value in found)

    def has_file(self, content: bytes) -> bool:
        """Return whether the body contains the file, as bytes or as Base64."""
        return content in self.body or b64encode(content) in self.body

    def has_secret(self, secret: str) -> bool:
        """Return whether any part contains the secret, also as Base64."""
        parts = f"{self.path} {dict(self.query)} {dict(self.headers)} {self.body!r}"
        encoded = [word for word in parts.split() if len(word) >= len(secret)]
        return secret in parts or any(secret in _decode_base64(one) for one in encoded)

    def describe(self) -> str:
        """Return the request and the response in one line, without headers."""
        body = self.body[:MAX_SHOWN].decode("utf-8", "replace") if self.body else ""
        more = f" and {len(self.body) - MAX_SHOWN} bytes"
        body += more if len(self.body) > MAX_SHOWN else ""
        lost = "" if self.arrived else " (the vendor did not get it)"
        line = f"{self.kind:6} {self.method} {self.path[:MAX_SHOWN]} {body}".rstrip()
        return f"{line} -> {self.answer}{lost}"

    def _values(self) -> Iterator[str]:
        yield from self.query.values()
        with suppress(ValueError):
            pending: list[object] = [json.loads(self.body)]
            while pending:
                value = pending.pop()
                if isinstance(value, dict):
                    pending += cast("dict[str, object]", value).values()
                elif isinstance(value, list):
                    pending += cast("list[object]", value)
                else:
                    yield _to_text(value)

    def _loose_text(self) -> str:
        """Return the body as text, unless it is JSON."""
        with suppress(ValueError):
            json.loads(self.body)
            return ""
        return self.body.decode("utf-8", "replace")


class StubResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The response of a stub.

    Attributes:
        status: The HTTP status.
        json: The body as a value that is encoded as JSON.
        content: The body as bytes, such as an image; None for `json`.
        headers: Additional headers. `Content-Type` follows from the body, unless it is
            given.
    """

    status: int = 200
    json: object = None
    content: bytes | None = None
    headers: Mapping[str, str] = {}

    @property
    def body(self) -> bytes:
        """The encoded body."""
        return json.dumps(self.json).encode() if self.content is None else self.content

    @property
    def media_type(self) -> str:
        """The media type of the body."""
        with suppress(NotAnImage):
            return read_facts(self.body).media_type
        return self.headers.get("Content-Type", "application/json")


class Stub:
    """The base class of an author's stub of a vendor; used by several threads at once.

    A stub answers as the vendor does when nothing is wrong: it accepts jobs, reports
    their state, and returns their images. A LookupError is answered with HTTP 404. The
    contract stages everything else: it stands between the backend and the stub.

    Attributes:
        lock: For the state of the stub.
        pictures: All images that `picture` has made.
        base_url: The address of the stub, without a slash at the end.
        seconds: How long `draw` takes.
        drawing: Set when the first image is drawn by `draw`.
        interrupted: Set when a cancel request arrived.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.pictures: list[bytes] = []
        self.base_url = ""
        self.seconds = DRAW_SECONDS
        self.drawing = Event()
        self.interrupted = Event()

    def __call__(self, request: RecordedRequest) -> StubResponse:
        """Answer a request."""
        raise NotImplementedError

    def upgrade(self, request: RecordedRequest, connection: socket) -> bool:
        """Serve a connection that asks for another protocol, such as a WebSocket.

        Returns:
            False if the request is answered like any other, which is the default.
        """
        return False

    def picture(
        self, width: int, height: int, *, media_type: str = "image/png"
    ) -> bytes:
        """Return a new image of this size, in any format that Pillow can write."""
        content = tiny_png(width, height)
        if media_type != "image/png":
            buffer = BytesIO()
            with Image.open(BytesIO(content)) as image:
                image.save(buffer, media_type.removeprefix("image/"), lossless=True)
            content = buffer.getvalue()
        self.pictures.append(content)
        return content

    def draw(self) -> None:
        """Wait as long as the contract wants, or until a cancel request arrives.

        Call it while an image is drawn, if the submit request lasts as long as the job.
        """
        self.interrupted.clear()
        self.drawing.set()
        self.interrupted.wait(self.seconds)

    def close(self) -> None:
        """Release what the stub holds. Called once, after the last request."""

    def url(self, path: str) -> str:
        """Return the absolute URL of a path of the stub."""
        return urljoin(f"{self.base_url}/", path.lstrip("/"))


def _to_text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _decode_base64(text: str) -> str:
    text = text.strip("'\",:{}[]()")
    try:
        return b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "replace")
    except ValueError:
        return ""
