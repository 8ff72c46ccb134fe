"""Reads files that a person names, and lists the images beside them."""

import os
from collections.abc import Callable
from itertools import islice
from stat import S_ISDIR, S_ISREG

from imagen.domain.errors import InvalidRequest
from imagen.domain.media import EXTENSIONS

LARGEST_FILE = 512 * 2**20
"""Bytes. A device or a pipe may have no end."""

MAX_ENTRIES, MAX_IMAGES = 100_000, 1000
"""Of one folder that are looked at, and that are worth reading."""

_IMAGES = {*EXTENSIONS.values(), "jpeg"}


def read_file(location: str, *, largest: int = LARGEST_FILE) -> bytes | None:
    """Return what the file holds; None where there is no file of that name.

    A pipe is waited for, since whoever names one wants that.

    Raises:
        InvalidRequest: it is there, and cannot be read, or holds too much.
    """
    return _read(location, lambda found: not S_ISDIR(found.st_mode), largest=largest)


def read_regular(
    location: str, *, size: int | None = None, largest: int = LARGEST_FILE
) -> bytes | None:
    """Return what the file holds; None where there is none of that name and size.

    A pipe or a device is none, and is never waited for.

    Args:
        location: Where it is.
        size: In bytes; a file of another size is not read. None is any.
        largest: What may be read of it.

    Raises:
        InvalidRequest: it is there, and cannot be read, or holds too much.
    """

    def is_wanted(found: os.stat_result) -> bool:
        return S_ISREG(found.st_mode) and size in {None, found.st_size}

    return _read(location, is_wanted, largest=largest, flags=os.O_NONBLOCK)


def _read(
    location: str,
    is_wanted: Callable[[os.stat_result], bool],
    *,
    largest: int,
    flags: int = 0,
) -> bytes | None:
    try:
        handle = os.open(location, os.O_RDONLY | os.O_CLOEXEC | flags)
        try:
            found = os.fstat(handle)
            if not is_wanted(found):
                return None
            if found.st_size > largest:
                raise _too_large(location, largest)
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read(largest + 1)
        finally:
            os.close(handle)
    except InvalidRequest:
        raise
    except (FileNotFoundError, NotADirectoryError, ValueError):  # or a NUL in its name
        return None
    except OSError as error:
        reason = error.strerror or "it is no file"
        raise InvalidRequest(f"{location} cannot be read: {reason}.") from error
    if len(content) > largest:
        raise _too_large(location, largest)
    return content


def _too_large(location: str, largest: int) -> InvalidRequest:
    return InvalidRequest(f"{location} has more than {largest} bytes.")


def list_images(folder: str) -> list[str]:
    """Return the images of a folder by their names, the newest first."""
    try:
        with os.scandir(folder or ".") as entries:
            found = [
                (entry.stat().st_mtime_ns, entry.path)
                for entry in islice(entries, MAX_ENTRIES)
                if entry.name.rpartition(".")[2].lower() in _IMAGES and entry.is_file()
            ]
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)[:MAX_IMAGES]]
