"""The real clock."""

import time
from collections.abc import Callable
from datetime import datetime
from threading import Event, Timer


class SystemClock:
    """Time as the operating system tells it."""

    def now(self) -> datetime:
        """Return this moment in local time."""
        return datetime.now().astimezone()

    def monotonic(self) -> float:
        """Return seconds since some moment in the past."""
        return time.monotonic()

    def wait(self, until: Event, seconds: float) -> bool:
        """Block this thread until the event or the end of the time."""
        return until.wait(min(seconds, _LONGEST)) if seconds > 0 else until.is_set()

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Start a thread that waits and then calls."""
        timer = Timer(min(seconds, _LONGEST), call)
        timer.daemon = True
        timer.start()
        return timer.cancel


_LONGEST = 10 * 365 * 86400.0
"""Ten years: threads cannot wait for more seconds than fit their clock."""
