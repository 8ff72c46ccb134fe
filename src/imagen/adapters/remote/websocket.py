"""The WebSocket of a vendor that pushes events; imported for such a vendor only."""

import logging
import re
from threading import Thread

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from imagen.adapters.remote.client import USER_AGENT, is_loopback
from imagen.adapters.remote.events import EventStream, StreamRefused
from imagen.adapters.remote.proxies import find_proxy
from imagen.adapters.remote.vendor import WebSocketRequest
from imagen.adapters.remote.vendor_client import CONNECT_TIMEOUT, VendorClient

GREETING_TIMEOUT = 3.0
"""Seconds to wait for the first message, after which the socket is used."""

_REFUSED = range(400, 500)


class WebSocketEvents(EventStream):
    """The messages of a WebSocket; open with its first message, or without one."""

    def __init__(self, client: VendorClient, request: WebSocketRequest) -> None:
        super().__init__(client)
        self._request = request
        self._socket: ClientConnection | None = None

    def _read(self) -> None:
        try:
            socket = self._connect()
        except InvalidStatus as error:
            if error.response.status_code in _REFUSED:
                raise StreamRefused from error
            return
        # ImportError: a SOCKS proxy in the environment needs the package python-socks.
        except (ImportError, ValueError) as error:
            raise StreamRefused from error
        except (EOFError, WebSocketException):
            return
        try:
            self._receive_all(socket)
        except ConnectionClosed:
            pass
        finally:
            socket.close()

    def _receive_all(self, socket: ClientConnection) -> None:
        self._socket = socket
        if self._closed.is_set():
            return
        if self._request.first:
            socket.send(self._request.first)
        try:
            # A server may register a socket after the handshake, and lose the events
            # before; the first message shows that it has registered it.
            message: str | bytes | None = socket.recv(timeout=GREETING_TIMEOUT)
        except TimeoutError:
            message = None
        while not self._closed.is_set():
            self._receive(message)
            message = socket.recv()

    def _connect(self) -> ClientConnection:
        url = self._client.build_socket_url(self._request)
        proxy = None if is_loopback(url) else find_proxy(url)
        return connect(
            url,
            ssl=self._client.ssl_context if url.startswith("wss:") else None,
            additional_headers=self._client.require_credentials(),
            user_agent_header=USER_AGENT,
            compression=None,  # costs more time than it saves
            # As with httpx, the proxy looks the host up.
            proxy=proxy and re.sub("^socks5:", "socks5h:", proxy),
            open_timeout=CONNECT_TIMEOUT,
            close_timeout=0.5,
            # Previews and error messages can be large.
            max_size=None,
            # With a full queue, the server would wait until it is read.
            max_queue=None,
            # At the level DEBUG the library logs all headers, and so the key; a logger
            # of `getLogger` would inherit that level.
            logger=logging.Logger("silent", logging.CRITICAL + 1),  # noqa: LOG001
        )

    def _interrupt(self) -> None:
        # In a thread: it waits for the server's close frame.
        if self._socket is not None:
            Thread(target=self._socket.close, daemon=True).start()
