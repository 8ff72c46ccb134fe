"""Text in rows and columns: as wide as it looks, and nothing in it moves the cursor."""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, pairwise, takewhile
from typing import TypeVar
from unicodedata import category

Item = TypeVar("Item")

PAGE = 50
"""Rows that are laid out together; more are not waited for."""
SHORTEST_ID = 13
"""As many characters of a UUIDv7 have its millisecond."""

_INDENT = _GAP = "  "
_SHORTEST_LAST = 12
_ELLIPSIS = "…"
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # which hold letters and emoji together


class Columns:
    """Lines of a table, whose columns are as wide as their widest cell so far.

    Args:
        right: The numbers of the columns that are aligned at their right.
        width: What the last column is cut to fit, if that leaves something of it.
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
            columns.pop()  # nothing stands behind it, so it may be of any width
        widths = [max(map(cell_width, column)) for column in columns]
        before = self._widths or [0] * len(widths)
        self._widths = [max(pair) for pair in zip(before, widths, strict=True)]
        room = self._room()
        for row in table:
            row[-1] = truncate(row[-1], room)
            yield (_INDENT + _GAP.join(self._padded(row))).rstrip()

    def _padded(self, row: list[str]) -> Iterator[str]:
        for number, (cell, width) in enumerate(zip(row, self._widths, strict=False)):
            blanks = " " * (width - cell_width(cell))
            yield blanks + cell if number in self._right else cell + blanks
        yield from row[len(self._widths) :]

    def _room(self) -> int | None:
        if self._width is None:
            return None
        before = sum(len(_GAP) + width for width in self._widths)
        return max(_SHORTEST_LAST, self._width - len(_INDENT) - before)


def paginate(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items in lists that are short enough to be laid out at once."""
    left = iter(items)
    while page := list(islice(left, PAGE)):
        yield page


def escape_control(text: str) -> str:
    """Return text in which what would move the cursor is shown, and not done."""
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if category(letter) in _UNSEEN and letter not in _JOINERS
        else letter
        for letter in text
    )


def join_lines(text: str) -> str:
    """Return text of several lines as one."""
    return escape_control(" ".join(text.split()))


def truncate(text: str, width: int | None) -> str:
    """Return as much of the text as fits into so many cells; None holds all of it."""
    if width is None or cell_width(text) <= width:
        return text
    room = max(0, width - len(_ELLIPSIS))
    if text.isascii():
        return text[:room].rstrip() + _ELLIPSIS
    from rich.cells import set_cell_size  # only for other scripts

    return set_cell_size(text, room).rstrip() + _ELLIPSIS


def wrap(text: str, width: int, *, lines: int) -> list[str]:
    """Return the text on at most so many lines of that width; the last one is cut."""
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
    """Return how many cells of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only for other scripts

    return cell_len(text)


def terminal_width() -> int | None:
    """Return how wide the terminal is on which results appear; None if on none."""
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size  # noqa: PLC0415 - only there

    return get_terminal_size().columns


def shorten_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return of each id the beginning that none of the others has."""
    ordered = sorted(set(ids))
    lengths = dict.fromkeys(ordered, SHORTEST_ID)
    for pair in pairwise(ordered):
        alike = takewhile(lambda both: both[0] == both[1], zip(*pair, strict=False))
        apart = 1 + sum(1 for _ in alike)
        for each in pair:
            lengths[each] = max(lengths[each], apart)
    return {each: each[:length] for each, length in lengths.items()}
