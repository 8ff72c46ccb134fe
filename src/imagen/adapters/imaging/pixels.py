"""Decodes the pixels of image files with Pillow."""

from io import BytesIO
from threading import Lock

from PIL import Image, ImageOps

from imagen.domain.size import LARGEST_SIDE
from imagen.formats.container import NotAnImage, read_facts

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, NotAnImage)
"""What is raised at broken or enormous files."""

_DEEP_MODES = {"I", "I;16", "I;16B", "I;16L"}
"""How Pillow calls 16-bit grey."""

_LIMIT = Lock()
"""Pillow's limit is one for the whole process."""


def open_image(content: bytes) -> Image.Image:
    """Open an image of any size that we store; Pillow's own limit is for strangers'."""
    facts = read_facts(content)
    if facts.width * facts.height > LARGEST_SIDE**2:
        raise ValueError(f"{facts.width}x{facts.height} pixels are too many")
    with _LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(BytesIO(content))
        finally:
            Image.MAX_IMAGE_PIXELS = before


def apply_orientation(image: Image.Image) -> Image.Image:
    """Turn the first frame as it is to be seen, and return it in RGB or RGBA."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)  # for a copy takes a gigabyte or so
    picture = image
    if picture.mode in _DEEP_MODES:
        picture = _eight_bit(picture)
    if picture.mode != "RGBA":
        see_through = picture.has_transparency_data
        picture = picture.convert("RGBA" if see_through else "RGB")
    return picture


def _eight_bit(picture: Image.Image) -> Image.Image:
    # Pillow's own conversion clips 16-bit grey at 255 instead of scaling it.
    return picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
