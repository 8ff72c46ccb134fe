"""Reads files that a person names."""

from pathlib import Path

from imagen.domain.errors import InvalidRequest

LARGEST_FILE = 512 * 2**20
"""Bytes. A device or a pipe may have no end."""


def read_file(location: str, *, largest: int = LARGEST_FILE) -> bytes | None:
    """Return what the file holds; None where there is no file of that name.

    Raises:
        InvalidRequest: it is there, and cannot be read, or holds too much.
    """
    path = Path(location)
    try:
        if path.is_dir():
            return None
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # or a NUL in its name
        return None
    except OSError as error:
        reason = error.strerror or "it is no file"
        raise InvalidRequest(f"{location} cannot be read: {reason}.") from error
    if len(content) > largest:
        raise InvalidRequest(f"{location} has more than {largest} bytes.")
    return content
