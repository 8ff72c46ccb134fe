"""The port to the bin: files that were thrown away, and can be fetched back."""

from typing import Protocol

from imagen.domain.history import HistoryEntry


class Bin(Protocol):
    """Keeps the files of images for a while after nobody wants them."""

    def throw(self, entry: HistoryEntry) -> bool:
        """Move the image and its sidecar here, and say whether the image was there.

        What lies in its place and is another image, by its content, stays there.

        Raises:
            StorageError: it cannot be moved; it is where it was.
        """
        ...

    def fetch(self, image_id: str) -> HistoryEntry | None:
        """Put the image back where it was; None when it is not here.

        Nothing that lies there by now is replaced.

        Raises:
            StorageError: it cannot be put back; it is still here.
        """
        ...
