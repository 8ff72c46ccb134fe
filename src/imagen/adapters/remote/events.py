"""The event stream of a vendor, read in a thread of its own."""

from contextlib import suppress
from queue import Empty, SimpleQueue
from socket import SHUT_RDWR
from threading import Event, Thread

import httpx

from imagen.adapters.remote.vendor import HttpRequest
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.errors import ImagenError

_REOPEN_AFTER = 1.0
"""Seconds between two attempts to open the stream."""


class EventStream:
    """The messages of a stream of server-sent events; a lost stream is opened again."""

    def __init__(self, client: VendorClient, request: HttpRequest) -> None:
        """Open the stream in the background.

        Args:
            client: The HTTP client of the vendor.
            request: The request that opens the stream.
        """
        self._client = client
        self._request = request
        self._messages: SimpleQueue[str] = SimpleQueue()
        self._closed = Event()
        self._response: httpx.Response | None = None
        Thread(target=self._run, daemon=True).start()

    def next(self, seconds: float) -> str | None:
        """Return the next message; None if there is none in time."""
        try:
            return self._messages.get(timeout=seconds)
        except Empty:
            return None

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        response = self._response
        if response is None:
            return
        # A blocking read ends only with the socket: closing an HTTP client from another
        # thread does not interrupt it on Linux.
        with suppress(OSError, AttributeError, KeyError):
            stream = response.extensions["network_stream"]
            stream.get_extra_info("socket").shutdown(SHUT_RDWR)

    def _run(self) -> None:
        while not self._closed.is_set():
            # Events are hints, so a stream that fails is only opened again.
            with suppress(httpx.HTTPError, httpx.StreamError, ImagenError, OSError):
                self._read()
            self._closed.wait(_REOPEN_AFTER)

    def _read(self) -> None:
        with self._client.open_stream(self._request) as response:
            self._response = response
            lines: list[str] = []
            for line in response.iter_lines() if response.is_success else ():
                if self._closed.is_set():
                    return
                if line.startswith("data:"):
                    lines.append(line.removeprefix("data:").removeprefix(" "))
                elif not line and lines:
                    self._messages.put("\n".join(lines))
                    lines = []
