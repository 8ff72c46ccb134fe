"""Draws pictures on a terminal, in the best way that it knows."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from PIL import Image

from imagen.adapters.display.terminal import protocols
from imagen.adapters.display.terminal.capability_probe import (
    TMUX_TIMEOUT,
    TerminalCapabilities,
    read_terminal_size,
    wait_until_drawn,
)
from imagen.adapters.display.terminal.fullscreen import Fullscreen, open_fullscreen
from imagen.adapters.imaging.pixels import UNREADABLE, apply_orientation, open_image
from imagen.adapters.system.tmux import TmuxError
from imagen.ports.clock import Clock
from imagen.ports.viewer import DrawingError, Method, TerminalSize

_PASSTHROUGH = "allow-passthrough"
_LARGEST_ID = 2**24 - 1
_LARGEST_BYTE_ID = 255
_DETAIL = 2
"""Times as many pixels as are shown are kept of a JPEG that is read at a lower size."""


class TerminalViewer:
    """One terminal, and how it is drawn on.

    Attributes:
        method: The way that is used.
    """

    def __init__(
        self,
        handle: int,
        abilities: TerminalCapabilities,
        *,
        clock: Clock,
        draw: Callable[[int], int],
        method: Method | None = None,
    ) -> None:
        """Take the terminal that the handle writes to, and what it can do.

        Args:
            handle: Open for as long as this is used.
            abilities: What is known of it.
            clock: For how long an answer is waited for.
            draw: Dice, for the names of pictures.
            method: The way that is used, whatever is known; None takes the best.
        """
        known: list[Method] = [m for m in abilities.methods if protocols.can_encode(m)]
        self.method: Method = method or known[0]  # blocks are always among them
        self._handle = handle
        self._capabilities = abilities
        self._clock = clock
        self._random_int = draw
        self._number = 0
        self._passthrough: str | None = None
        self._changed = False

    def size(self) -> TerminalSize:
        """Ask the system."""
        return TerminalSize(*read_terminal_size(self._handle))

    def draw(self, content: bytes, *, max_size: TerminalSize) -> int:
        """Decode, make smaller, and write what the terminal understands."""
        able, method = self._capabilities, self.method
        try:
            with open_image(content) as image:
                if image.format == "JPEG":  # is much quicker
                    across, down = (
                        max_size.columns * able.cell[0],
                        max_size.rows * able.cell[1],
                    )
                    image.draft("RGB", (across * _DETAIL, down * _DETAIL))
                size = _upright_size(image)
                picture = apply_orientation(image)
        except UNREADABLE as error:
            raise DrawingError(str(error)) from error
        cell = able.cell
        if method == "blocks":  # a pixel is as wide as a character
            cell = 1, max(1, round(able.cell[1] / able.cell[0]))
        space = protocols.fit_cells(size, room, cell)
        self._write(self._encode(picture, space))
        return space.rows

    def erase(self, rows: int) -> None:
        """Go up and empty what is below."""
        number, self._number = self._number, 0
        gone = protocols.encode_kitty_delete(number) if number else b""
        if gone and self._capabilities.tmux:
            gone = protocols.wrap_for_tmux(gone)
        self._write(b"\r\x1b[%dA\x1b[J" % rows + gone)

    def fullscreen(self) -> AbstractContextManager[Fullscreen]:
        """Show nothing but this until it is over."""
        return open_fullscreen(self._handle, hidden=self._is_hidden)

    def _encode(self, picture: Image.Image, space: TerminalSize) -> bytes:
        able = self._capabilities
        if self.method == "blocks":
            return protocols.encode_blocks(picture, space, true_colour=able.true_colour)
        size = protocols.cells_to_pixels(space, able.cell, largest=able.largest)
        if size[0] < picture.width or size[1] < picture.height:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        elif self.method == "sixel":  # it has no size but its pixels
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        match self.method:
            case "kitty" if able.tmux:
                self._allow_passthrough()
                most = _LARGEST_ID if able.exact_ids else _LARGEST_BYTE_ID
                self._number = self._number or 1 + self._random_int(most)
                return protocols.encode_kitty_in_tmux(
                    picture, space, number=self._number, exact=able.exact_ids
                )
            case "kitty":
                self._number = self._number or 1 + self._random_int(_LARGEST_ID)
                drawn = protocols.encode_kitty(picture, space, number=self._number)
            case "iterm2":
                drawn = protocols.encode_iterm2(picture, space)
            case _:
                drawn = protocols.encode_sixel(picture)
        return protocols.reserve_space(drawn, space.rows)

    def _allow_passthrough(self) -> None:
        """Have tmux hand on what this pane sends, also while nobody looks at it."""
        tmux = self._capabilities.tmux
        if tmux is None or self._passthrough is not None:
            return
        asked = ("show-options", "-pqvA", "-t", tmux.pane, _PASSTHROUGH)
        try:
            self._passthrough = tmux.run(*asked, patience=TMUX_TIMEOUT).strip()
        except TmuxError:
            self._passthrough = ""
        if self._passthrough in {"on", "all"}:
            return
        for mode in ("all", "on"):  # tmux 3.4 brought the first, 3.3 the second
            words = ("set-option", "-p", "-t", tmux.pane, _PASSTHROUGH, mode)
            try:
                tmux.run(*words, patience=TMUX_TIMEOUT)
            except TmuxError:
                continue
            self._passthrough, self._changed = mode, True
            return

    def close(self) -> None:
        """Have tmux pass on no more than before, once it has all that was sent."""
        tmux, changed = self._capabilities.tmux, self._changed
        self._changed, self._passthrough = False, None
        if tmux is None or not changed:
            return
        wait_until_drawn(self._handle, clock=self._clock)
        words = ("set-option", "-pu", "-t", tmux.pane, _PASSTHROUGH)
        with suppress(TmuxError):  # the pane is about to be closed
            tmux.run(*words, patience=TMUX_TIMEOUT)

    def _is_hidden(self) -> bool:
        """Whether what is sent now is dropped by tmux, because nobody looks on."""
        tmux = self._capabilities.tmux
        if tmux is None or self._passthrough != "on":
            return False
        asked = ("display-message", "-p", "-t", tmux.pane, "#{window_active_clients}")
        try:
            return tmux.run(*asked, patience=TMUX_TIMEOUT).strip() == "0"
        except TmuxError:
            return False

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        try:
            while left:
                left = left[os.write(self._handle, left) :]
        except OSError as error:
            raise DrawingError(f"the terminal cannot be written to: {error}") from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height as they are once the picture is turned as it says."""
    turned = image.getexif().get(0x0112, 1) in {5, 6, 7, 8}
    return (image.height, image.width) if turned else (image.width, image.height)
