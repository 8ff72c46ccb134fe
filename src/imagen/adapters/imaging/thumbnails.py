"""Small pictures of images, made once and kept in a folder of no importance."""

import os
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Lock

from PIL import Image, ImageOps

from imagen.adapters.system.private_files import (
    create_private_file,
    create_private_folder,
)
from imagen.domain.errors import InvalidRequest

SIDE = 512
"""Pixels of the longer side at most; a smaller image stays as it is."""
MEDIA_TYPE = "image/webp"
LARGEST_CACHE = 4 * 1024**3
"""Bytes; some 200,000 thumbnails."""

_QUALITY = 78
_EFFORT = 2
"""Of 6: most of the time would go into the last few per cent."""
_CHECK_EVERY = 1000
"""Thumbnails that are made between two looks at how much there is."""


class Thumbnails:
    """Files named after the content that they show, which are safe to delete.

    Safe for many threads and processes at once.

    Args:
        folder: Where they are; made when first needed.
        largest: Bytes, from which on the oldest go.
    """

    def __init__(
        self, folder: Callable[[], Path], *, largest: int = LARGEST_CACHE
    ) -> None:
        self._folder = folder
        self._largest = largest
        self._made = 0
        self._lock = Lock()

    def find(self, sha256: str) -> bytes | None:
        """Return the one that was made of that content; None if there is none."""
        with suppress(OSError):
            return self._path(sha256).read_bytes() or None
        return None

    def create(self, content: bytes, sha256: str) -> bytes:
        """Return a WebP of the image, kept for the next time if that is possible.

        Raises:
            InvalidRequest: it is no image that can be drawn.
        """
        small = render_thumbnail(content)
        with suppress(OSError):
            self._store(small, self._path(sha256))
        return small

    def _path(self, sha256: str) -> Path:
        return self._folder() / sha256[:2] / f"{sha256}.webp"

    def _store(self, small: bytes, path: Path) -> None:
        create_private_folder(self._folder())
        create_private_folder(path.parent)
        draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
        try:
            with os.fdopen(create_private_file(draft), "wb") as file:
                file.write(small)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        with self._lock:
            self._made += 1
            if self._made % _CHECK_EVERY == 0:
                self._evict()

    def _evict(self) -> None:
        """Delete the oldest, and drafts of the dead, if there is too much."""
        there = [(file.stat(), file) for file in self._folder().glob("*/*")]
        size = sum(facts.st_size for facts, _ in there)
        if size <= self._largest:
            return
        there.sort(key=lambda each: each[0].st_mtime)
        for facts, file in there:
            if size <= self._largest * 0.8:
                return
            file.unlink(missing_ok=True)
            size -= facts.st_size


def render_thumbnail(content: bytes) -> bytes:
    """Return a small WebP of an image.

    Raises:
        InvalidRequest: it is no image that can be drawn.
    """
    try:
        with Image.open(BytesIO(content)) as image:
            image.draft("RGB", (SIDE, SIDE))  # a JPEG is not even read at full size
            image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=1.0)
            upright = ImageOps.exif_transpose(image)
            clear = "A" in upright.getbands() or "transparency" in upright.info
            plain = upright.convert("RGBA" if clear else "RGB")
    except Exception as error:
        # Whatever Pillow raises of bytes that are no image, or too large a one.
        raise InvalidRequest(f"It cannot be drawn: {error}.") from error
    written = BytesIO()
    plain.save(written, "WEBP", quality=_QUALITY, method=_EFFORT)
    return written.getvalue()
