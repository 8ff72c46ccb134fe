"""The access log: one line for each request, and the id of the request."""

import asyncio
from collections.abc import Callable, Mapping
from os import urandom
from typing import Any

_LONGEST_PATH = 200
# A trusted proxy passes on what its client claims.
_LONGEST_ADDRESS = 60
_DISCONNECTED = 499
_BAD_REQUEST = 400
# Probes, and the many small files of the gallery: logged only if they fail.
_QUIET = ("/health", "/ready", "/metrics", "/gallery/static/")
_QUIET_END = "/thumbnail"


class AccessEntry:
    """One request of the access log.

    Attributes:
        id: In the header X-Request-Id of the response.
        started: True once the response has begun.
        status: The status of the response; 499 if there is none.
    """

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.id = urandom(8).hex()
        self.started = False
        self.status = _DISCONNECTED
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        # What the client sent, before HEAD became GET and the path that of a route.
        # Without the query: it has the signature of a file.
        self._request = f"{scope.get('method')} {scope['path'][:_LONGEST_PATH]}"
        self._path: str = scope["path"]

    def write(self, scope: Mapping[str, Any], log: Callable[[str], None]) -> None:
        """Write the line, unless a request that is sent often has succeeded."""
        quiet = self._path.startswith(_QUIET) or self._path.endswith(_QUIET_END)
        if quiet and self.status < _BAD_REQUEST:
            return
        seconds = self._loop.time() - self._begun
        log(
            f"{self.id} {client_address(scope)} {scope.get('user') or '-'} "
            f"{self._request} {self.status} {seconds:.3f} s"
        )


def client_address(scope: Mapping[str, Any]) -> str:
    """Return the IP address of the client; "unix" for a Unix socket."""
    client = scope.get("client")
    return str(client[0])[:_LONGEST_ADDRESS] if client and client[0] else "unix"
