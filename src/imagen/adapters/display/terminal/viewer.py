"""Draw pictures on a terminal with the best protocol that it supports."""

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
"""Oversampling of a JPEG that is decoded at a reduced size."""


class TerminalViewer:
    """A viewer that draws on one terminal.

    Attributes:
        method: The protocol in use.
    """

    def __init__(
        self,
        handle: int,
        capabilities: TerminalCapabilities,
        *,
        clock: Clock,
        random_int: Callable[[int], int],
        method: Method | None = None,
    ) -> None:
        """Create a viewer for the terminal that the handle writes to.

        Args:
            handle: A file descriptor that stays open while the viewer is in use.
            capabilities: The result of `probe_terminal`.
            clock: Measures the time limit of queries.
            random_int: Chooses the ids of pictures.
            method: The protocol to use; None for the best one that is supported.
        """
        known = capabilities.methods
        methods: list[Method] = [each for each in known if protocols.can_encode(each)]
        self.method: Method = method or methods[0]  # "blocks" is always among them
        self._handle = handle
        self._capabilities = capabilities
        self._clock = clock
        self._random_int = random_int
        self._number = 0
        self._passthrough: str | None = None
        self._changed = False

    def size(self) -> TerminalSize:
        """Return the size of the window, as the operating system reports it."""
        return TerminalSize(*read_terminal_size(self._handle))

    def draw(self, content: bytes, *, max_size: TerminalSize) -> int:
        """Decode the image, scale it down, and write it in the terminal's protocol."""
        cell = self._capabilities.cell
        try:
            with open_image(content) as image:
                # libjpeg decodes at a fraction of the size, which is much faster.
                if image.format == "JPEG":
                    across = max_size.columns * cell[0]
                    down = max_size.rows * cell[1]
                    image.draft("RGB", (across * _DETAIL, down * _DETAIL))
                size = _upright_size(image)
                picture = apply_orientation(image)
        except UNREADABLE as error:
            raise DrawingError(str(error)) from error
        if self.method == "blocks":  # one pixel has the width of a character
            cell = 1, max(1, round(cell[1] / cell[0]))
        space = protocols.fit_cells(size, max_size, cell)
        self._write(self._encode(picture, space))
        return space.rows

    def erase(self, rows: int) -> None:
        """Move the cursor up and clear the screen below it."""
        number, self._number = self._number, 0
        delete = protocols.encode_kitty_delete(number) if number else b""
        if delete and self._capabilities.tmux:
            delete = protocols.wrap_for_tmux(delete)
        self._write(b"\r\x1b[%dA\x1b[J" % rows + delete)

    def fullscreen(self) -> AbstractContextManager[Fullscreen]:
        """Use the alternate screen until the context exits."""
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
        tmux = self._capabilities.tmux
        if tmux is None or self._passthrough is not None:
            return
        query = ("show-options", "-pqvA", "-t", tmux.pane, _PASSTHROUGH)
        try:
            self._passthrough = tmux.run(*query, timeout=TMUX_TIMEOUT).strip()
        except TmuxError:
            self._passthrough = ""
        if self._passthrough in {"on", "all"}:
            return
        # tmux 3.4 added "all"; tmux 3.3 knows only "on".
        for mode in ("all", "on"):
            words = ("set-option", "-p", "-t", tmux.pane, _PASSTHROUGH, mode)
            try:
                tmux.run(*words, timeout=TMUX_TIMEOUT)
            except TmuxError:
                continue
            self._passthrough, self._changed = mode, True
            return

    def close(self) -> None:
        """Restore the option of tmux, once it has processed all output."""
        tmux, changed = self._capabilities.tmux, self._changed
        self._changed, self._passthrough = False, None
        if tmux is None or not changed:
            return
        wait_until_drawn(self._handle, clock=self._clock)
        words = ("set-option", "-pu", "-t", tmux.pane, _PASSTHROUGH)
        with suppress(TmuxError):  # the pane is about to be closed
            tmux.run(*words, timeout=TMUX_TIMEOUT)

    def _is_hidden(self) -> bool:
        """Return whether tmux would drop output now, because the pane is hidden."""
        tmux = self._capabilities.tmux
        if tmux is None or self._passthrough != "on":
            return False
        query = ("display-message", "-p", "-t", tmux.pane, "#{window_active_clients}")
        try:
            return tmux.run(*query, timeout=TMUX_TIMEOUT).strip() == "0"
        except TmuxError:
            return False

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as error:
            raise DrawingError(f"writing to the terminal failed: {error}") from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height after the rotation by the EXIF orientation."""
    rotated = image.getexif().get(0x0112, 1) in {5, 6, 7, 8}
    return (image.height, image.width) if rotated else (image.width, image.height)
