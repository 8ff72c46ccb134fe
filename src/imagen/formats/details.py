"""Details that a converter may lose or apply: frames, bits per channel, orientation."""

import struct
from struct import unpack_from

import msgspec

from imagen.formats.container import (
    PNG_SIGNATURE,
    NotAnImage,
    count_gif_frames,
    jpeg_segments,
    png_chunks,
    webp_chunks,
)
from imagen.formats.exif import EXIF_PREFIX, read_orientation

_APP1 = 0xE1
_PLAIN_DEPTH = 8
_HIGH_DEPTH, _TWELVE_BITS = 0x40, 0x20
_TURNED = 5
"""EXIF orientations from here on swap width and height."""


class PixelDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Details of the pixels of a file, beyond its type and size.

    Attributes:
        frames: The number of frames of an animation, else 1.
        depth: Bits per channel, at least 8.
        orientation: The EXIF orientation, 2 to 8; 0 for the normal one, or for none.
    """

    frames: int = 1
    depth: int = _PLAIN_DEPTH
    orientation: int = 0

    def displayed(self, width: int, height: int) -> tuple[int, int]:
        """Return the sides of an image of that size as it is displayed."""
        return (height, width) if self.orientation >= _TURNED else (width, height)


def read_details(content: bytes) -> PixelDetails:
    """Return the details of an image file; the plain ones where they are unknown."""
    try:
        if content.startswith(PNG_SIGNATURE):
            return _png_details(content)
        if content.startswith(b"\xff\xd8\xff"):
            return _jpeg_details(content)
        if content[:4] == b"RIFF":
            return _webp_details(content)
        if content[:3] == b"GIF":
            return PixelDetails(frames=count_gif_frames(content))
        if content[4:8] == b"ftyp":
            return _avif_details(content)
    except (NotAnImage, IndexError, struct.error):
        pass
    return PixelDetails()


def _png_details(content: bytes) -> PixelDetails:
    frames, orientation, view = 1, 0, memoryview(content)
    for kind, start, end in png_chunks(content):
        if kind == b"acTL":
            (frames,) = unpack_from(">I", content, start + 8)
        elif kind == b"eXIf" and not orientation:
            orientation = read_orientation(view[start + 8 : end - 4])
    depth = content[len(PNG_SIGNATURE) + 16]
    return PixelDetails(
        frames=max(1, frames), depth=max(_PLAIN_DEPTH, depth), orientation=orientation
    )


def _jpeg_details(content: bytes) -> PixelDetails:
    view = memoryview(content)
    for marker, _, body, end in jpeg_segments(content):
        if marker == _APP1 and content.startswith(EXIF_PREFIX, body):
            block = view[body + len(EXIF_PREFIX) : end]
            if orientation := read_orientation(block):
                return PixelDetails(orientation=orientation)
    return PixelDetails()


def _webp_details(content: bytes) -> PixelDetails:
    frames, orientation, view = 0, 0, memoryview(content)
    for kind, _, body, end in webp_chunks(content):
        if kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF" and not orientation:
            has_prefix = content.startswith(EXIF_PREFIX, body)
            start = body + len(EXIF_PREFIX) * has_prefix
            orientation = read_orientation(view[start:end])
    return PixelDetails(frames=max(1, frames), orientation=orientation)


def _avif_details(content: bytes) -> PixelDetails:
    # Searched for, not parsed: a wrong guess would only word a warning differently.
    frames, depth = 1, _PLAIN_DEPTH
    if (found := content.find(b"av1C")) >= 0:
        flags = content[found + 6]
        if flags & _HIGH_DEPTH:
            depth = 12 if flags & _TWELVE_BITS else 10
    if content[8:12] == b"avis" and (found := content.find(b"stsz")) >= 0:
        (frames,) = unpack_from(">I", content, found + 12)
    return PixelDetails(frames=max(1, frames), depth=depth)
