"""The port for the place where images are stored."""

from typing import Protocol


class Storage(Protocol):
    """A store of images and their sidecars, by relative names with forward slashes.

    Used by several threads and processes at once.

    Prove an implementation with `imagen.testing.StorageContract`.
    """

    def save(
        self,
        name: str,
        content: bytes,
        *,
        media_type: str,
        sidecar: bytes | None = None,
        again: bool = False,
    ) -> str:
        """Store the image, and its sidecar under the same name plus `.json`.

        Each file appears complete or not at all; no reader ever sees half of it. After
        a crash of the machine one of the two may be missing. Without a sidecar, no file
        exists under the sidecar's name afterwards.

        Args:
            name: Of the image, such as `2026-05-08/a-cat-42.png`.
            content: The image file.
            media_type: Of the image.
            sidecar: The sidecar file.
            again: This may repeat a save whose process ended before it had finished. If
                exactly this image exists under the name, return its location and
                correct its sidecar. If exactly this sidecar exists without an image,
                add the image. Concurrent repetitions all return the same location.

        Returns:
            The location of the image, in the form that users and programs expect.

        Raises:
            NameTaken: a file exists under the image's or the sidecar's name, even with
                the same bytes, and `again` does not apply. The file is unchanged.
            StorageError: the image cannot be stored, or the name points outside of the
                storage.
        """
        ...

    def read(self, name: str) -> bytes | None:
        """Return the image or sidecar of this name; None if there is none.

        Raises:
            StorageError: the file exists, but cannot be read.
        """
        ...
