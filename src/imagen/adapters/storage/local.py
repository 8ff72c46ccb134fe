"""Storage of images in a local folder; every file is written completely or not at all.

A file is written without a name (O_TMPFILE), synced to the disk, and then linked into
place, which fails if the name is taken. So no reader sees a partial file, no file is
overwritten however many processes want its name, and a killed process leaves nothing
behind. A sidecar that is corrected gets a temporary name and is renamed into place.
Where a system cannot write a file without a name (macOS, some file systems), it has the
temporary name from the beginning.
"""

import errno
import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from imagen.adapters.system.private_files import sync_folder
from imagen.domain.errors import NameTaken, StorageError
from imagen.domain.naming import SIDECAR_SUFFIX

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_HARD_LINKS = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
}


class LocalStorage:
    """A folder, created when it is first needed."""

    def __init__(
        self, root: Path | Callable[[], Path], *, durable: bool = True
    ) -> None:
        """Use a folder, or what the function returns at the first access.

        With `durable` false, a file may be lost in a power cut, for images that can be
        made again at no cost.
        """
        self._root = root
        self._durable = durable
        self._lock = Lock()

    def save(
        self,
        name: str,
        content: bytes,
        *,
        media_type: str,
        sidecar: bytes | None = None,
        again: bool = False,
    ) -> str:
        """Write the files beside their place, then link or rename them into place."""
        target = self._locate(name)
        if name.startswith("/") or "\0" in name or ".." in name.split("/"):
            raise StorageError(f"{name!r} is not a file name within {self._root}.")
        sidecar_path = target.with_name(target.name + SIDECAR_SUFFIX)
        try:
            _make_folder(target.parent)
            _create_files(
                target,
                sidecar_path,
                content,
                sidecar,
                again=again,
                sync=self._durable,
            )
            # The name of a file is data of its folder, which has a sync of its own.
            if self._durable:
                sync_folder(target.parent)
        except OSError as error:
            raise StorageError(
                f"{target} could not be written: {error.strerror or error}."
            ) from error
        return str(target)

    def read(self, name: str) -> bytes | None:
        """Return the content of the file; None if it does not exist."""
        path = self._locate(name)
        try:
            return path.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(
                f"{path} could not be read: {error.strerror or error}."
            ) from error

    def _locate(self, name: str) -> Path:
        with self._lock:
            if not isinstance(self._root, Path):
                try:
                    self._root = self._root()
                except OSError as error:
                    raise StorageError(
                        f"Found no folder for {name}: {error.strerror or error}."
                    ) from error
            return self._root / name


def _create_files(
    target: Path,
    sidecar_path: Path,
    content: bytes,
    sidecar: bytes | None,
    *,
    again: bool,
    sync: bool,
) -> None:
    if os.path.lexists(target):
        if not again or not _has_content(target, content) or _is_folder(sidecar_path):
            raise NameTaken(f"{target} already exists.")
        _repair_sidecar(sidecar_path, sidecar)
        return
    if os.path.lexists(sidecar_path) and not (
        again and _has_content(sidecar_path, sidecar)
    ):
        raise NameTaken(f"{sidecar_path} already exists.")
    with ExitStack() as drafts:
        open_draft = partial(_open_draft, target.parent, sync=sync)
        image_draft = drafts.enter_context(open_draft(content))
        sidecar_draft = sidecar is not None and drafts.enter_context(
            open_draft(sidecar)
        )
        # The sidecar first, so that no reader sees an image without it.
        linked = sidecar_draft and _link(sidecar_path, sidecar_draft, again=again)
        try:
            _link(target, image_draft, again=again)
        except (NameTaken, OSError):
            if linked:
                sidecar_path.unlink()
            raise


def _repair_sidecar(path: Path, sidecar: bytes | None) -> None:
    if sidecar is None:
        # lexists first: `unlink` would raise for a name that is too long to exist.
        if os.path.lexists(path):
            path.unlink(missing_ok=True)
    elif not _has_content(path, sidecar):
        with _open_draft(path.parent, sidecar) as draft:
            draft.replace(path)


def _has_content(path: Path, content: bytes | None) -> bool:
    if content is None:
        return False
    try:
        same_size = path.is_file() and path.stat().st_size == len(content)
        return same_size and path.read_bytes() == content
    # Another process may have deleted the file, or it may be unreadable.
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)  # noqa: PTH112, PTH114 - these never raise


def _link(path: Path, draft: "_Draft", *, again: bool) -> bool:
    """Give the draft its name, and return whether the name was free.

    Raises:
        NameTaken: the name is taken; with `again`, by another content.
    """
    try:
        draft.link(path)
    except FileExistsError as error:
        if again and _has_content(path, draft.content):
            return False
        raise NameTaken(f"{path} already exists.") from error
    return True


class _Draft:
    """A complete file that does not have its final name yet.

    Args:
        content: The content of the file.
        path: Its hidden name in the folder of its final name.
        handle: The open file, which has no name unless one was needed; None for a file
            that has had its hidden name from the beginning.
    """

    def __init__(self, content: bytes, path: Path, handle: int | None) -> None:
        self.content = content
        self._path = path
        self._handle = handle

    def link(self, target: Path) -> None:
        """Give the file its name; raise FileExistsError if the name is taken."""
        if self._link_nameless(target):
            return
        try:
            os.link(self._path, target)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # File systems without hard links (exFAT, some network ones): an empty file
            # reserves the name, and the rename then replaces it.
            os.close(os.open(target, _NEW_FILE, 0o666))
            try:
                self._path.replace(target)
            except OSError:
                target.unlink()
                raise

    def replace(self, target: Path) -> None:
        """Give the file its name, in place of any other file."""
        # linkat() cannot replace a file, so the draft needs a name that can be renamed.
        self._link_nameless(self._path)
        self._path.replace(target)

    def _link_nameless(self, target: Path) -> bool:
        """Return whether the open file got the name; else it has its hidden one."""
        if self._handle is None:
            return False
        source = f"/proc/self/fd/{self._handle}"
        try:
            # `src_dir_fd` has no effect on an absolute path. Without it Python calls
            # link() instead of linkat(), and that links the symbolic link in /proc
            # (seen with Python 3.11).
            os.link(source, target, src_dir_fd=self._handle, follow_symlinks=True)
        except FileExistsError:
            raise
        # For example, /proc is not mounted. Any other cause fails again, with its own
        # error, for the named file.
        except OSError:
            _write_named(self._path, self.content, sync=True)
            self._handle = None
        return self._handle is not None


@contextmanager
def _open_draft(
    folder: Path, content: bytes, *, sync: bool = True
) -> Generator[_Draft]:
    """Write a file without its final name, and delete it afterwards unless renamed."""
    path = folder / f".imagen-{os.urandom(8).hex()}.part"
    handle = _open_nameless(folder)
    try:
        if handle is None:
            _write_named(path, content, sync=sync)
            yield _Draft(content, path, None)
        else:
            with os.fdopen(handle, "wb") as file:
                _write(file, content, sync=sync)
                yield _Draft(content, path, handle)
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def _open_nameless(folder: Path) -> int | None:
    """Open a file without a name, which vanishes if the process closes it or dies."""
    if sys.platform != "linux":
        return None
    try:
        return os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
    # Not every file system supports O_TMPFILE. Any other cause fails again, with its
    # own error, when the named file is opened.
    except OSError:
        return None


def _write_named(path: Path, content: bytes, *, sync: bool) -> None:
    with os.fdopen(os.open(path, _NEW_FILE, 0o666), "wb") as file:
        _write(file, content, sync=sync)


def _write(file: BinaryIO, content: bytes, *, sync: bool) -> None:
    file.write(content)
    file.flush()
    if sync:
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(
            errno.ENOTDIR, "a file is where a folder should be", str(folder)
        ) from error
