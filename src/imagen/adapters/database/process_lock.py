"""A file that says who still lives: locked until its process is gone."""

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


class ProcessLock:
    """A file in a folder, locked from when it is first needed."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._turn = Lock()
        self._held: list[tuple[Path, int]] = []  # one, with its handle, or none
        _leases.add(self)
        finalize(self, _release, self._held)

    def name(self) -> str:
        """Return what the file is called; made if need be."""
        with self._turn:
            if not self._held:
                folder = self._folder()
                with translate_errors(folder):
                    self._held.append(_locked(create_private_folder(folder)))
            [(path, _)] = self._held
            return path.name

    def is_held(self, name: str) -> bool:
        """Say whether the file is locked, by whomever."""
        path = self._folder() / name
        with translate_errors(path):
            return _is_locked(path)

    def tidy(self) -> None:
        """Remove the files of those who are gone."""
        folder = self._folder()
        with translate_errors(folder):
            for path in folder.iterdir() if folder.is_dir() else ():
                _is_locked(path)

    def release(self) -> None:
        """Let go of the file, and remove it."""
        with self._turn:
            _release(self._held)

    def forget_inherited(self) -> None:
        """Leave the lock to the process that this one was forked from."""
        for _, handle in self._held:
            os.close(handle)
        self._held.clear()
        self._turn = Lock()


def _locked(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / f"{os.urandom(16).hex()}.lock"
        handle = create_private_file(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:
                return path, handle
        except BlockingIOError:
            pass  # somebody who tidies up was quicker
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_locked(path: Path) -> bool:
    """Say whether somebody has locked it; if not, it is removed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that of two who look at once neither takes the other for its owner.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with suppress(OSError):
            path.unlink()  # before it is unlocked: its maker looks whether it is there
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


_leases: "WeakSet[ProcessLock]" = WeakSet()


def _forget_inherited() -> None:
    for lease in _leases:
        lease.forget_inherited()


os.register_at_fork(after_in_child=_forget_inherited)
