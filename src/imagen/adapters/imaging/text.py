"""Break text into lines of a given width with Pillow's fonts."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from PIL import ImageFont


def wrap_text(
    words: Sequence[str],
    *,
    font: ImageFont.FreeTypeFont,
    room: float,
    most: int,
    between: str = " ",
) -> list[str]:
    """Return at most `most` lines; the last ends in an ellipsis if words are left out.

    A word that is longer than the room, in pixels, is cut into pieces.
    """
    lines: list[str] = []
    for piece in _split_words(words, font=font, room=room):
        longer = lines[-1] + between + piece if lines else piece
        if lines and font.getlength(longer) <= room:
            lines[-1] = longer
        elif len(lines) < most:
            lines.append(piece)
        else:
            last = lines[-1] + between
            keep = _count_fitting(last, font=font, room=room - font.getlength("…"))
            lines[-1] = last[:keep].rstrip(" ·,;:-") + "…"
            break
    return lines


def _split_words(
    words: Sequence[str], *, font: ImageFont.FreeTypeFont, room: float
) -> Iterator[str]:
    """Yield the words, cut into pieces where one is longer than a line."""
    for word in words:
        rest = word
        while rest:
            fitting = max(1, _count_fitting(rest, font=font, room=room))
            yield rest[:fitting]
            rest = rest[fitting:]


def _count_fitting(text: str, *, font: ImageFont.FreeTypeFont, room: float) -> int:
    """Return the number of leading characters that fit."""
    # Most words fit, and no letter is narrower than a quarter of a pixel.
    lengths = range(1, min(len(text), round(4 * room)) + 1)
    return bisect_right(lengths, room, key=lambda end: font.getlength(text[:end]))
