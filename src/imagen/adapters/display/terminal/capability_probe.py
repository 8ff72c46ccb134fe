"""Finds out what the terminal can draw: by asking it, within a time that has an end."""

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

from imagen.adapters.system.tmux import Tmux, TmuxError
from imagen.ports.clock import Clock
from imagen.ports.viewer import Method

TIMEOUT = 1.0
"""Seconds for all answers together; a terminal that knows none of this costs them."""
TMUX_TIMEOUT = 3.0
"""Seconds for an answer of tmux; where it gives none, nothing is seen in it anyway."""

_GRAPHICS = b"\x1b_Gi=4211,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_NAME, _CELL, _AREA, _ATTRIBUTES = b"\x1b[>q", b"\x1b[16t", b"\x1b[14t", b"\x1b[c"
"""The last is answered by every terminal, and after what was asked before it."""

_GRAPHICS_ANSWER = re.compile(rb"\x1b_Gi=4211;OK\x1b\\")
_NAME_ANSWER = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b\\")
_CELL_ANSWER = re.compile(rb"\x1b\[6;([0-9]{1,4});([0-9]{1,4})t")
_AREA_ANSWER = re.compile(rb"\x1b\[4;([0-9]{1,6});([0-9]{1,6})t")
_ATTRIBUTES_ANSWER = re.compile(rb"\x1b\[\?([0-9;]*)c")

_SIXEL = b"4"
_DEFAULT_CELL = 10, 20
_LARGEST_IN_XTERM = 1000
_UNABLE = ("dumb", "linux", "screen", "vt100", "vt102", "vt220", "unknown")
"""Terminals that know nothing of this, or show the questions on the screen."""
_MAX_ANSWER = 10_000
_PLACEHOLDERS = ("kitty", "ghostty")
"""Terminals that put pictures where text says so; others only say that they draw."""


class TerminalEnvironment(Protocol):
    """What has to be known of the environment."""

    @property
    def tmux(self) -> str:
        """What `$TMUX` says."""
        ...

    @property
    def tmux_pane(self) -> str:
        """What `$TMUX_PANE` says."""
        ...

    @property
    def terminal(self) -> Mapping[str, str]:
        """What `$TERM`, `$COLORTERM`, `$TERM_PROGRAM` and `$LC_TERMINAL` say."""
        ...


class TerminalCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a terminal can draw.

    Attributes:
        methods: Every way that it knows, the best first; never empty.
        cell: Width and height of a character, in pixels.
        true_colour: Whether text can have any colour, not only one of 256.
        tmux: The tmux that it is behind, if it is.
        exact_ids: Whether that one passes any colour on, as placeholders want it.
        largest: The longest side of a picture that it takes, in pixels; 0 is any.
    """

    methods: tuple[Method, ...] = ("blocks",)
    cell: tuple[int, int] = _DEFAULT_CELL
    true_colour: bool = False
    tmux: Tmux | None = None
    exact_ids: bool = True
    largest: int = 0


def probe_terminal(
    handle: int,
    surroundings: TerminalEnvironment,
    *,
    clock: Clock,
    patience: float = TIMEOUT,
) -> TerminalCapabilities:
    """Return what the terminal can draw that the handle writes to.

    It is asked only while this process may read from it and nobody has typed ahead:
    not a key that somebody pressed is lost to the answers.
    """
    said = surroundings.terminal
    term = said.get("TERM", "")
    true_colour = (
        said.get("COLORTERM", "") in {"truecolor", "24bit"}
        or term.endswith("-direct")
        or bool(surroundings.tmux)  # which has what the terminal outside can do
    )
    if surroundings.tmux:
        return _probe_tmux(handle, surroundings, clock=clock, patience=patience)
    if term.startswith(_UNABLE) or said.get("TERM_PROGRAM") == "Apple_Terminal":
        cell = _cell_size(handle, b"")
        return TerminalCapabilities(cell=cell, true_colour=true_colour)
    asked = (_GRAPHICS, _NAME, _CELL, _AREA, _ATTRIBUTES)
    answer = _query(handle, b"".join(asked), clock=clock, patience=patience)
    name = found[1] if (found := _NAME_ANSWER.search(answer)) else b""
    calls_itself = (said.get("TERM_PROGRAM", ""), said.get("LC_TERMINAL", ""))
    known = {
        "kitty": bool(_GRAPHICS_ANSWER.search(answer)),
        "iterm2": name.startswith((b"iTerm2", b"WezTerm", b"mintty"))
        or any(each in {"iTerm.app", "iTerm2", "WezTerm"} for each in calls_itself),
        "sixel": _SIXEL in _device_attributes(answer),
        "blocks": True,
    }
    return TerminalCapabilities(
        methods=tuple(method for method in _METHODS if known[method]),
        cell=_cell_size(handle, answer),
        true_colour=true_colour or known["kitty"] or known["iterm2"],
        largest=_LARGEST_IN_XTERM if name.startswith(b"XTerm") else 0,
    )


_METHODS: tuple[Method, ...] = ("kitty", "iterm2", "sixel", "blocks")


def _probe_tmux(
    handle: int, surroundings: TerminalEnvironment, *, clock: Clock, patience: float
) -> TerminalCapabilities:
    """Ask tmux what it shows, and what it is shown on.

    The terminal itself is not asked: it would answer into whichever pane has the focus.
    """
    answer = _query(handle, _CELL + _ATTRIBUTES, clock=clock, patience=patience)
    methods: list[Method] = ["sixel"] if _SIXEL in _device_attributes(answer) else []
    tmux, exact = None, True
    try:
        tmux = Tmux(surroundings)
        words = "#{client_termtype} #{client_termname};#{client_termfeatures}"
        asked = ("list-clients", "-t", tmux.pane, "-F", words)
        lines = tmux.run(*asked, patience=TMUX_TIMEOUT).splitlines()
        if lines and all(_has_placeholders(line) for line in lines):
            methods.insert(0, "kitty")
        exact = all("RGB" in line.rpartition(";")[2] for line in lines)
    except TmuxError:
        pass  # then it is text that it shows for certain
    return TerminalCapabilities(
        methods=(*methods, "blocks"),
        cell=_cell_size(handle, answer),
        true_colour=True,
        tmux=tmux,
        exact_ids=exact,
    )


def _has_placeholders(line: str) -> bool:
    return any(name in line.lower() for name in _PLACEHOLDERS)


def _device_attributes(answer: bytes) -> list[bytes]:
    found = _ATTRIBUTES_ANSWER.search(answer)
    return found[1].split(b";")[1:] if found else []


def wait_until_drawn(handle: int, *, clock: Clock) -> None:
    """Wait until the terminal took all that was written to it, if it can say so."""
    _query(handle, _ATTRIBUTES, clock=clock, patience=TIMEOUT)


def read_terminal_size(handle: int) -> tuple[int, int]:
    """Return how many columns and rows the terminal has, and never fewer than one."""
    try:
        columns, rows = os.get_terminal_size(handle)
    except OSError:
        columns, rows = 0, 0
    return columns or 80, rows or 24


def _cell_size(handle: int, answer: bytes) -> tuple[int, int]:
    """Return the size of a character: as the system, else as the terminal says."""
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


def _query(handle: int, question: bytes, *, clock: Clock, patience: float) -> bytes:
    """Return what the terminal says to it; nothing if it cannot be asked."""
    try:
        terminal = os.open(os.ttyname(handle), os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():
            return b""  # it would be stopped for reading from the background
        with raw_input_mode(terminal):
            if select([terminal], [], [], 0)[0]:
                return b""  # somebody types ahead
            os.write(terminal, question)
            return _read_answer(terminal, clock=clock, patience=patience)
    except (OSError, termios.error):
        return b""
    finally:
        os.close(terminal)


def _read_answer(terminal: int, *, clock: Clock, patience: float) -> bytes:
    answer, end = b"", clock.monotonic() + patience
    while not _ATTRIBUTES_ANSWER.search(answer) and len(answer) < _MAX_ANSWER:
        left = end - clock.monotonic()
        if left <= 0 or not select([terminal], [], [], left)[0]:
            break
        if not (more := os.read(terminal, 1024)):
            break
        answer += more
    return answer


@contextmanager
def raw_input_mode(terminal: int) -> Generator[None]:
    """Have keys arrive at once, and unseen, and afterwards as before.

    Raises:
        termios.error: it is no terminal.
    """
    before = termios.tcgetattr(terminal)
    during = termios.tcgetattr(terminal)
    during[3] &= ~(termios.ICANON | termios.ECHO)
    during[6][termios.VMIN], during[6][termios.VTIME] = 1, 0
    termios.tcsetattr(terminal, termios.TCSANOW, during)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
