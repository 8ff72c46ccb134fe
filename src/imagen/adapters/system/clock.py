"""The clock of the operating system."""

import heapq
import os
import time
from collections.abc import Callable
from datetime import datetime
from itertools import count
from threading import Condition, Event, Thread


class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        """Return the current local time with its UTC offset."""
        return datetime.now().astimezone()

    def monotonic(self) -> float:
        """Return the seconds since an arbitrary fixed moment."""
        return time.monotonic()

    def wait(self, until: Event, seconds: float) -> bool:
        """Block until the event is set or the time is over; return if it is set."""
        return until.wait(min(seconds, _MAX_SECONDS)) if seconds > 0 else until.is_set()

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call the function later in a new thread; return a function that cancels."""
        return _timers.after(min(seconds, _MAX_SECONDS), call)


class _TimerThread:
    """One thread that waits for the timers of the whole process.

    Replaces `threading.Timer`, which takes a thread for each timer: a server waits for
    a thousand backends at once.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start without timers, as in a forked process, which inherits no threads."""
        self._mutex = Condition()
        self._due: list[tuple[float, int, _Timer]] = []
        self._numbers = count()
        self._until = 0.0  # when the thread wakes up without a notification
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


class _Timer:
    """A pending call; `call` is None after the timer was cancelled."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call


_timers = _TimerThread()
os.register_at_fork(after_in_child=_timers.reset)


# Ten years. Waiting longer than threading.TIMEOUT_MAX raises OverflowError.
_MAX_SECONDS = 10 * 365 * 86400.0
