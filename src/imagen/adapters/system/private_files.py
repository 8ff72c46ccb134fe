"""Create files and folders that only their owner can read and that survive a crash."""

import errno
import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
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


def write_private_file(
    path: Path, content: bytes, *, durable: bool = False, replace: bool = True
) -> None:
    """Write a file with mode 0600; other processes see all of it or nothing.

    A crash may leave a draft beside it, `NAME.RANDOM.part`.

    Args:
        durable: Whether the file must survive a power cut, which takes until the disk
            has confirmed it.
        replace: Whether an existing file is replaced.

    Raises:
        FileExistsError: the file exists, and `replace` is false.
        OSError: the file cannot be written.
    """
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}.part")
    try:
        with os.fdopen(create_private_file(draft), "wb") as file:
            file.write(content)
            if durable:
                # Before the rename: otherwise a power cut can leave the new name with
                # no content.
                file.flush()
                os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


@contextmanager
def lock_folder(folder: Path, operation: int) -> Generator[None]:
    """Hold a `flock` on a folder; the system releases it when the process dies.

    Raises:
        BlockingIOError: another process holds the lock, and the flags say not to wait.
        OSError: the folder cannot be opened, or its file system has no locks.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, operation)
        yield
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the file names in a folder survive a power cut, if the system can."""
    # Some network file systems refuse fsync() on a folder.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_locks(
    folder: Path, *, lock: Callable[[int, int], object] = fcntl.lockf
) -> None:
    """Check whether files in the folder can be locked, as SQLite locks them.

    SQLite takes a file system without locks for one that another process has locked,
    and waits for it.

    Raises:
        OSError: they cannot be.
    """
    path = folder / f".locks.{os.urandom(8).hex()}"
    handle = create_private_file(path)
    try:
        lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)
        path.unlink(missing_ok=True)
