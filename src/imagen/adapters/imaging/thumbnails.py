"""Create thumbnails and cache them in a folder that may be deleted at any time."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from imagen.adapters.imaging.pixels import encode_image, open_thumbnail
from imagen.adapters.system.private_files import (
    create_private_folder,
    write_private_file,
)
from imagen.domain.errors import InvalidRequest

SIDE = 512
"""The longer side in pixels; a smaller image is not enlarged."""
LARGEST_CACHE = 4 * 1024**3
"""Bytes; about 200,000 thumbnails."""

_QUALITY = 78
# Of 6. The higher levels spend most of their time to save a last few per cent.
_EFFORT = 2
# Measuring the folder lists every file, so it is done once in so many thumbnails.
_CHECK_EVERY = 1000


class Thumbnails:
    """A cache of thumbnails in files named after the SHA-256 of the image.

    A folder of files rather than a database table: a reader needs no lock, the user may
    delete any file, and no backup of the database has to carry them. The oldest are
    deleted above `largest` bytes. Thread-safe and process-safe.
    """

    def __init__(
        self, folder: Callable[[], Path], *, largest: int = LARGEST_CACHE
    ) -> None:
        self._folder = folder
        self._largest = largest
        self._made = 0
        self._lock = Lock()

    def find(self, sha256: str) -> bytes | None:
        """Return the cached thumbnail of an image; None when it is not cached."""
        with suppress(OSError):
            return self._path(sha256).read_bytes() or None
        return None

    def create(self, content: bytes, sha256: str) -> bytes:
        """Return a thumbnail of the image as WebP, and cache it if possible.

        Raises:
            InvalidRequest: the content cannot be decoded as an image.
        """
        # A full or read-only disk costs the cache, never the thumbnail.
        thumbnail = render_thumbnail(content)
        with suppress(OSError):
            self._store(thumbnail, self._path(sha256))
        return thumbnail

    def _path(self, sha256: str) -> Path:
        return self._folder() / sha256[:2] / f"{sha256}.webp"

    def _store(self, thumbnail: bytes, path: Path) -> None:
        create_private_folder(self._folder())
        create_private_folder(path.parent)
        write_private_file(path, thumbnail)
        with self._lock:
            self._made += 1
            if self._made % _CHECK_EVERY == 0:
                self._evict()

    def _evict(self) -> None:
        """Delete the oldest files, unfinished ones included, when over the limit."""
        files = [(file.stat(), file) for file in self._folder().glob("*/*")]
        size = sum(status.st_size for status, _ in files)
        if size <= self._largest:
            return
        files.sort(key=lambda each: each[0].st_mtime)
        for status, file in files:
            if size <= self._largest * 0.8:
                return
            file.unlink(missing_ok=True)
            size -= status.st_size


def render_thumbnail(content: bytes) -> bytes:
    """Return a thumbnail of an image as WebP.

    Raises:
        InvalidRequest: the content cannot be decoded as an image.
    """
    try:
        picture = open_thumbnail(content, SIDE)
    # Pillow's decoders raise many types of exception for broken or oversized files.
    except Exception as error:
        raise InvalidRequest(f"The image cannot be drawn: {error}.") from error
    return encode_image(picture, "WEBP", quality=_QUALITY, method=_EFFORT)
