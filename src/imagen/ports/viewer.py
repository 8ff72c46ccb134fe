"""The values of a terminal that can show images."""

from typing import Literal, TypeAlias

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
