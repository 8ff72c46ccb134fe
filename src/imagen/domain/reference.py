"""Reference images and masks of a request."""

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.size import LARGEST_SIDE

MAX_REFERENCE_PIXELS = LARGEST_SIDE**2
"""Pixels of a reference image or mask; decoding more could exhaust the memory."""


class ReferenceImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that the request includes.

    Attributes:
        sha256: The hash of the file that the user gave, by which a rerun finds it.
        content: What is sent; empty where only the description is kept.
        sent_sha256: The hash of `content`; "" if that is the file, unchanged.
    """

    name: str
    sha256: str
    media_type: str
    content: bytes = b""
    sent_sha256: str = ""

    @property
    def content_sha256(self) -> str:
        """The hash of what is sent, also where the content is not kept."""
        return self.sent_sha256 or self.sha256


def check_reference_size(name: str, width: int, height: int) -> None:
    """Raise InvalidRequest if a reference image or mask has too many pixels."""
    if width * height > MAX_REFERENCE_PIXELS:
        raise InvalidRequest(
            f"{name} has {width}x{height} pixels; a reference image or mask may have"
            f" {MAX_REFERENCE_PIXELS} ({LARGEST_SIDE}x{LARGEST_SIDE}) at most.",
            hint="Make it smaller.",
        )
