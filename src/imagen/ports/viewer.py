"""The port for a terminal that can show images."""

from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias

import msgspec

Method: TypeAlias = Literal["kitty", "iterm2", "sixel", "blocks"]
"""The protocol: Kitty graphics, iTerm2 images, Sixel, or half-block characters."""

WindowEvent: TypeAlias = Literal["key", "quit", "changed"]
"""A key press; a quit key or a signal; or a new window size."""


class TerminalSize(msgspec.Struct, frozen=True):
    """Columns and rows of characters."""

    columns: int
    rows: int


class DrawingError(Exception):
    """The image cannot be drawn. The message is a short phrase without a full stop."""


class Viewer(Protocol):
    """A terminal that draws images at the cursor."""

    def size(self) -> TerminalSize:
        """Return the size of the window."""
        ...

    def draw(self, content: bytes, *, max_size: TerminalSize) -> int:
        """Draw an image file, at most at its own size and within `max_size`.

        Afterwards the cursor is at the beginning of the line below the image.

        Returns:
            The number of rows that the image occupies.

        Raises:
            DrawingError: the file is not a complete image, or the terminal cannot be
                written to.
        """
        ...

    def erase(self, rows: int) -> None:
        """Erase the last rows together with the images in them."""
        ...

    def fullscreen(self) -> "AbstractContextManager[FullscreenWindow]":
        """Open a full-screen window, and restore the previous content on exit.

        Raises:
            DrawingError: the terminal has no keyboard input.
        """
        ...

    def close(self) -> None:
        """Restore changed terminal settings. Drawn images stay."""
        ...


class FullscreenWindow(Protocol):
    """A full-screen window that waits for a key.

    Attributes:
        stopped_by: The number of the signal that ended the window; 0 for none.
    """

    stopped_by: int

    def clear(self) -> None:
        """Empty the window and move the cursor to the top left corner."""
        ...

    def wait(self) -> WindowEvent:
        """Wait for a key, a new window size or a signal."""
        ...
