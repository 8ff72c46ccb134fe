"""The port for the copies of images in the cloud."""

from collections.abc import Iterator
from typing import Protocol

from imagen.domain.cloud import CloudImage


class Cloud(Protocol):
    """A store of image copies, in which every owner sees only their own.

    Each method tries once and takes seconds at most; the caller decides about retries.
    No error contains a secret. Every method raises `Unavailable`, `Unauthorized` and
    `Misconfigured` as `upload` does.
    """

    def upload(self, image: CloudImage, content: bytes) -> None:
        """Store the bytes, then the row that describes them.

        Repeated and concurrent uploads of an image, and uploads that were interrupted
        at any point, lead to exactly one object and one row. A row never exists without
        its object.

        Raises:
            Unavailable: the cloud cannot be reached, or is overloaded. Retry later.
            Unauthorized, Misconfigured: the account is not set up. Every upload fails
                until the user follows the hint.
            UnknownOwner: this owner does not exist. Other owners are not affected.
            Refused: this image can never be uploaded in its present form.
        """
        ...

    def find(self, owner: str, *, limit: int | None = None) -> Iterator[CloudImage]:
        """Yield all of the owner's images, newest first."""
        ...

    def get(self, owner: str, name: str) -> CloudImage | None:
        """Return the owner's image whose id is, or uniquely begins with, the name.

        Raises:
            InvalidRequest: several ids begin with the name.
        """
        ...

    def download(self, image: CloudImage) -> bytes:
        """Return the bytes of the copy, verified against the hash in its sidecar.

        Raises:
            BackendError: the object is missing, or has a different hash.
        """
        ...

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        ...
