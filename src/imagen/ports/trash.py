"""The port to the bin: files that were thrown away, and can be fetched back."""

from typing import Protocol

from imagen.domain.history import HistoryEntry


class Trash(Protocol):
    """Keeps the files of images for a while after nobody wants them."""

    def put(self, entry: HistoryEntry) -> bool:
        """Move the image and its sidecar here, and say whether the image is here now.

        It is, too, if it was thrown away before. What lies in its place and is another
        image, by its content, stays there.

        Raises:
            StorageError: it cannot be moved; it is where it was.
        """
        ...

    def find(self, image_id: str) -> HistoryEntry | None:
        """Return what the history had of an image that is here; None when it is not.

        Raises:
            StorageError: that cannot be found out.
        """
        ...

    def restore(self, image_id: str) -> HistoryEntry | None:
        """Put the image back where it was; None when it is not here.

        Nothing that lies there by now is replaced, and the image itself is fine there:
        whoever put it back before may have been killed.

        Raises:
            StorageError: it cannot be put back; it is still here.
        """
        ...
