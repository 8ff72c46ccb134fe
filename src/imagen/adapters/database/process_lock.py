"""A lock file that shows whether a process is still alive."""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from weakref import WeakSet, finalize

from imagen.adapters.database.connection import translate_errors
from imagen.adapters.system.private_files import (
    create_private_file,
    create_private_folder,
)


# Not a process id in a file: the system reuses ids, and another container has its own.
# The operating system releases a `flock` when the process ends, however it ends. The
# package filelock is not used because other processes probe with a shared lock.
class ProcessLock:
    """A file in a folder, which this process locks until it ends.

    Args:
        folder: Returns the folder, which is created when the lock is first acquired.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._mutex = Lock()
        # The file and its handle; empty while the lock is not held. A list, because
        # the finalizer needs an object that outlives this one.
        self._held: list[tuple[Path, int]] = []
        _locks.add(self)
        finalize(self, _release, self._held)

    def acquire(self) -> str:
        """Return the name of the lock file, which is created when first needed."""
        with self._mutex:
            if not self._held:
                folder = self._folder()
                with translate_errors(folder):
                    self._held.append(_create_locked(create_private_folder(folder)))
            [(path, _)] = self._held
            return path.name

    def is_held(self, name: str) -> bool:
        """Return whether a living process, this one included, holds the named lock."""
        path = self._folder() / name
        with translate_errors(path):
            return _is_locked(path)

    def find_process(self, name: str) -> int | None:
        """Return the id of the living process that holds the named lock; else None.

        The id is for messages: a process in another container has its own numbers.
        """
        if not self.is_held(name):
            return None
        try:
            return int((self._folder() / name).read_text() or 0)
        except (OSError, ValueError):
            return 0

    def remove_stale(self) -> None:
        """Delete the lock files of processes that have ended."""
        folder = self._folder()
        with translate_errors(folder):
            for path in folder.iterdir() if folder.is_dir() else ():
                _is_locked(path)

    def release(self) -> None:
        """Release the lock, and delete the file."""
        with self._mutex:
            _release(self._held)

    def reset_after_fork(self) -> None:
        """Leave the lock to the parent process."""
        # Closing the inherited handle does not release the lock: the parent has the
        # same open file.
        for _, handle in self._held:
            os.close(handle)
        self._held.clear()
        self._mutex = Lock()


def _create_locked(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / f"{os.urandom(16).hex()}.lock"
        handle = create_private_file(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:
                with suppress(OSError):  # a full disk; the id is only for messages
                    os.write(handle, str(os.getpid()).encode())
                return path, handle
        except BlockingIOError:
            # A process that removes stale files saw the new file before it was locked.
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_locked(path: Path) -> bool:
    """Return whether a process has locked the file; delete the file if none has."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # A shared lock, so that two processes that probe at the same time do not take
        # each other for the owner.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with suppress(OSError):
            # Deleted before it is unlocked: a process that has just created the file
            # checks, once it has the lock, whether the file still exists.
            path.unlink()
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _release(held: list[tuple[Path, int]]) -> None:
    while held:
        path, handle = held.pop()
        with suppress(OSError):
            path.unlink()
        os.close(handle)


_locks: "WeakSet[ProcessLock]" = WeakSet()


def _reset_after_fork() -> None:
    for lock in _locks:
        lock.reset_after_fork()


os.register_at_fork(after_in_child=_reset_after_fork)
