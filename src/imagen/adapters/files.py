"""Reads files that a person names, and lists the images beside them."""

import os
from itertools import islice
from pathlib import Path

from imagen.domain.errors import InvalidRequest
from imagen.domain.media import EXTENSIONS

LARGEST_FILE = 512 * 2**20
"""Bytes. A device or a pipe may have no end."""

MOST_ENTRIES, MOST_IMAGES = 100_000, 1000
"""Of one folder that are looked at, and that are worth reading."""

_IMAGES = {*EXTENSIONS.values(), "jpeg"}


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


def images_in(folder: str) -> list[str]:
    """Return the images of a folder by their names, the newest first."""
    try:
        with os.scandir(folder or ".") as entries:
            found = [
                (entry.stat().st_mtime_ns, entry.path)
                for entry in islice(entries, MOST_ENTRIES)
                if entry.name.rpartition(".")[2].lower() in _IMAGES and entry.is_file()
            ]
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)[:MOST_IMAGES]]
