"""The picture that the mock draws: a small illustration with its prompt as a caption.

The same parameters always give the same bytes. The prompt, the negative prompt and the
seed choose the composition, the size frames it, and more steps add detail.
"""

import math
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from PIL import Image, ImageChops, ImageDraw

from imagen.adapters.backends.mock.caption import draw_caption, to_legible
from imagen.adapters.backends.mock.compositions import COMPOSITIONS
from imagen.adapters.backends.mock.scene import PALETTES, Scene, Shape, parse_palette
from imagen.formats.container import rgb_png

UP_FILTER = b"\2"
"""The byte before a row that PNG's filter "Up" has encoded."""

SMALLEST_WITH_CAPTION = 160
"""The short side, in pixels, from which a picture has a caption."""

STEPS_TO_FULL_DETAIL = 50
GLOW = 1.4
"""The width of the light around the sun, as a multiple of the short side."""


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
        draw_caption(picture, to_legible(prompt), facts=facts, palette=scene.palette)
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
    picture = _render_sky(scene).resize((width, height), Image.Resampling.BILINEAR)
    rows = max(16, 2**16 // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        visible = _visible_shapes(shapes, top, bottom)
        if not visible:
            continue
        box = (0, top, width, bottom)
        size = (width * 2, (bottom - top) * 2)
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
