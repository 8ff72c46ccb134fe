"""The port to whatever can redraw an image: in another format, or at another size."""

from typing import Protocol

from imagen.domain.fit import Fit
from imagen.domain.size import Size


class ImageEditor(Protocol):
    """Redraws images; the only place where pixels are re-encoded.

    Prove an implementation with `imagen.testing.ImageEditorContract`.
    """

    def redraw(
        self, content: bytes, *, media_type: str, fit: Fit | None, size: Size | None
    ) -> bytes:
        """Return the picture as PNG, lossless WebP, or JPEG of quality 95 on white.

        With `fit`, at exactly `size`; without it, `size` means nothing. Upright, if the
        image said that it is to be turned.

        Raises:
            StorageError: the picture cannot be decoded, or not be written so.
        """
        ...
