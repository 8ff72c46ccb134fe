"""Reference images and masks of a request."""

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.size import LARGEST_SIDE

MAX_REFERENCE_PIXELS = LARGEST_SIDE**2
"""Pixels of a reference image or mask; decoding more could exhaust the memory."""


class ReferenceImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that the request includes.

    Attributes:
        content: The file; empty where only the description is kept.
    """

    name: str
    sha256: str
    media_type: str
    content: bytes = b""


def check_reference_size(name: str, width: int, height: int) -> None:
    """Raise InvalidRequest if a reference image or mask has too many pixels."""
    if width * height > MAX_REFERENCE_PIXELS:
        raise InvalidRequest(
            f"{name} has {width}x{height} pixels; a reference image or mask may have"
            f" {MAX_REFERENCE_PIXELS} ({LARGEST_SIDE}x{LARGEST_SIDE}) at most.",
            hint="Make it smaller.",
        )
