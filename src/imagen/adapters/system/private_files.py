"""Files and folders that only their owner can read, and that outlive a power cut."""

import errno
import os
from contextlib import suppress
from pathlib import Path


def create_private_folder(folder: Path) -> Path:
    """Return the folder, made for its owner only if it is not there."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file has its name") from None
    else:
        folder.chmod(0o700)  # whatever the umask took away
        sync_folder(folder.parent)
    return folder


def create_private_file(path: Path) -> int:
    """Make a file for its owner only, and return the handle to write it with."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    os.fchmod(handle, 0o600)  # whatever the umask took away
    return handle


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlive a power cut, where that can be asked for."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
