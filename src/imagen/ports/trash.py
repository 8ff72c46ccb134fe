"""The port for the trash: deleted files that can be restored."""

from typing import Protocol

from imagen.domain.history import HistoryEntry


class Trash(Protocol):
    """A temporary store for the files of deleted images."""

    def put(self, entry: HistoryEntry) -> bool:
        """Move the image and its sidecar into the trash; return whether it is there.

        That includes an image that was moved before. A file at the image's location
        with other content is a different image and stays.

        Raises:
            StorageError: the image cannot be moved; its files are unchanged.
        """
        ...

    def find(self, image_id: str) -> HistoryEntry | None:
        """Return the history entry of an image in the trash; None if it is not there.

        Raises:
            StorageError: the trash cannot be read.
        """
        ...

    def restore(self, image_id: str) -> HistoryEntry | None:
        """Move the image back to its location; None if it is not in the trash.

        Existing files are never replaced. The image itself may already exist at its
        location, after a `restore` that was interrupted; it then counts as restored.

        Raises:
            StorageError: the image cannot be restored; it is still in the trash.
        """
        ...
