"""The port for the time."""

from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import Protocol


class Clock(Protocol):
    """A source of the current time, with interruptible waits and timers."""

    def now(self) -> datetime:
        """Return the current local time with its UTC offset."""
        ...

    def monotonic(self) -> float:
        """Return the seconds since a fixed moment; the value never decreases."""
        ...

    def wait(self, until: Event, seconds: float) -> bool:
        """Wait for the event or the timeout; return whether the event is set.

        With a timeout of 0 seconds or less, only read the event.
        """
        ...

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Start a timer that runs `call` in another thread after the given seconds.

        Returns:
            A function that cancels the timer. After `call` has started, and on every
            further use, the function does nothing.
        """
        ...
