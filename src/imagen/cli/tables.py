"""Text tables for the terminal: cell widths, truncation, one line for each text."""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, pairwise, takewhile
from typing import TypeVar

from imagen.domain.printable import escape_control

Item = TypeVar("Item")

# Rows that are aligned together; a long history is printed page by page.
PAGE = 50
# Characters of a UUIDv7 that hold its time in milliseconds.
MIN_ID_LENGTH = 13

_INDENT = _GAP = "  "
_MIN_LAST_WIDTH = 12
_ELLIPSIS = "…"


class Columns:
    """A table printed in pages; each column is as wide as its widest cell so far.

    Args:
        right: The numbers of the right-aligned columns.
        width: Cells per line; the last column is truncated to fit. None for no limit.
    """

    def __init__(
        self, *, right: Collection[int] = (), width: int | None = None
    ) -> None:
        self._right = right
        self._width = width
        self._widths: list[int] = []

    def lines(self, rows: Sequence[Sequence[str]]) -> Iterator[str]:
        """Yield a line for each row."""
        table = [[escape_control(cell) for cell in row] for row in rows]
        columns = list(zip(*table, strict=True))
        if columns and len(columns) - 1 not in self._right:
            # No column follows the last one, so it needs no padding.
            columns.pop()
        widths = [max(map(cell_width, column)) for column in columns]
        before = self._widths or [0] * len(widths)
        self._widths = [max(pair) for pair in zip(before, widths, strict=True)]
        room = self._last_width()
        for row in table:
            row[-1] = truncate(row[-1], room)
            yield (_INDENT + _GAP.join(self._pad(row))).rstrip()

    def _pad(self, row: list[str]) -> Iterator[str]:
        for number, (cell, width) in enumerate(zip(row, self._widths, strict=False)):
            padding = " " * (width - cell_width(cell))
            yield padding + cell if number in self._right else cell + padding
        yield from row[len(self._widths) :]

    def _last_width(self) -> int | None:
        if self._width is None:
            return None
        before = sum(len(_GAP) + width for width in self._widths)
        return max(_MIN_LAST_WIDTH, self._width - len(_INDENT) - before)


def paginate(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items in lists of at most PAGE items."""
    rest = iter(items)
    while page := list(islice(rest, PAGE)):
        yield page


def join_lines(text: str) -> str:
    """Return the text on one line, with control characters escaped."""
    return escape_control(" ".join(text.split()))


def truncate(text: str, width: int | None) -> str:
    """Return the text truncated to a width in cells; None for no limit."""
    if width is None or cell_width(text) <= width:
        return text
    room = max(0, width - len(_ELLIPSIS))
    if text.isascii():
        return text[:room].rstrip() + _ELLIPSIS
    from rich.cells import set_cell_size

    return set_cell_size(text, room).rstrip() + _ELLIPSIS


def truncate_start(text: str, width: int) -> str:
    """Return the end of a text, in a width of cells; its beginning is left out."""
    if cell_width(text) <= width:
        return text
    end = text
    while end and cell_width(_ELLIPSIS + end) > width:
        end = end[1:]
    return _ELLIPSIS + end


def wrap(text: str, width: int, *, lines: int) -> list[str]:
    """Return the text on at most `lines` lines; the last one is truncated."""
    found: list[str] = []
    left = text
    while left and len(found) < lines - 1:
        if cell_width(left) <= width:
            break
        end, cells = 0, 0
        while end < len(left) and cells + cell_width(left[end]) <= width:
            cells += cell_width(left[end])
            end += 1
        blank = left.rfind(" ", 0, end + 1)
        end = blank if blank > 0 else max(end, 1)
        found.append(left[:end].rstrip())
        left = left[end:].lstrip()
    return [*found, truncate(left, width)] if left else found


def cell_width(text: str) -> int:
    """Return the width of the text in terminal cells."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def terminal_width() -> int | None:
    """Return the width of the terminal in cells; None if stdout is not a terminal."""
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size  # noqa: PLC0415 - rare

    return get_terminal_size().columns


def wrap_message(text: str, *, indent: str) -> str:
    """Return a message in indented lines that fit the terminal on stderr."""
    from shutil import get_terminal_size  # noqa: PLC0415 - rare
    from textwrap import wrap  # noqa: PLC0415

    columns = get_terminal_size().columns if sys.stderr.isatty() else sys.maxsize
    width = max(_MIN_LAST_WIDTH + len(indent), columns - len("imagen: ") - 1)
    lines = wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def shorten_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return for each id its shortest unique prefix, of MIN_ID_LENGTH or more."""
    ordered = sorted(set(ids))
    lengths = dict.fromkeys(ordered, MIN_ID_LENGTH)
    for pair in pairwise(ordered):
        alike = takewhile(lambda both: both[0] == both[1], zip(*pair, strict=False))
        apart = 1 + sum(1 for _ in alike)
        for each in pair:
            lengths[each] = max(lengths[each], apart)
    return {each: each[:length] for each, length in lengths.items()}
