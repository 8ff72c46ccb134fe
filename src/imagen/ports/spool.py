"""The port to the bytes of images that wait for their upload."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol


class Spool(Protocol):
    """A store for the bytes of each image, by image id, until the upload is done.

    The user may move or edit the file of an image before its copy is uploaded; the
    spool still has the bytes as they were. Several threads and processes may use it at
    the same time. `JournalError`: the bytes cannot be read or stored.
    """

    def adding(self) -> AbstractContextManager[object]:
        """Return a block in which bytes are written and their images recorded.

        `sweep` leaves all bytes alone while any process is inside such a block. Ends
        with the process, however that ends. Never raises.
        """
        ...

    def write(self, image_id: str, content: bytes) -> None:
        """Store the bytes of an image, in place of those stored before.

        Called before the image is added to the history, both in one block of `adding`.
        """
        ...

    def read(self, image_id: str) -> bytes | None:
        """Return the stored bytes of an image; None if the spool has none."""
        ...

    def discard(self, image_ids: Collection[str]) -> None:
        """Delete the bytes of these images; errors and unknown ids are ignored."""
        ...

    def sweep(self) -> None:
        """Delete all bytes whose image is neither pending nor failed.

        A process that dies leaves such bytes between any two steps. Without effect
        while another process is inside a block of `adding`; errors are ignored.
        """
        ...
