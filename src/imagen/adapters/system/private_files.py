"""Create files and folders that only their owner can read and that survive a crash."""

import errno
import os
from contextlib import suppress
from pathlib import Path


def create_private_folder(folder: Path) -> Path:
    """Return the folder; create it with mode 0700 if it does not exist.

    Raises:
        OSError: it cannot be created, or a file has its name.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file has its name") from None
    else:
        # mkdir applies the umask, which may remove the owner's own rights.
        folder.chmod(0o700)
        sync_folder(folder.parent)
    return folder


def create_private_file(path: Path) -> int:
    """Create a file with mode 0600, and return a handle for reading and writing.

    Raises:
        FileExistsError: the file exists already.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    os.fchmod(handle, 0o600)  # open() applies the umask, too
    return handle


def sync_folder(folder: Path) -> None:
    """Make the file names in a folder survive a power cut, if the system can."""
    # Some network file systems refuse fsync() on a folder.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
