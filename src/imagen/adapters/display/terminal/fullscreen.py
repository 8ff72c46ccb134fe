"""Use the alternate screen of a terminal and wait there for a key."""

import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from select import select

from imagen.adapters.display.terminal.capability_probe import open_keyboard
from imagen.ports.viewer import WindowEvent

_ENTER = b"\x1b[?1049h\x1b[?25l"
_LEAVE = b"\x1b[?25h\x1b[?1049l"
_CLEAR = b"\x1b[H\x1b[2J"
_QUIT_KEYS = {b"q", b"Q", b"\x1b", b"\x04"}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH)
_VISIBILITY_INTERVAL = 1.0
"""Seconds between two checks whether a pane of an older tmux is visible."""


class Fullscreen:
    """The alternate screen of a terminal.

    Attributes:
        stopped_by: The number of the signal that ended the wait; 0 for none.
    """

    def __init__(self, terminal: int, signals: int, hidden: Callable[[], bool]) -> None:
        self.stopped_by = 0
        self._terminal = terminal
        self._signals = signals
        self._hidden = hidden

    def clear(self) -> None:
        """Clear the screen."""
        os.write(self._terminal, _CLEAR)

    def wait(self) -> WindowEvent:
        """Wait without a time limit for a key, a signal, or another window size."""
        while True:
            # tmux before 3.4 drops the output of a hidden pane and sends no event when
            # the pane becomes visible: only then is there something to poll for.
            every = _VISIBILITY_INTERVAL if (was_hidden := self._hidden()) else None
            ready = select([self._terminal, self._signals], [], [], every)[0]
            if self._signals in ready:
                received = set(os.read(self._signals, 1024)) & set(_SIGNALS)
                self.stopped_by = max(received - {signal.SIGWINCH}, default=0)
                return "quit" if self.stopped_by else "changed"
            if self._terminal in ready:
                pressed = os.read(self._terminal, 1024)
                return "quit" if not pressed or pressed in _QUIT_KEYS else "key"
            if was_hidden and not self._hidden():
                return "changed"  # the picture can be drawn from now on


@contextmanager
def open_fullscreen(
    handle: int, *, hidden: Callable[[], bool]
) -> Generator[Fullscreen]:
    """Switch the terminal to its alternate screen, and restore it on exit.

    `hidden` tells whether output would be lost because the pane is not visible.

    Raises:
        DrawingError: no keys can be read from the terminal.
    """
    with open_keyboard(handle) as terminal, _signal_pipe() as signals:
        os.write(terminal, _ENTER)
        try:
            yield Fullscreen(terminal, signals, hidden)
        finally:
            with suppress(OSError):
                os.write(terminal, _LEAVE)


@contextmanager
def _signal_pipe() -> Generator[int]:
    """Yield a pipe that receives the numbers of signals, which wakes select() up."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = {
        # A handler that does nothing: the number is written to the pipe.
        number: signal.signal(number, lambda _number, _frame: None)
        for number in _SIGNALS
        # A signal that the parent process ignores, as nohup does, stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield reader
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        os.close(reader)
        os.close(writer)
