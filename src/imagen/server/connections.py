"""Limits of connections: their number, and the time for the headers of a request."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_TIMEOUT = 20.0
"""Seconds from the connection, or the first byte of a request, to its last header."""

_TOO_MANY = (
    b'{"error":{"message":"The server has too many open connections.","type":'
    b'"server_error","param":null,"code":"too_many_connections"}}'
)
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nX-Should-Retry: true\r\n"
    b"Content-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_TOO_MANY), _TOO_MANY)
)
_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


# uvicorn's `limit_concurrency` answers in plain text, counts running requests as well,
# and uvicorn has no timeout for headers: https://github.com/encode/uvicorn/issues/1013.
class LimitedProtocol(HttpToolsProtocol):
    """An HTTP connection with a timeout for headers and a limit for its siblings.

    Attributes:
        largest: The number of connections that may be open.
    """

    largest = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse the connection if too many are open."""
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > self.largest:
            self.transport.write(_REFUSAL)
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


def limit_connections(largest: int) -> type[LimitedProtocol]:
    """Return the protocol with this number of connections, for `uvicorn.Config`."""
    return type("LimitedProtocol", (LimitedProtocol,), {"largest": largest})
