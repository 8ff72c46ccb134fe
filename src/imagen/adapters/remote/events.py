"""The events that a vendor pushes, read in a thread of its own."""

from abc import ABC, abstractmethod
from contextlib import suppress
from itertools import takewhile
from queue import Empty, SimpleQueue
from socket import SHUT_RDWR
from threading import Event, Thread

from imagen.adapters.remote.http_library import httpx
from imagen.adapters.remote.sse import read_events
from imagen.adapters.remote.vendor import HttpRequest
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.errors import ImagenError

_REOPEN_AFTER = 1.0
"""Seconds between two attempts to open the stream."""


class StreamRefused(Exception):
    """The vendor, or a proxy, does not support the stream."""


class EventStream(ABC):
    """The messages of a stream of events; a lost stream is opened again.

    Attributes:
        opened: Set once the stream is open, or could not be opened.
        usable: False while messages cannot arrive.
        interrupted: True once the stream was lost, and with it perhaps messages.
    """

    def __init__(self, client: VendorClient) -> None:
        """Open the stream in the background; `client` is the vendor's."""
        self.opened = Event()
        self.usable = True
        self.interrupted = False
        self._client = client
        self._messages: SimpleQueue[str | bytes | None] = SimpleQueue()
        self._closed = Event()

    def start(self) -> None:
        """Begin to read."""
        Thread(target=self._run, daemon=True).start()

    @property
    def has_messages(self) -> bool:
        """True while messages wait to be read."""
        return not self._messages.empty()

    def next(self, seconds: float) -> str | bytes | None:
        """Return the next message; None if there is none in time, or it was lost."""
        try:
            return self._messages.get(timeout=seconds)
        except Empty:
            return None

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        self._interrupt()

    def _run(self) -> None:
        while not self._closed.is_set():
            # Events are hints, so a stream that fails is only opened again.
            try:
                with suppress(httpx.HTTPError, httpx.StreamError, ImagenError, OSError):
                    self._read()
                self.interrupted = True
            except StreamRefused:
                return
            finally:
                self.usable = False
                self.opened.set()
                self._messages.put(None)
            self._closed.wait(_REOPEN_AFTER)

    def _receive(self, message: str | bytes | None = None) -> None:
        """Hand over a message; None if the stream has just been opened."""
        if message is not None:
            self._messages.put(message)
        self.usable = True
        self.opened.set()

    @abstractmethod
    def _read(self) -> None:
        """Open the stream, and read it to its end."""

    @abstractmethod
    def _interrupt(self) -> None:
        """End a read that blocks."""


class ServerSentEvents(EventStream):
    """The messages of a stream of server-sent events."""

    def __init__(self, client: VendorClient, request: HttpRequest) -> None:
        super().__init__(client)
        self._request = request
        self._response: httpx.Response | None = None
        # The response may arrive with the first event only.
        self.opened.set()

    def _read(self) -> None:
        with self._client.open_stream(self._request) as response:
            self._response = response
            lines = response.iter_lines() if response.is_success else ()
            while_open = takewhile(lambda _: not self._closed.is_set(), lines)
            for message in read_events(while_open):
                self._receive(message)

    def _interrupt(self) -> None:
        response = self._response
        if response is None:
            return
        # A blocking read ends only with the socket: closing an HTTP client from another
        # thread does not interrupt it on Linux.
        with suppress(OSError, AttributeError, KeyError):
            stream = response.extensions["network_stream"]
            stream.get_extra_info("socket").shutdown(SHUT_RDWR)
