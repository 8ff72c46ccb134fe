"""The real clock."""

import heapq
import os
import time
from collections.abc import Callable
from datetime import datetime
from itertools import count
from threading import Condition, Event, Thread


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
        return until.wait(min(seconds, _MAX_SECONDS)) if seconds > 0 else until.is_set()

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Have the one thread that waits for all of them start one that calls."""
        return _timers.after(min(seconds, _MAX_SECONDS), call)


class _TimerThread:
    """Wakes up when the next one is due.

    A thread for each would do as well, were it not that a server waits for a thousand
    backends at once.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._mutex = Condition()
        self._due: list[tuple[float, int, _Timer]] = []
        self._numbers = count()
        self._until = 0.0  # when the thread looks again by itself
        self._thread: Thread | None = None

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        alarm = _Timer(call)
        due = (time.monotonic() + seconds, next(self._numbers), alarm)
        with self._mutex:
            heapq.heappush(self._due, due)
            if self._thread is None:
                self._thread = Thread(target=self._wait, name="alarms", daemon=True)
                self._thread.start()
            elif due[0] < self._until:
                self._mutex.notify()
        return lambda: self._cancel(alarm)

    def _cancel(self, alarm: "_Timer") -> None:
        with self._mutex:
            alarm.call = None
            while self._due and self._due[0][2].call is None:
                heapq.heappop(self._due)

    def _wait(self) -> None:
        with self._mutex:
            while True:
                now = time.monotonic()
                self._until = self._due[0][0] if self._due else now + _MAX_SECONDS
                if self._until > now:
                    self._mutex.wait(self._until - now)
                    continue
                call = heapq.heappop(self._due)[2].call
                if call is not None:
                    Thread(target=call, daemon=True).start()

    def forget_inherited(self) -> None:
        """Begin anew in a process that was forked: no thread outlives a fork."""
        self._begin()


class _Timer:
    """What is to be called; None once nobody wants that any more."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call


_timers = _TimerThread()
os.register_at_fork(after_in_child=_timers.forget_inherited)


_MAX_SECONDS = 10 * 365 * 86400.0
"""Ten years: threads cannot wait for more seconds than fit their clock."""
