"""Storage of images in a local folder; every file is written completely or not at all.

A file is written without a name (O_TMPFILE), synced to the disk, and then linked into
place, which fails if the name is taken. So no reader sees a partial file, no file is
overwritten however many processes want its name, and a killed process leaves nothing
behind. To replace a file, the new one gets a temporary name and is renamed into place.
Where a system cannot write a file without a name (macOS, some file systems), it has the
temporary name from the beginning.
"""

import errno
import os
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Protocol

from imagen.adapters.system.private_files import sync_folder
from imagen.domain.errors import NameTaken, StorageError
from imagen.domain.naming import SIDECAR_SUFFIX

_NO_HARD_LINKS = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
}


class LocalStorage:
    """A folder, created when it is first needed.

    A symbolic link under a name that is replaced is itself replaced, not its target.
    """

    def __init__(
        self, root: Path | Callable[[], Path], *, durable: bool = True
    ) -> None:
        """Use a folder.

        Args:
            root: The folder, or a function that returns it, called at the first access.
            durable: Whether to wait until files are on the disk. False for images that
                can be made again at no cost after a power cut.
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
        replace: bool = False,
        again: bool = False,
    ) -> str:
        """Write the files beside their place, then link or rename them into place."""
        target = self._locate(name)
        if name.startswith("/") or "\0" in name or ".." in name.split("/"):
            raise StorageError(f"{name!r} is not a file name within {self._root}.")
        sidecar_path = target.with_name(target.name + SIDECAR_SUFFIX)
        try:
            _make_folder(target.parent)
            if replace:
                _replace_files(target, sidecar_path, content, sidecar)
            else:
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
    with (
        _open_draft(target.parent, content, sync=sync) as image_draft,
        _open_sidecar_draft(sidecar_path, sidecar, sync=sync) as sidecar_draft,
    ):
        # The sidecar first, so that no reader sees an image without it.
        linked = sidecar_draft is not None and _link(
            sidecar_path, sidecar_draft, again=again
        )
        try:
            _link(target, image_draft, again=again)
        except (NameTaken, OSError):
            if linked:
                sidecar_path.unlink()
            raise


def _replace_files(
    target: Path, sidecar_path: Path, content: bytes, sidecar: bytes | None
) -> None:
    for path in (target, sidecar_path):
        if _is_folder(path):
            raise IsADirectoryError(errno.EISDIR, "a folder has this name", str(path))
    # A sidecar name that is too long has to fail here, before the image is replaced.
    if sidecar is not None:
        with suppress(FileNotFoundError):
            os.lstat(sidecar_path)
    with (
        _open_draft(target.parent, content) as image_draft,
        _open_sidecar_draft(sidecar_path, sidecar) as sidecar_draft,
    ):
        image_draft.replace(target)
        if sidecar_draft is None:
            _remove_sidecar(sidecar_path)
        else:
            sidecar_draft.replace(sidecar_path)


def _repair_sidecar(path: Path, sidecar: bytes | None) -> None:
    if _has_content(path, sidecar):
        return
    with _open_sidecar_draft(path, sidecar) as draft:
        if draft is None:
            _remove_sidecar(path)
        else:
            draft.replace(path)


def _remove_sidecar(path: Path) -> None:
    # lexists first: `unlink` would raise for a name that is too long to exist.
    if os.path.lexists(path):
        path.unlink(missing_ok=True)


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


class _Draft(Protocol):
    """A complete file that does not have its final name yet."""

    content: bytes

    def link(self, target: Path) -> None:
        """Give the file its name; raise FileExistsError if the name is taken."""
        ...

    def replace(self, target: Path) -> None:
        """Give the file its name, in place of any other file."""
        ...


def _open_sidecar_draft(
    path: Path, sidecar: bytes | None, *, sync: bool = True
) -> AbstractContextManager[_Draft] | AbstractContextManager[None]:
    if sidecar is None:
        return nullcontext()
    return _open_draft(path.parent, sidecar, sync=sync)


@contextmanager
def _open_draft(
    folder: Path, content: bytes, *, sync: bool = True
) -> Generator[_Draft]:
    """Write a file without its final name, and delete it afterwards unless linked."""
    handle = _open_unnamed(folder)
    if handle is None:
        with _open_named_draft(folder, content, sync=sync) as draft:
            yield draft
    else:
        with os.fdopen(handle, "wb") as file:
            _write(file, content, sync=sync)
            yield _UnnamedDraft(folder, content, file.fileno())


def _open_unnamed(folder: Path) -> int | None:
    """Open a file without a name, which vanishes if the process closes it or dies."""
    if sys.platform != "linux":
        return None
    try:
        return os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
    # Not every file system supports O_TMPFILE. Any other cause fails again, with its
    # own error, when the named file is opened.
    except OSError:
        return None


@contextmanager
def _open_named_draft(
    folder: Path, content: bytes, *, sync: bool = True
) -> Generator["_NamedDraft"]:
    with _temporary_path(folder) as path:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
            _write(file, content, sync=sync)
        yield _NamedDraft(path, content)


@contextmanager
def _temporary_path(folder: Path) -> Generator[Path]:
    path = folder / f".imagen-{os.urandom(8).hex()}.part"
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def _write(file: BinaryIO, content: bytes, *, sync: bool) -> None:
    file.write(content)
    file.flush()
    if sync:
        os.fsync(file.fileno())


class _UnnamedDraft:
    """An open file without a name in any folder."""

    def __init__(self, folder: Path, content: bytes, handle: int) -> None:
        self._folder = folder
        self.content = content
        self._handle = handle

    def link(self, target: Path) -> None:
        source = f"/proc/self/fd/{self._handle}"
        try:
            # `src_dir_fd` has no effect on an absolute path. Without it Python calls
            # link() instead of linkat(), and that links the symbolic link in /proc
            # (seen with Python 3.11).
            os.link(source, target, src_dir_fd=self._handle, follow_symlinks=True)
        except FileExistsError:
            raise
        # For example, /proc is not mounted. Any other cause fails again, with its own
        # error, in the named draft.
        except OSError:
            with _open_named_draft(self._folder, self.content) as draft:
                draft.link(target)

    def replace(self, target: Path) -> None:
        # linkat() cannot replace a file, so the draft needs a name that can be renamed.
        with _temporary_path(self._folder) as path:
            self.link(path)
            path.replace(target)


class _NamedDraft:
    """A hidden file in the folder of its final name."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        self.content = content

    def link(self, target: Path) -> None:
        try:
            os.link(self._path, target)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # File systems without hard links (exFAT, some network ones): an empty file
            # reserves the name, and the rename then replaces it.
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            try:
                self._path.replace(target)
            except OSError:
                target.unlink()
                raise

    def replace(self, target: Path) -> None:
        self._path.replace(target)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(
            errno.ENOTDIR, "a file is where a folder should be", str(folder)
        ) from error
