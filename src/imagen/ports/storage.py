"""The port to wherever images are stored."""

from typing import Protocol


class Storage(Protocol):
    """Keeps images, each with its sidecar, under relative, forward-slashed names.

    May be used by several threads and processes at once.

    Prove an implementation with `imagen.testing.StorageContract`.
    """

    def save(
        self,
        name: str,
        content: bytes,
        *,
        media_type: str,
        sidecar: bytes | None = None,
        replace: bool = False,
        again: bool = False,
    ) -> str:
        """Keep the image, and its sidecar under the same name plus `.json`.

        Both are kept whole or not at all, and neither is ever seen half-written. When
        the machine dies in between there may be the one without the other.
        Without a sidecar nothing lies under the sidecar's name afterwards.

        Args:
            name: Of the image, such as `2026-05-08/a-cat-42.png`.
            content: The image.
            media_type: What it is.
            sidecar: The note beside it.
            replace: Put it in the place of what is there.
            again: The same save may have happened already, perhaps half of it, before
                its process died. If exactly these bytes are kept under the name, that
                is the place, and its sidecar is put right. If exactly this sidecar is
                there alone, the image is added. Several that save the same again at
                once all get the one place. With `replace` it means nothing.

        Returns:
            Where it is, as a person or a program would ask for it.

        Raises:
            NameTaken: something is kept under the image's or the sidecar's name, even
                the same bytes, and neither `replace` nor `again` has a use for it; it
                is left as it was.
            StorageError: it could not be kept, or the name leads elsewhere.
        """
        ...

    def read(self, name: str) -> bytes | None:
        """Return what is kept under the name, image or sidecar; None for nothing.

        Raises:
            StorageError: it is there, but could not be read.
        """
        ...
