"""The port for the trash: replaced and deleted files that can be restored."""

from typing import Protocol

from imagen.domain.call import FileVersion
from imagen.domain.history import HistoryEntry
from imagen.domain.trash import TrashedFile


class Trash(Protocol):
    """A temporary store for files, each with its sidecar and history entry.

    Several threads and processes may use it at the same time.
    """

    def examine(
        self, location: str, *, image: HistoryEntry | None = None
    ) -> FileVersion | None:
        """Return which file and which sidecar `put` would move; None if there is none.

        Nothing is moved. A symbolic link is a file of its own.

        Args:
            location: An absolute path.
            image: Only this image counts, and of the sidecars only its own.

        Raises:
            StorageError: the file cannot be moved, or is not a file.
        """
        ...

    def put(
        self, location: str, version: FileVersion, *, entry: HistoryEntry | None = None
    ) -> str | None:
        """Move the file and its sidecar into the trash, and return the id there.

        The id is that of the image in the history entry, if the trash has none with
        that id.

        Returns:
            None if the file has another version by now; it stays where it is.

        Raises:
            StorageError: the file cannot be moved; it is where it was.
        """
        ...

    def find(self, trash_id: str) -> TrashedFile | None:
        """Return the file with this id; None if it is not in the trash.

        Raises:
            StorageError: the trash cannot be read.
        """
        ...

    def list_files(self) -> list[TrashedFile]:
        """Return all files, the oldest first.

        Raises:
            StorageError: the trash cannot be read.
        """
        ...

    def restore(self, trash_id: str) -> TrashedFile | None:
        """Move the file back to its location; None if it is not in the trash.

        Existing files are never replaced; an existing sidecar stays. The same file may
        already exist at the location, after a `restore` that was interrupted; it then
        counts as restored.

        Raises:
            StorageError: the file cannot be restored; it is still in the trash.
        """
        ...

    def delete(self, trash_id: str) -> bool:
        """Delete the file for good; return whether it was in the trash.

        Raises:
            StorageError: it cannot be deleted.
        """
        ...
