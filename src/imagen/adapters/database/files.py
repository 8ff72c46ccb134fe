"""Files beside the database, each of which is either complete or absent.

They hold the images that are not stored yet, and those that are not uploaded yet.
"""

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from imagen.adapters.database.connection import translate_errors
from imagen.adapters.system.private_files import (
    create_private_file,
    create_private_folder,
    sync_folder,
)


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


def write_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Write a draft beside the file, then rename it; the folder is created if missing.

    Args:
        path: The file, which is replaced if it exists.
        content: The whole content.
        durable: Whether the file must survive a power cut, which takes until the disk
            has confirmed it.

    Raises:
        JournalError: the file cannot be written; the draft is removed.
    """
    folder = path.parent
    with translate_errors(folder):
        create_private_folder(folder)
        # The part before the first dot is the id; a crash leaves `ID.RANDOM.part`.
        stem = path.name.partition(".")[0]
        draft = folder / f"{stem}.{os.urandom(8).hex()}.part"
        try:
            with os.fdopen(create_private_file(draft), "wb") as file:
                file.write(content)
                if durable:
                    # Before the rename: otherwise a power cut can leave the new name
                    # with no content.
                    file.flush()
                    os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        if durable:
            sync_folder(folder)


def read_file(path: Path) -> bytes | None:
    """Return the content; None if the file does not exist.

    Raises:
        JournalError: the file cannot be read.
    """
    with translate_errors(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def remove_files(paths: Iterable[Path]) -> None:
    """Delete the files; those that cannot be deleted stay."""
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)
