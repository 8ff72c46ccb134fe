"""Detect the image protocols of a terminal by querying it, within a time limit.

Hand-made because `textual_image` queries the terminal as a side effect of its import,
and because a query must not swallow the keys that the user has typed ahead, must not be
sent from a background process, and must not go through tmux.
"""

import os
import re
import termios
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from fcntl import ioctl
from select import select
from struct import pack, unpack
from typing import Protocol

import msgspec

from imagen.adapters.system.tmux import Tmux, TmuxEnvironment, TmuxError
from imagen.ports.clock import Clock
from imagen.ports.viewer import DrawingError, Method

TIMEOUT = 1.0
"""Seconds for all answers together; a terminal that answers nothing takes them all."""
TMUX_TIMEOUT = 3.0
"""Seconds for one tmux command; a tmux that hangs longer displays nothing anyway."""

_GRAPHICS = b"\x1b_Gi=4211,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_NAME, _CELL, _AREA, _ATTRIBUTES = b"\x1b[>q", b"\x1b[16t", b"\x1b[14t", b"\x1b[c"
"""Queries for name, cell size, text area size and device attributes.

Every terminal answers the last one, and answers in the order of the queries: its answer
ends the wait for the others.
"""

_GRAPHICS_ANSWER = re.compile(rb"\x1b_Gi=4211;OK\x1b\\")
_NAME_ANSWER = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b\\")
_CELL_ANSWER = re.compile(rb"\x1b\[6;([0-9]{1,4});([0-9]{1,4})t")
_AREA_ANSWER = re.compile(rb"\x1b\[4;([0-9]{1,6});([0-9]{1,6})t")
_ATTRIBUTES_ANSWER = re.compile(rb"\x1b\[\?([0-9;]*)c")

_SIXEL = b"4"
_DEFAULT_CELL = 10, 20
_LARGEST_IN_XTERM = 1000
_UNABLE = ("dumb", "linux", "screen", "vt100", "vt102", "vt220", "unknown")
"""Values of $TERM for terminals without images, or which print the queries as text."""
_MAX_ANSWER = 10_000
_PLACEHOLDERS = ("kitty", "ghostty")
"""Terminals with Unicode placeholders; others claim the Kitty protocol without them."""


class TerminalEnvironment(TmuxEnvironment, Protocol):
    """The environment variables that describe the terminal, also by name."""

    terminal: Mapping[str, str]


class TerminalCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The image protocols and limits of a terminal.

    Attributes:
        methods: The supported methods, the best first; never empty.
        cell: Width and height of a character, in pixels.
        true_colour: Whether text can have 24-bit colours rather than 256.
        tmux: The tmux that this process runs in; None outside tmux.
        exact_ids: Whether tmux passes 24-bit colours on, which carry the picture ids
            of Unicode placeholders.
        largest: The longest side of a picture in pixels; 0 for no limit.
    """

    methods: tuple[Method, ...] = ("blocks",)
    cell: tuple[int, int] = _DEFAULT_CELL
    true_colour: bool = False
    tmux: Tmux | None = None
    exact_ids: bool = True
    largest: int = 0


def probe_terminal(
    handle: int, environment: TerminalEnvironment, *, clock: Clock
) -> TerminalCapabilities:
    """Return the capabilities of the terminal that the handle writes to.

    The terminal is queried only while this process is in the foreground and no typed
    key is waiting, so that reading the answers loses no input.
    """
    if environment.tmux:
        return _probe_tmux(handle, environment, clock=clock)
    variables = environment.terminal
    term = variables.get("TERM", "")
    true_colour = variables.get("COLORTERM", "") in {"truecolor", "24bit"}
    true_colour = true_colour or term.endswith("-direct")
    if term.startswith(_UNABLE) or variables.get("TERM_PROGRAM") == "Apple_Terminal":
        cell = _cell_size(handle, b"")
        return TerminalCapabilities(cell=cell, true_colour=true_colour)
    queries = (_GRAPHICS, _NAME, _CELL, _AREA, _ATTRIBUTES)
    answer = _query(handle, b"".join(queries), clock=clock)
    name = found[1] if (found := _NAME_ANSWER.search(answer)) else b""
    programs = {variables.get("TERM_PROGRAM", ""), variables.get("LC_TERMINAL", "")}
    kitty = bool(_GRAPHICS_ANSWER.search(answer))
    iterm2 = name.startswith((b"iTerm2", b"WezTerm", b"mintty"))
    iterm2 = iterm2 or not programs.isdisjoint({"iTerm.app", "iTerm2", "WezTerm"})
    supported: dict[Method, bool] = {
        "kitty": kitty,
        "iterm2": iterm2,
        "sixel": _SIXEL in _device_attributes(answer),
        "blocks": True,
    }
    return TerminalCapabilities(
        methods=tuple(method for method, has in supported.items() if has),
        cell=_cell_size(handle, answer),
        true_colour=true_colour or kitty or iterm2,
        # xterm refuses pictures over 1000 pixels in its default configuration.
        largest=_LARGEST_IN_XTERM if name.startswith(b"XTerm") else 0,
    )


def _probe_tmux(
    handle: int, environment: TerminalEnvironment, *, clock: Clock
) -> TerminalCapabilities:
    """Query tmux for its own capabilities and for those of its clients.

    A query to the terminal behind tmux would be answered into the pane that has the
    focus, which may be another one.
    """
    answer = _query(handle, _CELL + _ATTRIBUTES, clock=clock)
    methods: list[Method] = ["sixel"] if _SIXEL in _device_attributes(answer) else []
    tmux, exact = None, True
    try:
        tmux = Tmux(environment)
        words = "#{client_termtype} #{client_termname};#{client_termfeatures}"
        command = ("list-clients", "-t", tmux.pane, "-F", words)
        lines = tmux.run(*command, timeout=TMUX_TIMEOUT).splitlines()
        if lines and all(
            any(name in line.lower() for name in _PLACEHOLDERS) for line in lines
        ):
            methods.insert(0, "kitty")
        exact = all("RGB" in line.rpartition(";")[2] for line in lines)
    except TmuxError:
        pass  # text in blocks works without an answer
    return TerminalCapabilities(
        methods=(*methods, "blocks"),
        cell=_cell_size(handle, answer),
        true_colour=True,
        tmux=tmux,
        exact_ids=exact,
    )


def _device_attributes(answer: bytes) -> list[bytes]:
    found = _ATTRIBUTES_ANSWER.search(answer)
    return found[1].split(b";")[1:] if found else []


def wait_until_drawn(handle: int, *, clock: Clock) -> None:
    """Wait until the terminal has processed all output; at most `TIMEOUT` seconds."""
    _query(handle, _ATTRIBUTES, clock=clock)


def read_terminal_size(handle: int) -> tuple[int, int]:
    """Return the columns and rows of the terminal; 80 and 24 where it has no size."""
    try:
        columns, rows = os.get_terminal_size(handle)
    except OSError:
        columns, rows = 0, 0
    return columns or 80, rows or 24


def _cell_size(handle: int, answer: bytes) -> tuple[int, int]:
    """Return the size of a character, from the kernel or else from the terminal."""
    with suppress(OSError):
        size = ioctl(handle, termios.TIOCGWINSZ, pack("4H", 0, 0, 0, 0))
        rows, columns, width, height = unpack("4H", size)
        if rows and columns and width // columns and height // rows:
            return width // columns, height // rows
    if found := _CELL_ANSWER.search(answer):
        height, width = int(found[1]), int(found[2])
        if width and height:
            return width, height
    if found := _AREA_ANSWER.search(answer):
        columns, rows = read_terminal_size(handle)
        width, height = int(found[2]) // columns, int(found[1]) // rows
        if width and height:
            return width, height
    return _DEFAULT_CELL


def _query(handle: int, query: bytes, *, clock: Clock) -> bytes:
    """Return the terminal's answer; b"" when it cannot be queried."""
    answer, end = b"", clock.monotonic() + TIMEOUT
    with suppress(DrawingError), open_keyboard(handle) as terminal:
        if select([terminal], [], [], 0)[0]:
            return b""  # the user has typed ahead
        os.write(terminal, query)
        while not _ATTRIBUTES_ANSWER.search(answer) and len(answer) < _MAX_ANSWER:
            left = end - clock.monotonic()
            if left <= 0 or not select([terminal], [], [], left)[0]:
                break
            if not (more := os.read(terminal, 1024)):
                break
            answer += more
    return answer


@contextmanager
def open_keyboard(handle: int) -> Generator[int]:
    """Open the terminal of a handle to read single keys, which it does not echo.

    Raises:
        DrawingError: no keys can be read, or the terminal was closed meanwhile.
    """
    try:
        terminal = os.open(os.ttyname(handle), os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise DrawingError(f"keys cannot be read: {error.strerror}") from error
    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():
            # SIGTTIN would stop this process.
            raise DrawingError("keys cannot be read by a process in the background")
        before = termios.tcgetattr(terminal)
        during = termios.tcgetattr(terminal)
        during[3] &= ~(termios.ICANON | termios.ECHO)
        during[6][termios.VMIN], during[6][termios.VTIME] = 1, 0
        termios.tcsetattr(terminal, termios.TCSANOW, during)
        try:
            yield terminal
        finally:
            termios.tcsetattr(terminal, termios.TCSANOW, before)
    except (OSError, termios.error) as error:
        raise DrawingError(f"the terminal was closed: {error}") from error
    finally:
        os.close(terminal)
