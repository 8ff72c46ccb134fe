"""An image is opaque if none of its pixels is transparent, even partly."""

from io import BytesIO

import pytest
from PIL import Image

from imagen.adapters.imaging.pixels import is_opaque


@pytest.mark.parametrize(
    ("mode", "colour", "opaque"),
    [
        ("RGB", (1, 2, 3), True),
        ("L", 9, True),
        ("RGBA", (1, 2, 3, 255), True),
        ("RGBA", (1, 2, 3, 254), False),
        ("LA", (9, 0), False),
    ],
)
def test_an_image_without_a_transparent_pixel_is_opaque(
    mode: str, colour: object, opaque: bool
) -> None:
    full = {"RGB": (0, 0, 0), "L": 0, "RGBA": (0, 0, 0, 255), "LA": (0, 255)}
    image, buffer = Image.new(mode, (8, 8), full[mode]), BytesIO()
    image.putpixel((3, 3), colour)  # type: ignore[arg-type]
    image.save(buffer, "PNG")

    assert is_opaque(buffer.getvalue()) is opaque


def test_what_cannot_be_decoded_is_not_called_opaque() -> None:
    assert not is_opaque(b"<svg/>")
