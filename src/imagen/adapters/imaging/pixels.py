"""Decode and encode image files with Pillow."""

from io import BytesIO
from threading import Lock
from typing import cast

from PIL import Image, ImageOps, PngImagePlugin

from imagen.domain.media import SVG
from imagen.domain.size import LARGEST_SIDE
from imagen.formats.container import NotAnImage, read_facts
from imagen.formats.png import mend_png_checksums, simplify_png
from imagen.formats.texts import MAX_TEXT

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, NotAnImage)
"""Exceptions that Pillow and the size check raise for broken or oversized files."""

_DEEP_MODES = {"I", "I;16", "I;16B", "I;16L"}
"""Pillow's modes for 16-bit grey."""

# Pillow's limits are module variables: two threads must not change them at once.
_LIMIT = Lock()

_PLAIN_MODES = {"1", "L", "RGB", "RGBA", *_DEEP_MODES}
_LARGEST_BYTE = 255
_NEARLY_BLACK = 4
"""The brightest value of 255 that lossy formats make of black."""


def open_image(content: bytes) -> Image.Image:
    """Open an image of up to LARGEST_SIDE squared pixels.

    Raises:
        Exception: one of `UNREADABLE`.
    """
    # Pillow refuses images over about 180 megapixels, which imagen can store itself.
    facts = read_facts(content)
    if facts.width * facts.height > LARGEST_SIDE**2:
        raise ValueError(
            f"{facts.width}x{facts.height} pixels exceed the limit of "
            f"{LARGEST_SIDE}x{LARGEST_SIDE}"
        )
    if facts.media_type == SVG:
        raise ValueError("imagen draws no SVG images")
    if facts.media_type == "image/png":
        # Pillow refuses a PNG with a long text.
        content = simplify_png(content)
    if facts.warnings:
        # Pillow refuses a PNG with a wrong checksum, also outside of the pixels.
        content = mend_png_checksums(content)
    with _LIMIT:
        before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
        # The second one is also Pillow's limit for a colour profile.
        Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = None, MAX_TEXT
        try:
            return Image.open(BytesIO(content))
        finally:
            Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = before


def is_black(content: bytes) -> bool:
    """Return whether every pixel of the first frame is black, with or without alpha.

    False for what cannot be decoded.
    """
    try:
        with open_image(content) as image:
            # A JPEG is decoded at an eighth of its size.
            image.draft("RGB", (1, 1))
            plain = image if image.mode in _PLAIN_MODES else image.convert("RGB")
            extrema = [band.getextrema() for band in plain.split()[:3]]
    except UNREADABLE:
        return False
    darkest = _NEARLY_BLACK * (257 if plain.mode in _DEEP_MODES else 1)
    return all(cast("int", high) <= darkest for _, high in extrema)


def is_opaque(content: bytes) -> bool:
    """Return whether no pixel of the first frame is transparent, even partly.

    False for what cannot be decoded.
    """
    try:
        with open_image(content) as image:
            if not image.has_transparency_data:
                return True
            lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
    except UNREADABLE:
        return False
    return cast("int", lowest) == _LARGEST_BYTE


def apply_orientation(image: Image.Image) -> Image.Image:
    """Return the first frame in RGB or RGBA, rotated as its EXIF orientation says."""
    image.load()
    # In place, because a copy of a large image takes about another gigabyte.
    ImageOps.exif_transpose(image, in_place=True)
    _scale_transparent_colour(image)
    if image.mode in _DEEP_MODES:
        # Pillow's own conversion clips 16-bit grey at 255 instead of scaling it.
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    # Converting to the same mode would copy the pixels.
    return image if image.mode == mode else image.convert(mode)


def _scale_transparent_colour(image: Image.Image) -> None:
    """Scale the transparent colour of 16-bit pixels to 8 bits, as the pixels are."""
    colour = cast(
        "int | tuple[int, ...] | bytes | None", image.info.get("transparency")
    )
    if image.mode in _DEEP_MODES and isinstance(colour, int):
        image.info["transparency"] = int(colour / 257)
    elif isinstance(colour, tuple) and max(colour) > _LARGEST_BYTE:
        # Pillow reads the upper byte of each pixel, but both bytes of the colour.
        image.info["transparency"] = tuple(part >> 8 for part in colour)


def open_thumbnail(content: bytes, side: int) -> Image.Image:
    """Return the first frame upright, in RGB or RGBA, with sides of at most `side`.

    Raises:
        Exception: one of `UNREADABLE`.
    """
    with open_image(content) as image:
        # libjpeg decodes a JPEG at a fraction of its size, which is much faster.
        image.draft("RGB", (side, side))
        picture = apply_orientation(image)
    picture.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=1.0)
    return picture


def flatten_alpha(picture: Image.Image, background: Image.Image) -> Image.Image:
    """Return the picture in front of the background, which is painted over."""
    background.paste(picture, mask=picture.getchannel("A"))
    return background


def encode_image(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Return the picture as a file of one of Pillow's formats."""
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
