"""Draw pictures on a terminal with the best protocol that it supports."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager

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
"""Oversampling of a JPEG that is decoded at a reduced size."""


class TerminalViewer:
    """Draws images at the cursor of one terminal, with the protocol `method`."""

    def __init__(
        self,
        handle: int,
        capabilities: TerminalCapabilities,
        *,
        clock: Clock,
        random_int: Callable[[int], int],
        method: Method | None = None,
    ) -> None:
        """Create a viewer for the terminal of a handle, which has to stay open.

        `random_int` chooses the ids of pictures; `method` is None for the best one.
        """
        # "blocks" is always among them.
        best = next(filter(protocols.can_encode, capabilities.methods))
        self.method: Method = method or best
        self._handle = handle
        self._capabilities = capabilities
        self._clock = clock
        self._random_int = random_int
        self._number = 0
        self._passthrough: str | None = None
        self._changed = False

    def size(self) -> TerminalSize:
        """Return the size of the window."""
        return TerminalSize(*read_terminal_size(self._handle))

    def draw(self, content: bytes, *, max_size: TerminalSize) -> int:
        """Draw an image file, at most at its own size and within `max_size`.

        Afterwards the cursor is at the beginning of the line below the image.

        Returns:
            The number of rows that the image occupies.

        Raises:
            DrawingError: the file is not a complete image, or the terminal cannot be
                written to.
        """
        cell = self._capabilities.cell
        try:
            with open_image(content) as image:
                # libjpeg decodes at a fraction of the size, which is much faster.
                if image.format == "JPEG":
                    across = max_size.columns * cell[0]
                    down = max_size.rows * cell[1]
                    image.draft("RGB", (across * _DETAIL, down * _DETAIL))
                picture = apply_orientation(image)
        except UNREADABLE as error:
            raise DrawingError(str(error)) from error
        if self.method == "blocks":  # one pixel has the width of a character
            cell = 1, max(1, round(cell[1] / cell[0]))
        space = protocols.fit_cells(picture.size, max_size, cell)
        self._write(self._encode(picture, space))
        return space.rows

    def erase(self, rows: int) -> None:
        """Erase the last rows together with the images in them."""
        number, self._number = self._number, 0
        delete = protocols.encode_kitty_delete(number) if number else b""
        if delete and self._capabilities.tmux:
            delete = protocols.wrap_for_tmux(delete)
        self._write(b"\r\x1b[%dA\x1b[J" % rows + delete)

    def fullscreen(self) -> AbstractContextManager[Fullscreen]:
        """Open a full-screen window, and restore the previous content on exit.

        Raises:
            DrawingError: the terminal has no keyboard input.
        """
        return open_fullscreen(self._handle, hidden=self._is_hidden)

    def _encode(self, picture: Image.Image, space: TerminalSize) -> bytes:
        capabilities = self._capabilities
        if self.method == "blocks":
            return protocols.encode_blocks(
                picture, space, true_colour=capabilities.true_colour
            )
        size = protocols.cells_to_pixels(
            space, capabilities.cell, largest=capabilities.largest
        )
        if size[0] < picture.width or size[1] < picture.height:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        elif self.method == "sixel":  # Sixel is not scaled by the terminal
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        match self.method:
            case "kitty" if capabilities.tmux:
                self._allow_passthrough()
                most = _LARGEST_ID if capabilities.exact_ids else _LARGEST_BYTE_ID
                self._number = self._number or 1 + self._random_int(most)
                return protocols.encode_kitty_in_tmux(
                    picture, space, number=self._number, exact=capabilities.exact_ids
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
        """Let tmux pass on the output of this pane, also while it is not visible."""
        if self._passthrough is not None:
            return
        self._passthrough = self._run_tmux("show-options", "-pqvA", _PASSTHROUGH) or ""
        if self._passthrough in {"on", "all"}:
            return
        # tmux 3.4 added "all"; tmux 3.3 knows only "on".
        for mode in ("all", "on"):
            if self._run_tmux("set-option", "-p", _PASSTHROUGH, mode) is not None:
                self._passthrough, self._changed = mode, True
                return

    def close(self) -> None:
        """Restore the option of tmux, once it has processed all output.

        Drawn images stay.
        """
        changed, self._changed, self._passthrough = self._changed, False, None
        if changed:
            wait_until_drawn(self._handle, clock=self._clock)
            self._run_tmux("set-option", "-pu", _PASSTHROUGH)

    def _is_hidden(self) -> bool:
        """Return whether tmux would drop output now, because the pane is hidden."""
        if self._passthrough != "on":
            return False
        format_ = "#{window_active_clients}"
        return self._run_tmux("display-message", "-p", format_) == "0"

    def _run_tmux(self, command: str, flags: str, *words: str) -> str | None:
        """Return the answer for this pane; None if the command failed."""
        tmux = self._capabilities.tmux
        if tmux is None:
            return None
        target = ("-t", tmux.pane)
        try:
            answer = tmux.run(command, flags, *target, *words, timeout=TMUX_TIMEOUT)
        except TmuxError:
            return None
        return answer.strip()

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as error:
            raise DrawingError(f"writing to the terminal failed: {error}") from error
