"""A simulator of a vendor behind the proxy of `HttpBackendContract`."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from threading import Thread
from urllib.parse import urlencode, urlsplit

import httpx

from imagen.testing import RecordedRequest, Stub, StubResponse

OF_THE_CONNECTION = {
    *("accept-encoding", "connection", "content-length", "date", "host"),
    *("keep-alive", "server", "transfer-encoding"),
}
"""Headers that are not forwarded."""


class ForwardingStub(Stub):
    """A stub that forwards each request to a simulator on another port.

    Args:
        upstream: The address of the simulator, such as http://127.0.0.1:8188.
        headers: Sent to the simulator in place of those of the client.
    """

    def __init__(self, upstream: str, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.upstream = upstream
        self.headers = headers
        self.client = httpx.Client(base_url=upstream, timeout=60)

    def close(self) -> None:
        self.client.close()

    def upgrade(self, request: RecordedRequest, connection: socket.socket) -> bool:
        parts = urlsplit(self.upstream)
        lines = [f"{request.method} {_target(request)} HTTP/1.1"]
        headers = {**request.headers, **self.headers}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with socket.create_connection((parts.hostname, parts.port)) as upstream:
            upstream.sendall("\r\n".join([*lines, "", ""]).encode())
            Thread(target=_copy, args=[connection, upstream], daemon=True).start()
            _copy(upstream, connection)
        return True

    def __call__(self, request: RecordedRequest) -> StubResponse:
        headers = {**_forwarded(request.headers), **self.headers}
        response = self.client.request(
            request.method, _target(request), headers=headers, content=request.body
        )
        # The simulator names itself in its responses.
        own, proxy = self.upstream.encode(), self.base_url.encode()
        return StubResponse(
            status=response.status_code,
            content=response.content.replace(own, proxy),
            headers=_forwarded(response.headers),
        )


def _target(request: RecordedRequest) -> str:
    query = urlencode(request.query)
    return f"{request.path}?{query}" if query else request.path


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in headers.items() if name not in OF_THE_CONNECTION
    }


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy bytes until one side is closed, and close the other."""
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
