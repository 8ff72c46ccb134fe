"""Handling of SIGINT, SIGTERM and SIGHUP while images are generated."""

import os
import signal
from threading import Thread
from types import FrameType
from typing import Self

from imagen.adapters.system.clock import SystemClock
from imagen.engine.cancellation import Cancellation

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STDERR = 2
_REPEATED = 0.5
"""Seconds in which the same signal again is the same request: a supervisor may send it
to the process and to its group."""
_SHOW_CURSOR = b"\x1b[?25h"


class StopSignals:
    """A context in which the first signal cancels and a later one exits at once.

    Attributes:
        cancellation: Triggered by the first signal.
        exit_code: 128 plus the number of the signal; None before the first one.
    """

    def __init__(self) -> None:
        self.cancellation = Cancellation()
        self.exit_code: int | None = None
        self._clock = SystemClock()
        self._first_at = 0.0
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in _STOPPING:
            # A signal that the parent process ignores (`nohup`) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # The same signal again must not kill the process while it exits.
            if self.exit_code != 128 + number:
                signal.signal(number, handler)  # type: ignore[arg-type]  # from signal()

    def _stop(self, number: int, _: FrameType | None) -> None:
        now = self._clock.monotonic()
        if self.exit_code is not None:
            same = self.exit_code == 128 + number
            if same and now - self._first_at < _REPEATED:
                return
            # Not through sys.stderr: rich replaces it while a progress bar is shown.
            if os.isatty(_STDERR):
                os.write(_STDERR, _SHOW_CURSOR)
            os._exit(128 + number)
        self.exit_code, self._first_at = 128 + number, now
        # In a thread: the handler interrupts the main thread, which may hold the lock
        # that `cancel` needs.
        Thread(target=self.cancellation.cancel, daemon=True).start()
