"""How whoever works is told that nobody wants the result any more."""

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock


class Cancellation:
    """A one-way switch with listeners; safe to use from any thread.

    Not to be thrown from inside a signal handler, because listeners may need a lock
    that the interrupted thread holds: let the handler start a thread that does.
    """

    def __init__(self) -> None:
        self.event = Event()
        self._listeners: list[Callable[[], None]] = []
        self._lock = Lock()

    def cancel(self) -> None:
        """Throw the switch and call every listener, once."""
        with self._lock:
            if self.event.is_set():
                return
            self.event.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            _call(listener)

    def on_cancel(self, listener: Callable[[], None]) -> None:
        """Call the listener when it happens, or at once when it has happened."""
        with self._lock:
            if not self.event.is_set():
                self._listeners.append(listener)
                return
        _call(listener)


def _call(listener: Callable[[], None]) -> None:
    with suppress(Exception):  # one that fails must not keep the others from hearing
        listener()
