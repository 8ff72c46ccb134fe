"""A TCP relay that cuts connections at random."""

import random
import socket
from contextlib import suppress
from threading import Lock, Thread, Timer
from typing import Self


class CuttingRelay:
    """Relays connections to a port of this machine, and cuts some of them.

    Args:
        to: The port.
        share: The share of connections that are cut, from 0 to 1.
        within: Seconds within which a connection is cut.

    Attributes:
        cut: The number of connections that were cut.
    """

    def __init__(self, to: int, *, share: float, within: float, seed: int) -> None:
        self.cut = 0
        self._to, self._share, self._within = to, share, within
        self._random, self._lock = random.Random(seed), Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._relay, args=[client], daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            with self._lock:
                is_cut = self._random.random() < self._share
                after = self._random.uniform(0, self._within)
            timer = Timer(after, self._cut, [client, server])
            timer.daemon = True
            if is_cut:
                timer.start()
            Thread(target=_copy, args=[client, server], daemon=True).start()
            _copy(server, client)
            timer.cancel()

    def _cut(self, *ends: socket.socket) -> None:
        self.cut += 1
        for end in ends:
            _shut(end)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    _shut(target)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
