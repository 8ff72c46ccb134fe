"""Render contact sheets and their thumbnails with Pillow."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from math import sqrt
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from imagen.adapters.imaging.pixels import UNREADABLE, encode_image, open_thumbnail
from imagen.adapters.imaging.sheet_page import render_page
from imagen.adapters.imaging.text import wrap_text
from imagen.domain.contact_sheet import Sheet, SheetCell, Thumbnail
from imagen.domain.errors import StorageError

THUMBNAIL = 480
"""The longer side of a thumbnail in pixels."""

LARGEST_AREA = 40_000_000
"""Pixels of all cells together; common image viewers open a file of that size."""

_WIDEST, _NARROWEST, _READABLE = 320, 64, 180
_PAPER, _INK, _SOFT, _LINE = "#fafafa", "#1b1b1b", "#5c5c5c", "#d9d9d9"
_BAD, _BAD_PAPER = "#a3222a", "#fbeaea"
_MARGIN, _GAP = 28, 14
_LARGE, _SMALL = 22, 13
_HEAD_WIDTH = 150
_LEADING = 1.35
_MAX_TITLE_LINES, _MAX_CAPTION_LINES, _MAX_ERROR_LINES = 4, 4, 6
_NARROWEST_SHEET = 640
_FIRST_FOREIGN = 0x250
_PUNCTUATION = set("…\u2013\u2014\u2018\u2019\u201c\u201d•€")
# A code point that no font has: its rendering is the font's "missing" glyph.
_UNASSIGNED = "\U0010fffe"
_MAX_FOREIGN_LETTERS = 200
_FALLBACK_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "DroidSansFallbackFull.ttf",
    "wqy-zenhei.ttc",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "Arial Unicode.ttf",
    "Hiragino Sans GB.ttc",
)
"""Fonts of the system for letters that Pillow's built-in font lacks."""


class PillowSheetRenderer:
    """A renderer of contact sheets as PNG and HTML."""

    def make_thumbnail(self, content: bytes) -> Thumbnail:
        """Return a WebP of a few dozen kilobytes, rotated as its EXIF data says.

        Raises:
            StorageError: the file cannot be decoded.
        """
        try:
            picture = open_thumbnail(content, THUMBNAIL)
            small = encode_image(picture, "WEBP", quality=82)
        except UNREADABLE as error:
            raise StorageError(f"The thumbnail cannot be drawn: {error}.") from error
        return Thumbnail(content=small, size=picture.size)

    def render_png(self, sheet: Sheet) -> bytes:
        """Return the sheet as a PNG."""
        columns, rows = sheet.table.columns, sheet.table.rows
        side, height = _cell_size(sheet)
        beside = _HEAD_WIDTH if any(rows) else 0
        width = max(
            _NARROWEST_SHEET,
            2 * _MARGIN + beside + len(columns) * (side + _GAP) - _GAP,
        )
        head = list(_heading_lines(sheet, width - 2 * _MARGIN))
        above = [_wrap_lines(words, side, most=2) for words in columns]
        captions = [_caption_lines(cell, side) for cell in sheet.cells]
        deepest = max((len(lines) for lines in captions), default=0)
        row_height = height + _line_height(_SMALL) * deepest + 2 * _GAP
        top = _MARGIN + sum(_line_height(size) for _, size, _ in head) + _GAP
        top += max((len(lines) for lines in above), default=0) * _line_height(_SMALL)
        total = top + len(rows) * row_height + _MARGIN

        paper = Image.new("RGB", (width, total), _PAPER)
        pen = ImageDraw.Draw(paper)
        _draw_lines(pen, (_MARGIN, _MARGIN), head)
        for number, lines in enumerate(above):
            left = _MARGIN + beside + number * (side + _GAP)
            start = top - len(lines) * _line_height(_SMALL) - _GAP // 2
            _draw_lines(pen, (left, start), lines)
        for number, words in enumerate(rows):
            lines = _wrap_lines(words, beside - _GAP, most=8)
            _draw_lines(pen, (_MARGIN, top + number * row_height), lines)
        for number, cell in enumerate(sheet.cells):
            row, column = divmod(number, len(columns))
            left = _MARGIN + beside + column * (side + _GAP)
            box = (left, top + row * row_height, side, height)
            _draw_cell(paper, pen, cell, box)
            _draw_lines(pen, (left, box[1] + height + 4), captions[number])
        return encode_image(paper, "PNG")

    def render_html(self, sheet: Sheet) -> bytes:
        """Return the sheet as an HTML page."""
        return render_page(sheet)


def _cell_size(sheet: Sheet) -> tuple[int, int]:
    """Return the width and height of a cell, those of the largest thumbnail."""
    room = int(sqrt(LARGEST_AREA / max(1, len(sheet.cells))))
    most = max(_NARROWEST, min(_WIDEST, room))
    sizes = [cell.thumbnail.size for cell in sheet.cells if cell.thumbnail]
    scaled = [_scale_down(size, most) for size in sizes]
    width = max((width for width, _ in scaled), default=most)
    height = max((height for _, height in scaled), default=most // 2)
    return max(width, min(most, _READABLE)), max(height, _NARROWEST)


def _scale_down(size: tuple[int, int], most: int) -> tuple[int, int]:
    scale = min(1.0, most / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


_Line: TypeAlias = tuple[str, int, str]
"""A line of text with its font size and colour."""


def _heading_lines(sheet: Sheet, room: int) -> Iterator[_Line]:
    title = " ".join(sheet.prompt.split())
    yield from _wrap_lines(title, room, size=_LARGE, most=_MAX_TITLE_LINES)
    for words in (sheet.made_with, sheet.total):
        yield from _wrap_lines(words, room, most=2, ink=_SOFT)


def _caption_lines(cell: SheetCell, side: int) -> list[_Line]:
    # The facts of a failed image are drawn in place of the thumbnail.
    facts = cell.facts if cell.thumbnail else ""
    label = _wrap_lines(cell.label, side, most=2)
    return label + _wrap_lines(facts, side, most=_MAX_CAPTION_LINES - 2, ink=_SOFT)


def _draw_cell(
    paper: Image.Image,
    pen: ImageDraw.ImageDraw,
    cell: SheetCell,
    box: tuple[int, int, int, int],
) -> None:
    left, top, width, height = box
    if not cell.thumbnail:
        corners = (left, top, left + width - 1, top + height - 1)
        pen.rectangle(corners, fill=_BAD_PAPER, outline=_BAD)
        most = max(1, min(_MAX_ERROR_LINES, (height - 16) // _line_height(_SMALL)))
        lines = _wrap_lines(cell.facts, width - 16, most=most, ink=_BAD)
        _draw_lines(pen, (left + 8, top + 8), lines)
        return
    with Image.open(BytesIO(cell.thumbnail.content)) as opened:
        picture = opened.convert("RGBA")
    picture.thumbnail((width, height), Image.Resampling.LANCZOS)
    paper.paste(picture, (left, top), picture)
    edge = (left, top, left + picture.width - 1, top + picture.height - 1)
    pen.rectangle(edge, outline=_LINE)


def _draw_lines(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], lines: Sequence[_Line]
) -> None:
    left, top = at
    for words, size, ink in lines:
        font = _font(size, _foreign_letters(words))
        pen.text((left, top), words, fill=ink, font=font)
        top += _line_height(size)


def _wrap_lines(
    text: str, room: int, *, most: int, size: int = _SMALL, ink: str = _INK
) -> list[_Line]:
    font = _font(size, _foreign_letters(text))
    # Not split(): it would also break a label at its no-break spaces.
    lines = wrap_text(text.split(" "), font=font, room=room, most=most)
    return [(line, size, ink) for line in lines]


def _line_height(size: int) -> int:
    return round(size * _LEADING)


def _foreign_letters(words: str) -> str:
    """Return the letters, sorted, that Pillow's built-in font lacks."""
    foreign = {letter for letter in words if ord(letter) >= _FIRST_FOREIGN}
    return "".join(sorted(foreign - _PUNCTUATION)[:_MAX_FOREIGN_LETTERS])


@lru_cache(maxsize=256)
def _font(size: int, foreign: str) -> ImageFont.FreeTypeFont:
    """Return Pillow's built-in font, or the font with most of the foreign letters."""
    own = ImageFont.load_default(size)
    if not isinstance(own, ImageFont.FreeTypeFont):
        raise OSError("Pillow was built without FreeType")
    if not foreign:
        return own
    fonts = [own]
    for name in _FALLBACK_FONTS:
        with suppress(OSError):
            fonts.append(ImageFont.truetype(name, size))
    return max(
        fonts,
        key=lambda font: sum(
            _render_glyph(font, letter) != _render_glyph(font, _UNASSIGNED)
            for letter in foreign
        ),
    )


def _render_glyph(font: ImageFont.FreeTypeFont, letter: str) -> bytes:
    paper = Image.new("L", (3 * _LARGE, 3 * _LARGE))
    ImageDraw.Draw(paper).text((0, 0), letter, fill=255, font=font)
    return paper.tobytes()
