"""Cancellation of running jobs."""

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock


class Cancellation:
    """A one-way switch with listeners, safe to use from any thread.

    Do not call `cancel` inside a signal handler: a listener may need a lock that the
    interrupted thread holds. Let the handler start a thread that calls it.
    """

    def __init__(self) -> None:
        self.event = Event()
        self._listeners: list[Callable[[], None]] = []
        self._lock = Lock()

    def cancel(self) -> None:
        """Set the event and call every listener; a second call does nothing."""
        with self._lock:
            if self.event.is_set():
                return
            self.event.set()
            listeners, self._listeners = self._listeners, []
        # Outside the lock: a listener may add listeners, or cancel again.
        for listener in listeners:
            _call(listener)

    def on_cancel(self, listener: Callable[[], None]) -> None:
        """Call the listener on cancellation, or at once if that has happened."""
        with self._lock:
            if not self.event.is_set():
                self._listeners.append(listener)
                return
        _call(listener)


def _call(listener: Callable[[], None]) -> None:
    # An error in one listener must not keep the others from being called.
    with suppress(Exception):
        listener()
