"""The picture that the mock draws: a small illustration with its prompt as a caption.

The same parameters always give the same bytes. The prompt, the negative prompt and the
seed choose the composition, the size frames it, and more steps add detail.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import cast

from PIL import Image, ImageChops, ImageDraw, ImageFont

from imagen.adapters.backends.mock.scene import (
    COMPOSITIONS,
    PALETTES,
    WHITE,
    Colour,
    Palette,
    Scene,
    Shape,
    mix,
    parse_palette,
)
from imagen.adapters.imaging.text import wrap_text
from imagen.formats.container import rgb_png

UP_FILTER = b"\2"
"""The byte before a row that PNG's filter "Up" has encoded."""

SMALLEST_WITH_CAPTION = 160
"""The short side, in pixels, from which a picture has a caption."""

STEPS_TO_FULL_DETAIL = 50
GLOW = 1.4
"""The width of the light around the sun, as a multiple of the short side."""

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


def paint(
    *, prompt: str, negative: str, seed: int, width: int, height: int, steps: int
) -> Image.Image:
    """Paint the picture for these parameters, in RGB."""
    key = _digest(prompt, negative, str(seed))
    scene = Scene(
        key=key,
        width=width,
        height=height,
        detail=math.sqrt(min(1, steps / STEPS_TO_FULL_DETAIL)),
        palette=parse_palette(PALETTES[key[0] % len(PALETTES)]),
    )
    compose = COMPOSITIONS[key[1] % len(COMPOSITIONS)]
    picture = _render(scene, list(compose(scene)))
    if scene.unit >= SMALLEST_WITH_CAPTION:
        facts = (f"seed {seed}", f"{steps} steps", f"{width}x{height}", "mock")
        _draw_caption(picture, to_legible(prompt), facts=facts, palette=scene.palette)
    _embed_digest(picture, _digest(key.hex(), str(steps), f"{width}x{height}"))
    return picture


def encode_png(image: Image.Image) -> bytes:
    """Return the image as a PNG file, compressed for speed rather than size."""
    return rgb_png(image.width, image.height, _filter_rows(image))


def _filter_rows(image: Image.Image) -> Iterator[bytes]:
    """Yield bands of rows, each row encoded as its difference from the row above."""
    # Pillow's own encoder tries all five filters of PNG on each row. These pictures are
    # as small with the filter "Up" alone, in a third of the time.
    stride = 3 * image.width
    for top in range(0, image.height, 256):
        bottom = min(image.height, top + 256)
        band = image.crop((0, top, image.width, bottom))
        # Pillow fills the row above the first one with black, as PNG wants it.
        above = image.crop((0, top - 1, image.width, bottom - 1))
        rows = ImageChops.subtract_modulo(band, above).tobytes()
        yield b"".join(
            UP_FILTER + rows[start : start + stride]
            for start in range(0, len(rows), stride)
        )


def _render(scene: Scene, shapes: Sequence[Shape]) -> Image.Image:
    """Draw the shapes at twice the size, so that their edges are smooth."""
    # In strips of about 2**16 pixels: a whole picture of twice the size would take four
    # times its memory.
    width, height = scene.width, scene.height
    picture = Image.new("RGB", (width, height))
    # Half of most pictures is land. To stretch the sky takes as long as all the shapes.
    sky = _render_sky(scene)
    horizon = math.ceil(min([height, *(shape.solid_from for shape in shapes)])) + 2
    # Whole rows of the small sky, and no fewer than it has: otherwise Pillow rounds
    # some pixels differently (12.0), and the bytes of a picture never change.
    unit = height // math.gcd(height, sky.height)
    rows = min(height, math.ceil(max(horizon, sky.height) / unit) * unit)
    part = (0, 0, sky.width, sky.height * rows // height)
    picture.paste(sky.resize((width, rows), Image.Resampling.BILINEAR, box=part))
    rows = max(16, 2**16 // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        visible = _visible_shapes(shapes, top, bottom)
        if not visible:
            continue
        box = (0, top, width, bottom)
        size = (width * 2, (bottom - top) * 2)
        if top - 1 > visible[0].solid_from:
            strip = Image.new("RGB", size, visible.pop(0).colour)
        else:
            strip = picture.resize(size, Image.Resampling.NEAREST, box=box)
        pen = ImageDraw.Draw(strip)
        for shape in visible:
            # Pillow truncates coordinates towards zero, which would bend the edges
            # where two strips meet.
            outline = [(round(x * 2), round(y * 2) - top * 2) for x, y in shape.points]
            pen.polygon(outline, fill=shape.colour)
        picture.paste(strip.reduce(2), box)
    return picture


def _visible_shapes(shapes: Sequence[Shape], top: int, bottom: int) -> list[Shape]:
    """Return the shapes that reach into a strip and are not fully covered in it."""
    # One row more on each side, because Pillow draws an outline that is a pixel wide.
    first, last = top - 1, bottom + 1
    covering = [at for at, shape in enumerate(shapes) if shape.solid_from < first]
    return [
        shape
        for shape in shapes[covering[-1] if covering else 0 :]
        if min(y for _, y in shape.points) <= last
        and max(y for _, y in shape.points) >= first
    ]


def _render_sky(scene: Scene) -> Image.Image:
    """Return a small square sky with the glow of the sun, to be stretched to size."""
    palette, side = scene.palette, 256
    sky = Image.composite(
        Image.new("RGB", (side, side), palette.low),
        Image.new("RGB", (side, side), palette.high),
        Image.linear_gradient("L"),
    )
    wide = math.ceil(side * GLOW * scene.unit / scene.width)
    tall = math.ceil(side * GLOW * scene.unit / scene.height)
    # Pillow's radial gradient is 255 in the corners, and 180 where its circle touches
    # the sides: the glow has to end there.
    fading = [round(150 * max(0, 1 - far / 180) ** 2) for far in range(256)]
    glow = Image.radial_gradient("L").point(fading).resize((wide, tall))
    x, y = scene.sun
    left = round(side * x / scene.width - wide / 2)
    top = round(side * y / scene.height - tall / 2)
    sky.paste(palette.sun, (left, top), glow)
    return sky


def _embed_digest(picture: Image.Image, digest: bytes) -> None:
    """Write the digest into the lowest bits of the last row."""
    # Without it two requests that differ in one step, or whose caption is cut off,
    # could give the same pixels.
    pixels = min(picture.width, 16)
    row = picture.height - 1
    for x, byte in zip(range(pixels), digest, strict=False):
        box = (x, row, x + 1, row + 1)
        values = picture.crop(box).tobytes()
        marked = (value & ~1 | byte >> bit & 1 for bit, value in enumerate(values))
        picture.paste(Image.frombytes("RGB", (1, 1), bytes(marked)), box)


def _digest(*parts: str) -> bytes:
    """Return a digest of 32 bytes of all parts and of the borders between them."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    sizes = " ".join(str(len(part)) for part in encoded).encode()
    return blake2b(b"\0".join([sizes, *encoded]), digest_size=32).digest()


def _draw_caption(
    picture: Image.Image, prompt: str, *, facts: Sequence[str], palette: Palette
) -> None:
    """Draw the prompt, with the facts below it, on a pane of frosted glass."""
    unit = min(picture.size)
    margin, padding = unit // 24, max(8, unit // 32)
    large, small = _load_font(max(12, unit // 28)), _load_font(max(10, unit // 40))
    room = min(picture.width - 2 * (margin + padding), large.size * 30)
    title = wrap_text(prompt.split(), font=large, room=room, most=MAX_LINES)
    notes = wrap_text(facts, between=" · ", font=small, room=room, most=MAX_LINES)
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


def _to_letter(character: str) -> str:
    """Return the character itself, a space, nothing, or the sign for unknown ones."""
    if character in LETTERS:
        return character
    kind = unicodedata.category(character)
    if character.isspace() or kind == "Cc":
        return " "
    return "" if kind in INVISIBLE else UNKNOWN
