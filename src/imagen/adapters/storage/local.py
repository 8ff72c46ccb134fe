"""Keeps images in a folder, each file whole or not at all."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

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

    A file is written beside its place under a name of its own, synced to the disk,
    and then linked into place, which fails if something is there: so no file is ever
    seen half-written or overwritten, however many processes want its name. Replacing
    is a rename instead; a symbolic link is itself replaced, not what it points to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(
        self,
        name: str,
        content: bytes,
        *,
        media_type: str,
        sidecar: bytes | None = None,
        replace: bool = False,
    ) -> str:
        """Write beside the target, then link or rename into place."""
        if name.startswith("/") or "\0" in name or ".." in name.split("/"):
            raise StorageError(f"{name!r} is no name within {self._root}.")
        target = self._root / name
        note = target.with_name(target.name + SIDECAR_SUFFIX)
        try:
            _make_folder(target.parent)
            if replace:
                _replace(target, note, content, sidecar)
            else:
                _add(target, note, content, sidecar)
            _sync_folder(target.parent)
        except OSError as error:
            raise StorageError(
                f"{target} could not be written: {error.strerror or error}."
            ) from error
        return str(target)

    def read(self, name: str) -> bytes | None:
        """Read the file, if it is there."""
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(
                f"{self._root / name} could not be read: {error.strerror or error}."
            ) from error


def _add(target: Path, note: Path, content: bytes, sidecar: bytes | None) -> None:
    if os.path.lexists(target) or os.path.lexists(note):
        raise NameTaken(f"{target} is taken.")
    with _draft(target.parent, content) as image, _draft(note.parent, sidecar) as words:
        try:
            _link(words, note)  # first, so that no image is ever seen without it
        except FileExistsError as error:
            raise NameTaken(f"{note} is taken.") from error
        try:
            _link(image, target)
        except OSError as error:
            if sidecar is not None:
                note.unlink()
            if isinstance(error, FileExistsError):
                raise NameTaken(f"{target} is taken.") from error
            raise


def _replace(target: Path, note: Path, content: bytes, sidecar: bytes | None) -> None:
    for path in (target, note):
        if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - these never raise
            raise IsADirectoryError(errno.EISDIR, "a folder has this name", str(path))
    if sidecar is not None:
        with suppress(FileNotFoundError):
            os.lstat(note)  # a name that is too long is found out before it is too late
    with _draft(target.parent, content) as image, _draft(note.parent, sidecar) as words:
        image.replace(target)
        if sidecar is None:
            if os.path.lexists(note):  # a name that is too long for one has none
                note.unlink(missing_ok=True)
        else:
            words.replace(note)


@contextmanager
def _draft(folder: Path, content: bytes | None) -> Generator[Path]:
    """Write the bytes, if any, under a name that nobody else has; gone afterwards."""
    path = folder / f".imagen-{os.urandom(8).hex()}.part"
    try:
        if content is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        yield path
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def _link(draft: Path, target: Path) -> None:
    """Give the draft its name, unless something has it; nothing to do without one."""
    if not draft.exists():
        return
    try:
        os.link(draft, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # File systems without hard links (exFAT, some network ones): the name is
        # taken with an empty file of ours, which the rename then replaces.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            draft.replace(target)
        except OSError:
            target.unlink()
            raise


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(
            errno.ENOTDIR, "a file is where a folder should be", str(folder)
        ) from error


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system lets a folder be synced
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
