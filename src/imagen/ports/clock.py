"""The port to time."""

from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> datetime:
        """Return this moment in local time, with its offset."""
        ...

    def monotonic(self) -> float:
        """Return seconds from some fixed moment; they never run backwards."""
        ...

    def wait(self, until: Event, seconds: float) -> bool:
        """Come back when the event is set or the seconds are over; say if it is set.

        With 0 seconds or less it only looks.
        """
        ...

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call it so many seconds from now, in another thread.

        Returns:
            How to call it off; too late, or twice, that does nothing.
        """
        ...
