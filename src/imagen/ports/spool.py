"""The port to the bytes of images that wait for their upload."""

from collections.abc import Collection
from typing import Protocol


class Spool(Protocol):
    """A store for the bytes of each image, by image id, until the upload is done.

    The user may move or edit the file of an image before its copy is uploaded; the
    spool still has the bytes as they were. Several threads and processes may use it at
    the same time. `JournalError`: the bytes cannot be read or stored.
    """

    def write(self, image_id: str, content: bytes) -> None:
        """Store the bytes of an image, in place of those stored before.

        Called before the image is added to the history.
        """
        ...

    def read(self, image_id: str) -> bytes | None:
        """Return the stored bytes of an image; None if the spool has none."""
        ...

    def discard(self, image_ids: Collection[str]) -> None:
        """Delete the bytes of these images; errors and unknown ids are ignored."""
        ...
