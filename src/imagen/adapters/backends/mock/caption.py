"""The caption of a picture: its prompt and its parameters, on frosted glass."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import cast

from PIL import Image, ImageDraw, ImageFont

from imagen.adapters.backends.mock.scene import WHITE, Colour, Palette, mix

MAX_LINES = 4
MAX_LETTERS = 2000

# The characters of Aileron, the font that Pillow ships: no accents, no "×", no "—".
LETTERS = frozenset(map(chr, range(32, 127))) | frozenset("©«°±·»‘’“”‹›")
SPELLINGS = str.maketrans(
    {"‐": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-", "×": "x", "⁄": "/"}
    | {"•": "·", "¿": "?", "¡": "!", "€": "EUR ", "£": "GBP ", "ß": "ss", "ı": "i"}
    | {"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d"}
    | {"Đ": "D", "ł": "l", "Ł": "L", "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D"}
)
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
INVISIBLE = frozenset({"Mn", "Mc", "Me", "Cf"})


def draw_caption(
    picture: Image.Image, prompt: str, *, facts: Sequence[str], palette: Palette
) -> None:
    """Draw the prompt, with the facts below it, on a pane of frosted glass."""
    unit = min(picture.size)
    margin, padding = unit // 24, max(8, unit // 32)
    large, small = _load_font(max(12, unit // 28)), _load_font(max(10, unit // 40))
    room = min(picture.width - 2 * (margin + padding), large.size * 30)
    title = _wrap(prompt.split(), between=" ", font=large, room=room)
    notes = _wrap(facts, between=" · ", font=small, room=room)
    set_lines = [(line, large, 1.25) for line in title]
    set_lines += [(line, small, 1.65) for line in notes]

    wide = max(font.getlength(line) for line, font, _ in set_lines) + 2 * padding
    tall = sum(font.size * leading for _, font, leading in set_lines) + 2 * padding
    left, bottom = margin, picture.height - margin
    top = round(bottom - tall)
    _draw_glass(picture, (left, top, round(left + wide), bottom), tint=palette.near)

    pen = ImageDraw.Draw(picture)
    bright = mix(palette.low, WHITE, 0.85)
    soft = mix(palette.near, bright, 0.72)
    down = top + padding - large.size * 0.15
    for line, font, leading in set_lines:
        down += font.size * leading
        ink = bright if font is large else soft
        pen.text((left + padding, down), line, fill=ink, font=font, anchor="ls")


def to_legible(prompt: str) -> str:
    """Return the prompt in characters of the font, and three dots for all others."""
    if not prompt.strip():
        return "no prompt"
    cut = prompt if len(prompt) <= MAX_LETTERS else prompt[:MAX_LETTERS] + "…"
    spelled = unicodedata.normalize("NFKD", cut).translate(SPELLINGS)
    legible = "".join(map(_to_letter, spelled))
    legible = re.sub(rf"{UNKNOWN}(\s*{UNKNOWN})*", "···", legible)
    return legible if legible.strip("·. ") else "a prompt in letters this font lacks"


def _draw_glass(
    picture: Image.Image, box: tuple[int, int, int, int], *, tint: Colour
) -> None:
    """Blur and darken the picture behind the box, and round the box's corners."""
    behind = picture.crop(box)
    grain = max(1, min(picture.size) // 40)
    blurred = behind.reduce(grain).resize(behind.size, Image.Resampling.BILINEAR)
    glass = Image.blend(blurred, Image.new("RGB", behind.size, tint), 0.78)
    outline = Image.new("L", (behind.width * 2, behind.height * 2))
    corner = (0, 0, outline.width - 1, outline.height - 1)
    ImageDraw.Draw(outline).rounded_rectangle(corner, radius=grain, fill=255)
    picture.paste(glass, box, outline.reduce(2))


def _load_font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that Pillow ships, the same on every machine."""
    font = ImageFont.load_default(size)
    # Called with a size, Pillow never returns the old bitmap font of its signature.
    scalable = cast("ImageFont.FreeTypeFont", font)
    # Raqm, where it is installed, sets the text differently: the bytes of a picture
    # would depend on the machine.
    return scalable.font_variant(layout_engine=ImageFont.Layout.BASIC)


def _wrap(
    words: Sequence[str], *, between: str, font: ImageFont.FreeTypeFont, room: float
) -> list[str]:
    """Break words into lines that fit, with an ellipsis where some are left out."""
    lines = [""]
    for piece in _split_words(words, font=font, room=room):
        longer = lines[-1] + between + piece if lines[-1] else piece
        if font.getlength(longer) <= room:
            lines[-1] = longer
        elif len(lines) < MAX_LINES:
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
    lengths = range(1, len(text) + 1)
    return bisect_right(lengths, room, key=lambda end: font.getlength(text[:end]))


def _to_letter(character: str) -> str:
    """Return the character itself, a space, nothing, or the sign for unknown ones."""
    if character in LETTERS:
        return character
    kind = unicodedata.category(character)
    if character.isspace() or kind == "Cc":
        return " "
    return "" if kind in INVISIBLE else UNKNOWN
