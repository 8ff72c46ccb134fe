"""A TCP relay that cuts connections, all at once or at random."""

import random
import socket
from contextlib import suppress
from threading import Event, Lock, Thread, Timer
from typing import Self


class CuttingRelay:
    """Relays connections to a port of this machine, and cuts some of them.

    Args:
        to: The port.
        share: The share of connections that are cut at random, from 0 to 1.
        within: Seconds within which such a connection is cut.

    Attributes:
        cut: The number of connections that were cut.
    """

    def __init__(
        self, to: int, *, share: float = 0.0, within: float = 0.0, seed: int = 0
    ) -> None:
        self.cut = 0
        self._open: set[tuple[socket.socket, socket.socket]] = set()
        self._resumed = Event()
        self._resumed.set()
        self._to, self._share, self._within = to, share, within
        self._random, self._lock = random.Random(seed), Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self._listener)  # ends `accept`, which closing does not
        self._listener.close()

    def cut_all(self) -> None:
        """Cut all connections; those that come later wait for `resume`."""
        self._resumed.clear()
        with self._lock:
            ends = list(self._open)
        for each in ends:
            self._cut(*each)

    def resume(self) -> None:
        """Relay connections again."""
        self._resumed.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._relay, args=[client], daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        self._resumed.wait()
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            with self._lock:
                self._open.add((client, server))
                is_cut = self._random.random() < self._share
                after = self._random.uniform(0, self._within)
            timer = Timer(after, self._cut, [client, server])
            timer.daemon = True
            if is_cut:
                timer.start()
            Thread(target=_copy, args=[client, server], daemon=True).start()
            _copy(server, client)
            timer.cancel()
            with self._lock:
                self._open.discard((client, server))

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
