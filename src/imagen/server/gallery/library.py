"""The images that the history knows, as a browser gets them: small, whole, and away."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from imagen.bootstrap.library import build_thumbnails, build_trash
from imagen.domain.history import HistoryEntry
from imagen.server.errors import ErrorResponse
from imagen.server.jobs.service import ServerContext, read_image

if TYPE_CHECKING:
    from imagen.adapters.imaging.thumbnails import Thumbnails

MAX_WAITING = 256
"""Thumbnails; whoever asks for more has to ask again."""
_THREADS = 2


class ImageLibrary:
    """Finds images by their ids, and has thumbnails made, a few at a time.

    Args:
        workshop: What the server shares.
    """

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._threads = ThreadPoolExecutor(_THREADS, "thumbnails")
        self._pending: dict[str, asyncio.Future[bytes]] = {}
        self.bin = build_trash(context.runtime)

    async def entry(self, image_id: str) -> HistoryEntry:
        """Return what the history has of the image.

        Raises:
            Failure: it has none.
        """
        history = self._context.accounts.history
        entry = await self._context.in_thread(lambda: history.get(image_id))
        if entry is None or entry.sidecar.id != image_id:
            raise image_not_found()
        return entry

    async def content(self, entry: HistoryEntry) -> bytes:
        """Return its file.

        Raises:
            Failure: it is gone, or another one by now.
        """
        return await self._context.in_thread(lambda: self._read(entry))

    async def thumbnail(self, entry: HistoryEntry) -> bytes:
        """Return a small WebP of it, made now if there is none yet.

        Raises:
            Failure: its file is gone, or too many wait already.
            InvalidRequest: it cannot be drawn.
        """
        sha256 = entry.sidecar.sha256
        pending = self._pending.get(sha256)
        if pending is None:
            if len(self._pending) >= MAX_WAITING:
                raise ErrorResponse(
                    503,
                    "Many thumbnails are being made.",
                    type="server_error",
                    code="busy",
                    retry_after=1,
                )
            loop = asyncio.get_running_loop()
            pending = loop.run_in_executor(self._threads, self._thumbnail, entry)
            self._pending[sha256] = pending
            pending.add_done_callback(lambda done: self._on_done(sha256, done))
        return await asyncio.shield(pending)  # others may wait for it too

    def close(self) -> None:
        """Make no more thumbnails."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _on_done(self, sha256: str, done: asyncio.Future[bytes]) -> None:
        del self._pending[sha256]
        if not done.cancelled():
            done.exception()  # whoever waited has heard it; nobody may wait any more

    @cached_property
    def _thumbnails(self) -> "Thumbnails":
        return build_thumbnails(self._context.environment)

    def _thumbnail(self, entry: HistoryEntry) -> bytes:
        found = self._thumbnails.find(entry.sidecar.sha256)
        if found is not None:
            return found
        return self._thumbnails.create(self._read(entry), entry.sidecar.sha256)

    def _read(self, entry: HistoryEntry) -> bytes:
        image = read_image(entry)
        if image is None:
            raise ErrorResponse(
                410,
                "The file of this image is not where it was stored any more.",
                code="file_gone",
            )
        return image.content


def file_exists(entry: HistoryEntry) -> bool:
    """Say whether a file is where the image was stored."""
    with suppress(OSError, ValueError):
        return S_ISREG(Path(entry.location).stat().st_mode)
    return False


def image_not_found() -> ErrorResponse:
    """Return what is said of an image that the history does not know."""
    return ErrorResponse(
        404, "There is no such image in the history.", code="not_found"
    )
