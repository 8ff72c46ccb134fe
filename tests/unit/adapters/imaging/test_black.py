"""An image is black if all of its pixels are, in any format and mode."""

from io import BytesIO

import pytest
from PIL import Image

from imagen.adapters.imaging.pixels import is_black

BRIGHT = {
    "1": (0, 1),
    "L": (0, 255),
    "LA": ((0, 255), (255, 255)),
    "P": (0, 1),
    "RGB": ((0, 0, 0), (255, 255, 255)),
    "RGBA": ((0, 0, 0, 255), (255, 0, 0, 255)),
    "I;16": (0, 60_000),
    "CMYK": ((0, 0, 0, 255), (0, 0, 0, 0)),
}
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
    "GIF": ("L", "P"),
}


def encoded(kind: str, mode: str, *, dot: bool) -> bytes:
    black, bright = BRIGHT[mode]
    image = Image.new(mode, (64, 64), black)
    if mode == "P":
        image.putpalette([0, 0, 0, 0, 255, 0])
    if dot:
        image.paste(bright, (8, 8, 16, 16))
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes]
)
def test_black_is_told_from_almost_black(kind: str, mode: str) -> None:
    assert is_black(encoded(kind, mode, dot=False))
    assert not is_black(encoded(kind, mode, dot=True))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded("PNG", "RGB", dot=False)[:-20],
    ],
)
def test_what_cannot_be_decoded_is_not_black(content: bytes) -> None:
    assert not is_black(content)
