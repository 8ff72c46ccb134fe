"""Keeps the bytes of images that wait for upload in files beside the database."""

from collections.abc import Callable, Collection
from pathlib import Path

from imagen.adapters.database.files import read_file, remove_files, write_file


class FileSpool:
    """A folder with one file for each image that is not uploaded yet.

    Args:
        folder: Returns the folder, which is created when first needed.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder

    def write(self, image_id: str, content: bytes) -> None:
        """Write the file."""
        # Not durable: after a power cut the upload falls back to the image that was
        # saved for the user, and that one was synced.
        write_file(self._folder() / image_id, content, durable=False)

    def read(self, image_id: str) -> bytes | None:
        """Read the file."""
        return read_file(self._folder() / image_id)

    def discard(self, image_ids: Collection[str]) -> None:
        """Delete the files."""
        folder = self._folder()
        remove_files(folder / image_id for image_id in image_ids)
