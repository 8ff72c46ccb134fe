"""The port to a terminal that can show pictures."""

from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias, get_args

import msgspec

Method: TypeAlias = Literal["kitty", "iterm2", "sixel", "blocks"]
"""How a picture is drawn: Kitty's graphics, iTerm2's, Sixel, or half blocks of text."""

METHODS: tuple[Method, ...] = get_args(Method)

WindowEvent: TypeAlias = Literal["key", "quit", "changed"]
"""A key was pressed; one that ends it, or a signal; or the window is another."""


class TerminalSize(msgspec.Struct, frozen=True):
    """Columns and rows of characters."""

    columns: int
    rows: int


class DrawingError(Exception):
    """The picture cannot be drawn; says why in a few words, without a full stop."""


class Viewer(Protocol):
    """Draws pictures on one terminal, at its cursor."""

    def size(self) -> TerminalSize:
        """Return the size of the window."""
        ...

    def draw(self, content: bytes, *, max_size: TerminalSize) -> int:
        """Draw an image file, no larger than the room or than it is.

        Afterwards the cursor is at the beginning of the line below it.

        Returns:
            How many rows it takes.

        Raises:
            DrawingError: it is no whole image, or the terminal cannot be written to.
        """
        ...

    def erase(self, rows: int) -> None:
        """Take away what was drawn in the last so many rows, and the rows with it."""
        ...

    def fullscreen(self) -> "AbstractContextManager[FullscreenWindow]":
        """Take the whole window for a while, and give it back as it was.

        Raises:
            DrawingError: nobody can press a key here.
        """
        ...

    def close(self) -> None:
        """Put back what was changed for it; what is drawn stays."""
        ...


class FullscreenWindow(Protocol):
    """A window that waits for a key.

    Attributes:
        stopped_by: The number of the signal that ended it; 0 for none.
    """

    stopped_by: int

    def clear(self) -> None:
        """Empty the window, and put the cursor into its first corner."""
        ...

    def wait(self) -> WindowEvent:
        """Wait for a key, for another size of the window, or for a signal."""
        ...
