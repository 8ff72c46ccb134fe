"""Limits of connections: their number, and the time for the headers of a request."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from imagen.server.errors import ErrorResponse

HEADER_TIMEOUT = 20.0
"""Seconds from the connection, or the first byte of a request, to its last header."""


def _build_answer(status: str, error: ErrorResponse) -> bytes:
    """Return a whole response, after which the connection is closed."""
    headers = {
        **error.headers,
        "Content-Type": "application/json",
        "Content-Length": str(len(error.body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + error.body


_TOO_MANY = _build_answer(
    "503 Service Unavailable",
    ErrorResponse(
        503,
        "The server has too many open connections.",
        code="too_many_connections",
        retry_after=5,
    ),
)
_LATE = _build_answer(
    "408 Request Timeout",
    ErrorResponse(
        408,
        f"The headers did not arrive within {HEADER_TIMEOUT:.0f} seconds.",
        code="timeout",
    ),
)
_INVALID = _build_answer(
    "400 Bad Request",
    ErrorResponse(400, "The request is not valid HTTP.", code="invalid_request"),
)


# uvicorn's `limit_concurrency` answers in plain text, counts running requests as well,
# and uvicorn has no timeout for headers: https://github.com/encode/uvicorn/issues/1013.
class LimitedProtocol(HttpToolsProtocol):
    """An HTTP connection with a timeout for headers and a limit for its siblings.

    Attributes:
        largest: The number of connections that may be open.
        log: Writes a line to the log.
    """

    largest = 0
    log: Callable[[str], None]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse the connection if too many are open."""
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > self.largest:
            self.transport.write(_TOO_MANY)
            self.transport.close()
        else:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._clear_deadline()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start the time for the headers."""
        self._begun = True
        self._set_deadline()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop the time for the headers."""
        self._begun = False
        self._clear_deadline()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be parsed in OpenAI's format."""
        del msg
        client = self.client[0] if self.client else "unix"
        self.log(f"request from {client} is not valid HTTP: 400")
        self._clear_deadline()
        self.transport.write(_INVALID)
        self.transport.close()

    def _set_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_TIMEOUT, self._end_late)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_late(self) -> None:
        if self._begun:
            self.transport.write(_LATE)
        self.transport.close()


def limit_connections(
    largest: int, log: Callable[[str], None]
) -> type[LimitedProtocol]:
    """Return the protocol with this number of connections, for `uvicorn.Config`."""
    attributes = {"largest": largest, "log": staticmethod(log)}
    return type("LimitedProtocol", (LimitedProtocol,), attributes)


class UvicornLog(logging.Handler):
    """Writes uvicorn's warnings and errors to the log of the server.

    Args:
        log: Writes a line to the log.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, unless `send_400_response` has a better one."""
        message = self.format(record)
        if message != "Invalid HTTP request received.":
            self._log(message)
