"""Read files that the user names, and list the images of a folder."""

import os
from collections.abc import Callable
from itertools import islice
from stat import S_ISDIR, S_ISREG

from imagen.domain.errors import InvalidRequest
from imagen.domain.media import EXTENSIONS

LARGEST_FILE = 512 * 2**20
"""Bytes; a limit, because a device or a pipe may be endless."""

MAX_ENTRIES, MAX_IMAGES = 100_000, 1000
"""The entries of one folder that are examined, and the images that are returned."""

_IMAGES = {*EXTENSIONS.values(), "jpeg"}


def read_file(location: str, *, largest: int = LARGEST_FILE) -> bytes | None:
    """Return the content of the file; None when it does not exist or is a folder.

    Blocks while a pipe has no data: a user who names a pipe wants that.

    Raises:
        InvalidRequest: the file exists but cannot be read, or is too large.
    """
    return _read(location, lambda found: not S_ISDIR(found.st_mode), largest=largest)


def read_regular(
    location: str, *, size: int | None = None, largest: int = LARGEST_FILE
) -> bytes | None:
    """Return the content of a regular file; None when it does not exist or differs.

    Never blocks: pipes and devices are ignored.

    Args:
        size: The expected size in bytes; a file of another size is ignored. None
            accepts any size.

    Raises:
        InvalidRequest: the file exists but cannot be read, or is too large.
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
            # The size of a pipe or a file in /proc is reported as 0: read and check.
            if found.st_size > largest:
                raise _too_large(location, largest)
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read(largest + 1)
        finally:
            os.close(handle)
    except InvalidRequest:
        raise
    # ValueError: the path contains a NUL character.
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        reason = error.strerror or "it is not a file"
        raise InvalidRequest(f"{location} cannot be read: {reason}.") from error
    if len(content) > largest:
        raise _too_large(location, largest)
    return content


def _too_large(location: str, largest: int) -> InvalidRequest:
    return InvalidRequest(f"{location} is larger than {largest} bytes.")


def list_images(folder: str) -> list[str]:
    """Return the paths of the images in a folder, the newest first.

    Files are recognised by their extension. A folder that cannot be read has none.
    """
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
