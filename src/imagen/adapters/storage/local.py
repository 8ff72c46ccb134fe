"""Keeps images in a folder, each file whole or not at all."""

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
    """A folder, made when it is first needed.

    A file is written without a name, synced to the disk, and then linked into place,
    which fails if something is there: so no file is ever seen half-written or
    overwritten, however many processes want its name, and none is left of a process
    that is killed. Replacing needs a name for a moment, to rename it into place; a
    symbolic link is itself replaced, not what it points to. Where a system cannot
    write without a name (macOS, some file systems), there is one from the beginning.
    """

    def __init__(
        self, root: Path | Callable[[], Path], *, durable: bool = True
    ) -> None:
        """Take the folder, or what finds it out when it is first asked for.

        Args:
            root: Where that is.
            for_good: False does not wait for the disk: what a power cut takes along
                can be made again at no cost.
        """
        self._root = root
        self._for_good = durable
        self._finding = Lock()

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
        """Write beside the target, then link or rename into place."""
        target = self._locate(name)
        if name.startswith("/") or "\0" in name or ".." in name.split("/"):
            raise StorageError(f"{name!r} is no name within {self._root}.")
        note = target.with_name(target.name + SIDECAR_SUFFIX)
        try:
            _make_folder(target.parent)
            if replace:
                _replace_files(target, note, content, sidecar)
            else:
                sync = self._for_good
                _create_files(target, note, content, sidecar, again=again, sync=sync)
            if self._for_good:
                sync_folder(target.parent)
        except OSError as error:
            raise StorageError(
                f"{target} could not be written: {error.strerror or error}."
            ) from error
        return str(target)

    def read(self, name: str) -> bytes | None:
        """Read the file, if it is there."""
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
        with self._finding:
            if not isinstance(self._root, Path):
                try:
                    self._root = self._root()
                except OSError as error:
                    raise StorageError(
                        f"There is no folder for {name}: {error.strerror or error}."
                    ) from error
            return self._root / name


def _create_files(
    target: Path,
    note: Path,
    content: bytes,
    sidecar: bytes | None,
    *,
    again: bool,
    sync: bool,
) -> None:
    if os.path.lexists(target):
        if not again or not _has_content(target, content) or _is_folder(note):
            raise NameTaken(f"{target} is taken.")
        _repair_sidecar(note, sidecar)
        return
    if os.path.lexists(note) and not (again and _has_content(note, sidecar)):
        raise NameTaken(f"{note} is taken.")
    with (
        _open_draft(target.parent, content, sync=sync) as image,
        _open_sidecar_draft(note, sidecar, sync=sync) as words,
    ):
        # The note first, so that no image is ever seen without it.
        mine = words is not None and _link(note, words, again=again)
        try:
            _link(target, image, again=again)
        except (NameTaken, OSError):
            if mine:
                note.unlink()
            raise


def _replace_files(
    target: Path, note: Path, content: bytes, sidecar: bytes | None
) -> None:
    for path in (target, note):
        if _is_folder(path):
            raise IsADirectoryError(errno.EISDIR, "a folder has this name", str(path))
    if sidecar is not None:
        with suppress(FileNotFoundError):
            os.lstat(note)  # a name that is too long is found out before it is too late
    with (
        _open_draft(target.parent, content) as image,
        _open_sidecar_draft(note, sidecar) as words,
    ):
        image.replace(target)
        if words is None:
            _remove_sidecar(note)
        else:
            words.replace(note)


def _repair_sidecar(note: Path, sidecar: bytes | None) -> None:
    if _has_content(note, sidecar):
        return
    with _open_sidecar_draft(note, sidecar) as words:
        if words is None:
            _remove_sidecar(note)
        else:
            words.replace(note)


def _remove_sidecar(note: Path) -> None:
    if os.path.lexists(note):  # a name that is too long for one has none
        note.unlink(missing_ok=True)


def _has_content(path: Path, content: bytes | None) -> bool:
    """Return whether it is a file with exactly these bytes."""
    if content is None:
        return False
    try:
        same_size = path.is_file() and path.stat().st_size == len(content)
        return same_size and path.read_bytes() == content
    except OSError:  # it is gone again, or not for us to read
        return False


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)  # noqa: PTH112, PTH114 - these never raise


def _link(path: Path, draft: "_Draft", *, again: bool) -> bool:
    """Give the draft its name, and return whether it was free.

    Raises:
        NameTaken: something has it; with `again`, something else than these bytes.
    """
    try:
        draft.link(path)
    except FileExistsError as error:
        if again and _has_content(path, draft.content):
            return False
        raise NameTaken(f"{path} is taken.") from error
    return True


class _Draft(Protocol):
    """Bytes that are on the disk, and are not yet what they will be called."""

    content: bytes

    def link(self, target: Path) -> None:
        """Give them the name, unless something has it."""
        ...

    def replace(self, target: Path) -> None:
        """Give them the name, whatever has it."""
        ...


def _open_sidecar_draft(
    path: Path, sidecar: bytes | None, *, sync: bool = True
) -> AbstractContextManager[_Draft] | AbstractContextManager[None]:
    return (
        nullcontext()
        if sidecar is None
        else _open_draft(path.parent, sidecar, sync=sync)
    )


@contextmanager
def _open_draft(
    folder: Path, content: bytes, *, sync: bool = True
) -> Generator[_Draft]:
    """Write the bytes where nobody looks for them; nothing is left there afterwards."""
    nameless = _open_unnamed(folder)
    if nameless is None:
        with _open_named_draft(folder, content, sync=sync) as draft:
            yield draft
    else:
        with os.fdopen(nameless, "wb") as file:
            _write(file, content, sync=sync)
            yield _UnnamedDraft(folder, content, file.fileno())


def _open_unnamed(folder: Path) -> int | None:
    """Open a file that is gone when it is closed, or killed, before it has a name."""
    if sys.platform != "linux":
        return None
    try:
        return os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
    except OSError:  # not every file system has them; other trouble will come again
        return None


@contextmanager
def _open_named_draft(
    folder: Path, content: bytes, *, sync: bool = True
) -> Generator["_NamedDraft"]:
    """Write the bytes under a name that nobody else has."""
    with _temporary_path(folder) as path:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
            _write(file, content, sync=sync)
        yield _NamedDraft(path, content)


@contextmanager
def _temporary_path(folder: Path) -> Generator[Path]:
    """Make up a name, under which nothing is left afterwards."""
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
    """An open file that is in no folder."""

    def __init__(self, folder: Path, content: bytes, handle: int) -> None:
        self._folder = folder
        self.content = content
        self._handle = handle

    def link(self, target: Path) -> None:
        source = f"/proc/self/fd/{self._handle}"
        try:
            # Without a handle, which means nothing here, Python calls link(), and
            # that links the link in /proc (seen with 3.11).
            os.link(source, target, src_dir_fd=self._handle, follow_symlinks=True)
        except FileExistsError:
            raise
        except OSError:  # there is no /proc, say; other trouble will come again
            with _open_named_draft(self._folder, self.content) as draft:
                draft.link(target)

    def replace(self, target: Path) -> None:
        with _temporary_path(self._folder) as path:  # only a link replaces nothing
            self.link(path)
            path.replace(target)


class _NamedDraft:
    """A hidden file beside its place."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        self.content = content

    def link(self, target: Path) -> None:
        try:
            os.link(self._path, target)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # File systems without hard links (exFAT, some network ones): the name is
            # taken with an empty file of ours, which the rename then replaces.
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
