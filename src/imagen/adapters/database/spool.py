"""Keeps the bytes of images that wait for upload in files beside the database."""

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from imagen.adapters.database.connection import translate_errors
from imagen.adapters.system.private_files import (
    create_private_file,
    create_private_folder,
)


class FileSpool:
    """A folder with one file for each image that is not uploaded yet.

    Args:
        folder: Returns the folder, which is created when first needed.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder

    def write(self, image_id: str, content: bytes) -> None:
        """Write a draft beside the file, then rename it."""
        folder = self._folder()
        with translate_errors(folder):
            create_private_folder(folder)
            draft = folder / f"{image_id}.{os.urandom(8).hex()}.part"
            try:
                # No fsync: after a power cut the upload falls back to the image that
                # was saved for the user, and that one was synced.
                with os.fdopen(create_private_file(draft), "wb") as file:
                    file.write(content)
                draft.replace(folder / image_id)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise

    def read(self, image_id: str) -> bytes | None:
        """Read the file."""
        path = self._folder() / image_id
        with translate_errors(path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def discard(self, image_ids: Collection[str]) -> None:
        """Delete the files."""
        folder = self._folder()
        for image_id in image_ids:
            with suppress(OSError):
                (folder / image_id).unlink(missing_ok=True)
