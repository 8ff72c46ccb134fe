"""The images of the history for the gallery: files, thumbnails, trash."""

import asyncio
import os.path
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from imagen.bootstrap.library import (
    build_thumbnails,
    build_trash,
    read_stored_image,
)
from imagen.domain.history import HistoryEntry
from imagen.server.errors import ErrorResponse
from imagen.server.jobs.service import ServerContext

if TYPE_CHECKING:
    from imagen.adapters.imaging.thumbnails import Thumbnails

MAX_WAITING = 256
"""Thumbnails in progress; further requests are rejected and may be retried."""
_THREADS = 2
IMAGE_ID = re.compile(r"[0-9a-f-]{36}")
"""A whole id: the history also understands the beginning of one, and `last`."""


class ImageLibrary:
    """Looks up images by id, and creates thumbnails, two at a time.

    Attributes:
        bin: Moves images to the trash and back.
    """

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._threads = ThreadPoolExecutor(_THREADS, "thumbnails")
        self._pending: dict[str, asyncio.Future[bytes]] = {}
        self.bin = build_trash(context.runtime)

    async def entry(self, image_id: str) -> HistoryEntry:
        """Return the history entry of an image.

        Raises:
            ErrorResponse: the history has no such image (404).
        """
        check_id(image_id)
        history = self._context.stores.history
        entry = await self._context.in_thread(lambda: history.get(image_id))
        if entry is None:
            raise image_not_found()
        return entry

    async def content(self, entry: HistoryEntry) -> bytes:
        """Return the content of an image's file.

        Raises:
            ErrorResponse: the file is missing or was replaced (410).
        """
        return await self._context.in_thread(lambda: self._read(entry))

    async def thumbnail(self, entry: HistoryEntry) -> bytes:
        """Return the thumbnail (WebP) of an image, created on first use.

        Raises:
            ErrorResponse: the file is missing (410), or too many thumbnails are in
                progress (503).
            InvalidRequest: the image cannot be decoded.
        """
        sha256 = entry.sidecar.sha256
        pending = self._pending.get(sha256)
        if pending is None:
            if len(self._pending) >= MAX_WAITING:
                message = "Too many thumbnails are in progress."
                raise ErrorResponse(503, message, code="busy", retry_after=1)
            loop = asyncio.get_running_loop()
            pending = loop.run_in_executor(self._threads, self._thumbnail, entry)
            self._pending[sha256] = pending
            pending.add_done_callback(lambda done: self._on_done(sha256, done))
        # Shielded: a client that disconnects must not cancel it for the others.
        return await asyncio.shield(pending)

    def close(self) -> None:
        """Stop creating thumbnails."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _on_done(self, sha256: str, done: asyncio.Future[bytes]) -> None:
        del self._pending[sha256]
        if not done.cancelled():
            # Marks the exception as retrieved: when all clients have disconnected
            # asyncio would log it.
            done.exception()

    @cached_property
    def _thumbnails(self) -> "Thumbnails":
        return build_thumbnails(self._context.runtime.environment)

    def _thumbnail(self, entry: HistoryEntry) -> bytes:
        found = self._thumbnails.find(entry.sidecar.sha256)
        if found is not None:
            return found
        return self._thumbnails.create(self._read(entry), entry.sidecar.sha256)

    def _read(self, entry: HistoryEntry) -> bytes:
        content = read_stored_image(entry)
        if content is None:
            raise ErrorResponse(
                410,
                "The file of this image was moved, deleted or replaced.",
                code="file_gone",
            )
        return content


def file_exists(entry: HistoryEntry) -> bool:
    """Return True if a regular file is at the image's location."""
    return os.path.isfile(entry.location)  # noqa: PTH113 - never raises


def check_id(image_id: str) -> None:
    """Raise an ErrorResponse (404) unless it is the id of an image."""
    if IMAGE_ID.fullmatch(image_id) is None:
        raise image_not_found()


def image_not_found() -> ErrorResponse:
    """Return the response for an id that the history does not have."""
    return ErrorResponse(404, "The history has no such image.", code="not_found")
