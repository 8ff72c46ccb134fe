"""Use the alternate screen of a terminal and wait there for a key."""

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
    """The alternate screen of a terminal.

    Attributes:
        stopped_by: The number of the signal that ended the wait; 0 for none.
    """

    def __init__(
        self, terminal: int, wake_reader: int, hidden: Callable[[], bool]
    ) -> None:
        self.stopped_by = 0
        self._terminal = terminal
        self._wake_reader = wake_reader
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
            ready = select([self._terminal, self._wake_reader], [], [], every)[0]
            if self._wake_reader in ready:
                if _STOP in os.read(self._wake_reader, 1024):
                    return "quit"
                return "changed"
            if self._terminal in ready:
                pressed = os.read(self._terminal, 1024)
                return "quit" if not pressed or pressed in _QUIT_KEYS else "key"
            if was_hidden and not self._hidden():
                return "changed"  # the picture can be drawn from now on


_VISIBILITY_INTERVAL = 1.0
"""Seconds between two checks whether a pane of an older tmux is visible."""


@contextmanager
def open_fullscreen(
    handle: int, *, hidden: Callable[[], bool]
) -> Generator[Fullscreen]:
    """Switch the terminal to its alternate screen, and restore it on exit.

    Args:
        handle: A file descriptor that writes to the terminal.
        hidden: Returns whether output would be lost because the pane is not visible.

    Raises:
        DrawingError: no keys can be read from the terminal.
    """
    try:
        terminal = os.open(os.ttyname(handle), os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise DrawingError(f"keys cannot be read: {error.strerror}") from error
    # A signal handler may only write to a pipe: select() then wakes up safely.
    wake_reader, wake_writer = os.pipe()
    window = Fullscreen(terminal, wake_reader, hidden)

    def stop(number: int, _: object) -> None:
        window.stopped_by = number
        os.write(wake_writer, _STOP)

    def change(*_: object) -> None:
        os.write(wake_writer, _CHANGE)

    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():
            raise DrawingError("keys cannot be read by a process in the background")
        with raw_input_mode(terminal), _handle_signals(stop, change):
            os.write(terminal, _ENTER)
            try:
                yield window
            finally:
                with suppress(OSError):
                    os.write(terminal, _LEAVE)
    except (OSError, termios.error) as error:
        raise DrawingError(f"the terminal was closed: {error}") from error
    finally:
        for each in (terminal, wake_reader, wake_writer):
            os.close(each)


@contextmanager
def _handle_signals(
    stop: Callable[[int, object], None], change: Callable[[int, object], None]
) -> Generator[None]:
    """Install signal handlers, except for signals that the parent process ignores."""
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
