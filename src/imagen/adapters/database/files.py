"""Files beside the database, each of which is either complete or absent.

They hold the images that are not stored yet, and those that are not uploaded yet.
"""

import fcntl
from collections.abc import Collection, Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from imagen.adapters.database.connection import Database, translate_errors
from imagen.adapters.database.schema import FAILED, PENDING
from imagen.adapters.system.private_files import (
    create_private_folder,
    lock_folder,
    write_private_file,
)
from imagen.domain.errors import JournalError

_NEEDED = f"SELECT id FROM images WHERE delivery IN ('{PENDING}', '{FAILED}')"  # noqa: S608 - constants only


class FileSpool:
    """A folder with one file for each image that is not uploaded yet.

    Args:
        database: Has the delivery states; the folder is beside it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _folder(self) -> Path:
        # The name of the first version, because the folder may hold images.
        return self._database.folder / "outbox"

    @contextmanager
    def adding(self) -> Generator[None]:
        """Hold a shared lock on the folder."""
        with ExitStack() as lock:
            # Without the lock, a sweep of another process could delete these bytes; the
            # upload then falls back to the saved image.
            with suppress(JournalError, OSError):
                folder = create_private_folder(self._folder)
                lock.enter_context(lock_folder(folder, fcntl.LOCK_SH))
            yield

    def write(self, image_id: str, content: bytes) -> None:
        """Write the file."""
        # Not durable: after a power cut the upload falls back to the image that was
        # saved for the user, and that one was synced.
        write_file(self._folder / image_id, content, durable=False)

    def read(self, image_id: str) -> bytes | None:
        """Read the file."""
        return read_file(self._folder / image_id)

    def discard(self, image_ids: Collection[str]) -> None:
        """Delete the files."""
        with suppress(JournalError):
            folder = self._folder
            remove_files(folder / image_id for image_id in image_ids)

    def sweep(self) -> None:
        """Delete files and drafts under an exclusive lock on the folder."""
        with (
            suppress(JournalError, OSError),
            # No age limit instead of the lock: a process may be suspended for hours
            # between its file and its row.
            lock_folder(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB),
        ):
            if files := list(self._folder.iterdir()):
                with self._database.reading() as connection:
                    needed = {id_ for (id_,) in connection.execute(_NEEDED)}
                remove_files(path for path in files if path.name.lower() not in needed)


def write_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Write or replace the file; the folder is created if missing.

    Raises:
        JournalError: the file cannot be written.
    """
    with translate_errors(path.parent):
        create_private_folder(path.parent)
        write_private_file(path, content, durable=durable)


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
