"""Limits of connections: each test feeds the protocol, and ends its time itself."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import uvicorn
from tests.unit.server.asking import echo
from uvicorn.server import ServerState

from imagen.server.connections import HEADER_TIMEOUT, LimitedProtocol, limit_connections

WHOLE = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Timers:
    """The running event loop, except that the tests end the time for headers."""

    def __init__(self) -> None:
        self._handles: list[asyncio.TimerHandle] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)

    def call_later(
        self, delay: float, callback: Callable[[], None]
    ) -> asyncio.TimerHandle:
        handle = asyncio.get_running_loop().call_later(3600, callback)
        if delay == HEADER_TIMEOUT:
            self._handles.append(handle)
        return handle

    def end(self) -> None:
        for handle in self._handles:
            if not handle.cancelled():
                handle._run()


class Connections:
    def __init__(self, largest: int) -> None:
        self.log: list[str] = []
        self._protocol = limit_connections(largest, self.log.append)
        self._config = uvicorn.Config(
            echo, http=self._protocol, log_config=None, lifespan="off"
        )
        self._state = ServerState()
        self.timers = Timers()

    def connect(self) -> tuple[LimitedProtocol, Transport]:
        protocol, transport = (
            self._protocol(
                config=self._config,
                server_state=self._state,
                app_state={},
                _loop=self.timers,
            ),
            Transport(),
        )
        protocol.connection_made(transport)
        return protocol, transport

    async def finish(self) -> None:
        """Wait for the responses of the requests that were fed."""
        await asyncio.gather(*self._state.tasks)


async def feed(*parts: bytes) -> Transport:
    """Return the connection after these parts, and the end of the time for headers."""
    connections = Connections(10)
    protocol, transport = connections.connect()
    for part in parts:
        protocol.data_received(part)
        await connections.finish()
    connections.timers.end()
    return transport


def test_a_connection_without_a_request_is_closed() -> None:
    transport = asyncio.run(feed())

    assert (transport.closed, transport.sent) == (True, b"")


def test_half_headers_are_408() -> None:
    transport = asyncio.run(feed(b"GET / HTTP/1.1\r\nHo"))

    assert transport.closed
    assert transport.sent.startswith(b"HTTP/1.1 408 ")


def test_half_headers_after_a_request_are_408() -> None:
    transport = asyncio.run(feed(WHOLE, WHOLE[:20]))

    assert transport.closed
    assert transport.sent.startswith(b"HTTP/1.1 200 ")
    assert transport.sent.count(b"HTTP/1.1 408 ") == 1


def test_whole_headers_have_no_time_limit_after_them() -> None:
    upload = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n1"
    for parts in ([WHOLE], [WHOLE, WHOLE], [upload]):
        transport = asyncio.run(feed(*parts))

        assert not transport.closed
        assert b" 408 " not in transport.sent


def test_what_is_not_http_is_400_in_openais_format() -> None:
    transport = asyncio.run(feed(b"\x16\x03\x01\x02 GET\r\n\r\n"))

    head, _, body = transport.sent.partition(b"\r\n\r\n")
    assert transport.closed
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "invalid_request"


def test_too_many_connections_are_503() -> None:
    async def connect() -> list[Transport]:
        connections = Connections(1)
        protocol, first = connections.connect()
        _, second = connections.connect()
        protocol.data_received(WHOLE)
        await connections.finish()
        return [first, second]

    first, second = asyncio.run(connect())

    assert first.sent.startswith(b"HTTP/1.1 200 ")
    assert (first.closed, second.closed) == (False, True)
    assert second.sent.startswith(b"HTTP/1.1 503 ")
    assert b"too_many_connections" in second.sent
