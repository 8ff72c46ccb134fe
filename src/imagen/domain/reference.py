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


class ReferenceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The reference images, or the masks, that a model takes.

    Attributes:
        formats: Media types; an image of another one is converted, without loss where
            the list allows it. Empty: any.
        max_bytes: Largest file; None is unlimited.
        max_total_bytes: Largest sum of all files of a request; None is unlimited.
        smallest: Minimum length of a side in pixels.
        largest: Maximum length of a side in pixels; None is unlimited.
        max_pixels: Maximum of width times height; None is unlimited.
        max_ratio: How many times longer one side may be; None is unlimited.
    """

    formats: tuple[str, ...] = ()
    max_bytes: int | None = None
    max_total_bytes: int | None = None
    smallest: int = 1
    largest: int | None = None
    max_pixels: int | None = None
    max_ratio: float | None = None

    def allows_type(self, media_type: str) -> bool:
        """Return whether an image of this media type is taken."""
        return not self.formats or media_type in self.formats

    def describe_excess(self, width: int, height: int, *, size: int) -> str:
        """Return what is taken instead of an image, as a clause; "" if it is taken.

        Args:
            width, height: The sides in pixels, as the image is stored.
            size: The number of bytes.
        """
        long, short = max(width, height), min(width, height)
        if self.max_bytes is not None and size > self.max_bytes:
            return f"takes images of at most {_megabytes(self.max_bytes)}"
        if short < self.smallest:
            return f"takes images with sides of at least {self.smallest} pixels"
        if self.largest is not None and long > self.largest:
            return f"takes images with sides of at most {self.largest} pixels"
        if self.max_pixels is not None and width * height > self.max_pixels:
            return f"takes images of at most {self.max_pixels / 1e6:g} megapixels"
        if self.max_ratio is not None and long > short * self.max_ratio:
            return f"takes images with sides of at most 1 to {self.max_ratio:g}"
        return ""


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:g} MB"


def check_reference_size(name: str, width: int, height: int) -> None:
    """Raise InvalidRequest if a reference image or mask has too many pixels."""
    if width * height > MAX_REFERENCE_PIXELS:
        raise InvalidRequest(
            f"{name} has {width}x{height} pixels; a reference image or mask may have"
            f" {MAX_REFERENCE_PIXELS} ({LARGEST_SIDE}x{LARGEST_SIDE}) at most.",
            hint="Make it smaller.",
        )
