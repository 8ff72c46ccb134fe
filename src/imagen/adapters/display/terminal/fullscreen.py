"""Takes the whole window of a terminal, and waits there for a key."""

import os
import signal
import termios
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from select import select

from imagen.adapters.display.terminal.capability_probe import raw_input_mode
from imagen.ports.viewer import DrawingError, WindowEvent

_ENTER = b"\x1b[?1049h\x1b[?25l"
_LEAVE = b"\x1b[?25h\x1b[?1049l"
_CLEAR = b"\x1b[H\x1b[2J"
_QUIT_KEYS = {b"q", b"Q", b"\x1b", b"\x04"}
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOP, _CHANGE = b"s", b"c"


class Fullscreen:
    """The window while it is held.

    Attributes:
        stopped_by: The number of the signal that ended it; 0 for none.
    """

    def __init__(self, terminal: int, woken: int, hidden: Callable[[], bool]) -> None:
        self.stopped_by = 0
        self._terminal = terminal
        self._woken = woken
        self._hidden = hidden

    def clear(self) -> None:
        """Empty the window."""
        os.write(self._terminal, _CLEAR)

    def wait(self) -> WindowEvent:
        """Wait for the first of what may happen, as long as it takes."""
        while True:
            every = _VISIBILITY_INTERVAL if (unseen := self._hidden()) else None
            ready = select([self._terminal, self._woken], [], [], every)[0]
            if self._woken in ready:
                if _STOP in os.read(self._woken, 1024):
                    return "quit"
                return "changed"
            if self._terminal in ready:
                pressed = os.read(self._terminal, 1024)
                return "quit" if not pressed or pressed in _QUIT_KEYS else "key"
            if unseen and not self._hidden():
                return "changed"  # only now can it be drawn


_VISIBILITY_INTERVAL = 1.0
"""Seconds until the next look whether a window of an older tmux is seen by anybody."""


@contextmanager
def open_fullscreen(
    handle: int, *, hidden: Callable[[], bool]
) -> Generator[Fullscreen]:
    """Hold the window of the terminal that the handle writes to.

    Args:
        handle: Of the terminal.
        hidden: Whether what is drawn now would be lost, because nobody looks on.

    Raises:
        DrawingError: nobody can press a key there.
    """
    try:
        terminal = os.open(os.ttyname(handle), os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise DrawingError(f"no key can be read: {error.strerror}") from error
    woken, wake = os.pipe()
    window = Fullscreen(terminal, woken, hidden)

    def stop(number: int, _: object) -> None:
        window.stopped_by = number
        os.write(wake, _STOP)

    def change(*_: object) -> None:
        os.write(wake, _CHANGE)

    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():
            raise DrawingError("no key can be read in the background")
        with raw_input_mode(terminal), _handle_signals(stop, change):
            os.write(terminal, _ENTER)
            try:
                yield window
            finally:
                with suppress(OSError):
                    os.write(terminal, _LEAVE)
    except (OSError, termios.error) as error:
        raise DrawingError(f"the terminal has gone: {error}") from error
    finally:
        for each in (terminal, woken, wake):
            os.close(each)


@contextmanager
def _handle_signals(
    stop: Callable[[int, object], None], change: Callable[[int, object], None]
) -> Generator[None]:
    """Have the signals heard, but for those that the parent chose to ignore."""
    handlers = {**dict.fromkeys(_STOP_SIGNALS, stop), signal.SIGWINCH: change}
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
