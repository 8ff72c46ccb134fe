"""The port to the copies of images in the cloud."""

from collections.abc import Iterator
from typing import Protocol

from imagen.domain.cloud import CloudImage


class Cloud(Protocol):
    """Keeps a copy of images, each for its owner alone.

    Tries once, in seconds: delivering again is the caller's decision. No error holds a
    secret.

    Prove an implementation with `imagen.testing.CloudContract`.
    """

    def upload(self, image: CloudImage, content: bytes) -> None:
        """Keep the bytes, then the row that says what they are; each once.

        However often it is kept, by however many at once, and whatever died in between:
        there is one object and one row, and no row without its object.

        Raises:
            Unavailable: it cannot be reached now, or is overloaded; all of it is owed.
            Unauthorized, Misconfigured: something is not set up; the hint says what to
                do, and everything is owed until that is done.
            UnknownOwner: likewise, but only of this owner's images.
            Refused: this image can never be kept as it is.
        """
        ...

    def find(self, owner: str, *, limit: int | None = None) -> Iterator[CloudImage]:
        """Yield the owner's images, the newest first, however many there are.

        Raises:
            Unavailable, Unauthorized, Misconfigured: as with `keep`.
        """
        ...

    def get(self, owner: str, name: str) -> CloudImage | None:
        """Return the owner's image of that id, or of the only id that begins so.

        Raises:
            InvalidRequest: several ids begin so.
            Unavailable, Unauthorized, Misconfigured: as with `keep`.
        """
        ...

    def download(self, image: CloudImage) -> bytes:
        """Return the bytes of the copy, whose hash is the one in its sidecar.

        Raises:
            BackendError: there are none, or they are others.
            Unavailable, Unauthorized, Misconfigured: as with `keep`.
        """
        ...

    def close(self) -> None:
        """Close connections; they are opened again when need be."""
        ...
