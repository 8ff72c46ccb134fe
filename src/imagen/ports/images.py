"""The ports for re-encoding images, and for comparing their pixels."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from imagen.domain.fit import Fit
from imagen.domain.size import Size


class ImageEditor(Protocol):
    """An image converter; the only place where pixels are re-encoded."""

    def redraw(
        self, content: bytes, *, media_type: str, fit: Fit | None, size: Size | None
    ) -> bytes:
        """Return the image as PNG, lossless WebP, or JPEG of quality 95 on white.

        With `fit` the result has exactly `size`; without it `size` is ignored. The
        orientation of the source is applied to the pixels.

        Raises:
            StorageError: the image cannot be decoded, or not be encoded as requested.
        """
        ...


ComparePixels: TypeAlias = Callable[[bytes, bytes], str]
"""Return how the decoded pixels of the second file differ from those of the first.

Return "" if all pixels are equal. Ignore compression and metadata.

Raises:
    StorageError: one of the files cannot be decoded.
"""
