"""Frames, depth and orientation, read without decoding pixels."""

import pytest

from imagen.formats.container import PNG_SIGNATURE
from imagen.formats.details import PixelDetails, read_details
from imagen.testing.fakes import tiny_png


def avif(flags: int, *, brand: bytes = b"avif", frames: int = 0) -> bytes:
    """Return the parts of an AVIF that hold its depth and the number of frames."""
    samples = b"stsz" + bytes(8) + frames.to_bytes(4) if frames else b""
    return (
        b"\0\0\0\x10ftyp"
        + brand
        + bytes(4)
        + b"av1C"
        + bytes((0x81, 0, flags))
        + (samples)
    )


@pytest.mark.parametrize(
    ("content", "depth", "frames"),
    [
        (avif(0), 8, 1),
        (avif(0x40), 10, 1),
        (avif(0x60), 12, 1),
        (avif(0, brand=b"avis", frames=7), 8, 7),
    ],
)
def test_depth_and_frames_of_an_avif(content: bytes, depth: int, frames: int) -> None:
    assert read_details(content) == PixelDetails(depth=depth, frames=frames)


@pytest.mark.parametrize(
    "content",
    [b"", b"GIF", b"RIFF", PNG_SIGNATURE, b"\xff\xd8\xff", b"\0\0\0\x10ftypavifav1C"]
    + [tiny_png()[:end] for end in range(8, len(tiny_png()), 7)],
)
def test_what_is_damaged_has_plain_details(content: bytes) -> None:
    assert read_details(content) == PixelDetails()


@pytest.mark.parametrize(
    ("orientation", "size"), [(0, (3, 2)), (4, (3, 2)), (5, (2, 3)), (8, (2, 3))]
)
def test_half_of_the_orientations_swap_the_sides(
    orientation: int, size: tuple[int, int]
) -> None:
    assert PixelDetails(orientation=orientation).displayed(3, 2) == size
