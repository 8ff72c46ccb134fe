"""Writes images to a stream, such as standard output; nothing is kept."""

from typing import BinaryIO

from imagen.domain.errors import StorageError


class StreamStorage:
    """Everything that is saved goes down the stream, one after the other.

    No name is ever taken, and nothing can be read again, so it is no full `Storage`
    by contract: a stream has no room for a sidecar.
    """

    def __init__(self, stream: BinaryIO, *, name: str) -> None:
        self._stream = stream
        self._called = name

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
        """Write the image and hand it over at once, once more if need be."""
        try:
            self._stream.write(content)
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise StorageError(
                f"The image could not be written to {self._called}: {error}."
            ) from error
        return self._called

    def read(self, name: str) -> bytes | None:
        """Nothing is kept."""
        return None
