"""Output of images to a stream, such as standard output."""

from typing import BinaryIO

from imagen.domain.errors import StorageError


class StreamStorage:
    """A stream to which every image is written, one after the other.

    A stream has no names and cannot be read again, so no name is ever taken and
    sidecars are dropped. It does not pass the contract of `Storage`.
    """

    def __init__(self, stream: BinaryIO, *, name: str) -> None:
        self._stream = stream
        self._name = name

    def save(
        self,
        name: str,
        content: bytes,
        *,
        media_type: str,
        sidecar: bytes | None = None,
        again: bool = False,
    ) -> str:
        """Write the image and flush the stream; with `again`, write it once more."""
        try:
            self._stream.write(content)
            self._stream.flush()
        # ValueError: the stream is closed.
        except (OSError, ValueError) as error:
            raise StorageError(
                f"The image could not be written to {self._name}: {error}."
            ) from error
        return self._name

    def read(self, name: str) -> bytes | None:
        """Return None: a stream cannot be read again."""
        return None
