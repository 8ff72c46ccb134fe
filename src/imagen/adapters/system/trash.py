"""Keep replaced and deleted files for 30 days in a folder of imagen's own.

Hand-made instead of send2trash: a server has no desktop trash, and send2trash cannot
restore a file to its original path together with its sidecar and history entry.
"""

import errno
import fcntl
import filecmp
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG, S_ISVTX
from typing import TypeVar

import msgspec

from imagen.adapters.system.files import read_regular
from imagen.adapters.system.private_files import create_private_folder, lock_folder
from imagen.adapters.system.random import random_int
from imagen.domain.call import FileVersion
from imagen.domain.errors import InvalidRequest, StorageError
from imagen.domain.history import HistoryEntry
from imagen.domain.ids import new_id
from imagen.domain.naming import SIDECAR_SUFFIX
from imagen.domain.trash import TrashedFile

RETENTION = timedelta(days=30)
LARGEST_SIDECAR = 16 * 2**20
"""Bytes; imagen writes no larger sidecar."""

_RECORD = "file"
_ENTRY = "entry"
_IMAGE = "image"
_SIDECAR = "sidecar"


class FolderTrash:
    """A trash with one folder per file: the file, its sidecar and history entry.

    Thread-safe and process-safe.

    Args:
        folder: Returns the folder; it is created when first needed.
        now: Returns the current time.
    """

    def __init__(
        self, folder: Callable[[], Path], *, now: Callable[[], datetime]
    ) -> None:
        self._folder = folder
        self._now = now

    def examine(
        self, location: str, *, image: HistoryEntry | None = None
    ) -> FileVersion | None:
        """Return the versions of both files, from their status; nothing is moved."""
        with _translate_errors():
            file = Path(location)
            sidecar = _sidecar_path(file)
            if image is not None and not _is_image(file, image):
                return None
            has_sidecar = image is None or _is_sidecar(sidecar, image)
            found = FileVersion(
                file=_read_version(file),
                sidecar=_read_version(sidecar) if has_sidecar else "",
            )
            for path, version in ((file, found.file), (sidecar, found.sidecar)):
                if version:
                    self._check_movable(path)
            return found if found.file or found.sidecar else None

    def put(
        self, location: str, version: FileVersion, *, entry: HistoryEntry | None = None
    ) -> str | None:
        """Store the record and the history entry, then move the file and the sidecar.

        The order makes a crash harmless: a file is in the trash only when all that is
        needed to restore it is there, too.
        """
        file, sidecar = Path(location), _sidecar_path(Path(location))
        if not version.file:
            file, version = sidecar, FileVersion(file=version.sidecar)
        with self._locked():
            self._delete_expired()
            if _read_version(file) != version.file:
                return None
            trash_id = self._choose_id(entry, file)
            kept = create_private_folder(self._folder() / trash_id)
            record = _Record(location=os.fsencode(file), at=self._now().astimezone(UTC))
            (kept / _RECORD).write_bytes(msgspec.json.encode(record))
            if entry is not None:
                # JSON cannot hold every file name; the record has it as bytes.
                entry = msgspec.structs.replace(entry, location="")
                (kept / _ENTRY).write_bytes(msgspec.json.encode(entry))
            if not _take(file, kept / _IMAGE, version.file):
                return None
            try:
                if version.sidecar:
                    _take(sidecar, kept / _SIDECAR, version.sidecar)
            except OSError:
                _move(kept / _IMAGE, file)
                raise
        return trash_id

    def find(self, trash_id: str) -> TrashedFile | None:
        """Return the file and its history entry; None if it is not in the trash."""
        if trash_id in {"", ".", ".."} or "/" in trash_id:
            return None
        with _translate_errors():
            kept = self._folder() / trash_id
            try:
                status = (kept / _IMAGE).lstat()
            except FileNotFoundError:
                return None
            entry = _decode(kept / _ENTRY, HistoryEntry)
            record = _decode(kept / _RECORD, _Record)
            if record is None and entry is not None:
                # The gallery wrote no record once.
                moved = datetime.fromtimestamp(kept.stat().st_mtime, UTC)
                record = _Record(location=os.fsencode(entry.location), at=moved)
            if record is None:
                return None
            location = os.fsdecode(record.location)
            return TrashedFile(
                id=trash_id,
                location=location,
                at=record.at,
                size=status.st_size,
                entry=entry and msgspec.structs.replace(entry, location=location),
            )

    def list_files(self) -> list[TrashedFile]:
        """Read the record of each folder."""
        with _translate_errors():
            try:
                names = [
                    kept.name for kept in self._folder().iterdir() if kept.is_dir()
                ]
            except FileNotFoundError:
                return []
            found = [each for name in names if (each := self.find(name)) is not None]
        return sorted(found, key=lambda each: (each.at, each.id))

    def restore(self, trash_id: str) -> TrashedFile | None:
        """Move the files back, the image first, so that a crash loses no image."""
        with self._locked():
            found = self.find(trash_id)
            if found is None:
                return None
            kept, file = self._folder() / trash_id, Path(found.location)
            file.parent.mkdir(parents=True, exist_ok=True)
            if not _is_same(kept / _IMAGE, file):
                _move(kept / _IMAGE, file)
            if os.path.lexists(kept / _SIDECAR):
                with suppress(FileExistsError):
                    _move(kept / _SIDECAR, _sidecar_path(file))
            shutil.rmtree(kept, ignore_errors=True)
            return found

    def delete(self, trash_id: str) -> bool:
        """Delete the folder of the file."""
        with self._locked():
            if self.find(trash_id) is None:
                return False
            shutil.rmtree(self._folder() / trash_id)
            return True

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Hold the lock of the trash, among threads and processes."""
        # Without the lock, a second process could delete the folder that already
        # contains the image.
        with ExitStack() as lock, _translate_errors():
            folder = create_private_folder(self._folder())
            with suppress(OSError):  # some network file systems have no locks
                lock.enter_context(lock_folder(folder, fcntl.LOCK_EX))
            yield

    def _check_movable(self, file: Path) -> None:
        """Raise unless the file can be moved, as far as that can be known."""
        status, folder = file.lstat(), file.parent
        if S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not (S_ISREG(status.st_mode) or S_ISLNK(status.st_mode)):
            raise OSError(errno.EINVAL, "it is not a regular file")
        trash = create_private_folder(self._folder())
        for each in (folder, trash):
            if not os.access(each, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, f"{each} is not writable")
        above, user = folder.stat(), os.geteuid()
        if above.st_mode & S_ISVTX and user not in {0, above.st_uid, status.st_uid}:
            raise PermissionError(errno.EPERM, "it belongs to another user")
        # Another file system: it is copied.
        is_copied = status.st_dev != trash.stat().st_dev and S_ISREG(status.st_mode)
        if is_copied and not os.access(file, os.R_OK):
            raise PermissionError(errno.EACCES, "it cannot be read")

    def _choose_id(self, entry: HistoryEntry | None, file: Path) -> str:
        """Return an id that is not in the trash."""
        if entry is not None:
            kept = self._folder() / entry.sidecar.id
            if not os.path.lexists(kept / _IMAGE) or _is_same(kept / _IMAGE, file):
                # Left over from an image that was restored since, in whole or in part.
                shutil.rmtree(kept, ignore_errors=True)
                return entry.sidecar.id
        return new_id(self._now(), random_int)

    def _delete_expired(self) -> None:
        """Delete files that have been in the trash for longer than `RETENTION`."""
        with suppress(OSError):
            oldest = (self._now() - RETENTION).timestamp()
            for kept in self._folder().iterdir():
                if kept.stat().st_mtime < oldest:
                    shutil.rmtree(kept, ignore_errors=True)


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Where a file was, and when it was moved."""

    location: bytes
    at: datetime


class _SidecarId(msgspec.Struct):
    """The id in a sidecar; other fields are ignored."""

    id: str


_StructT = TypeVar("_StructT", _Record, HistoryEntry)


def _decode(file: Path, kind: type[_StructT]) -> _StructT | None:
    """Return the content of a file of the trash; None if it is missing or damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _sidecar_path(file: Path) -> Path:
    return file.with_name(file.name + SIDECAR_SUFFIX)


def _read_version(file: Path) -> str:
    """Return what changes whenever the file is edited or replaced; "" for no file."""
    try:
        status = file.lstat()
    except OSError as error:
        # A sidecar's name can be too long where that of its image is not.
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
            raise
        return ""
    # The time too: a new file often gets the inode number of a deleted one.
    return (
        f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-"
        f"{status.st_mode}"
    )


def _is_image(file: Path, entry: HistoryEntry) -> bool:
    note = entry.sidecar
    content = _read(file, size=note.bytes, largest=note.bytes)
    return content is not None and sha256(content).hexdigest() == note.sha256


def _is_sidecar(file: Path, entry: HistoryEntry) -> bool:
    try:
        content = _read(file, size=None, largest=LARGEST_SIDECAR)
        noted = msgspec.json.decode(content or b"", type=_SidecarId)
    except (ValueError, RecursionError):
        return False
    return noted.id == entry.sidecar.id


def _read(file: Path, *, size: int | None, largest: int) -> bytes | None:
    """Return the content of a regular file; None if it cannot be read."""
    try:
        return read_regular(str(file), size=size, largest=largest)
    except InvalidRequest:
        return None


def _is_same(kept: Path, file: Path) -> bool:
    """Return whether an interrupted `restore` has moved the file already."""
    if kept.is_symlink() or file.is_symlink():
        # Two links are the same if they are one file.
        return os.path.lexists(file) and os.path.samestat(kept.lstat(), file.lstat())
    return file.is_file() and filecmp.cmp(kept, file, shallow=False)


def _take(source: Path, target: Path, version: str) -> bool:
    """Move a file into the trash, but only this version of it.

    A file that another process puts in its place at the same moment is put back.

    Returns:
        False if the file is not the one with this version, and stays.
    """
    taken = target
    try:
        source.rename(target)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        taken = source.with_name(f".imagen-{os.urandom(8).hex()}.part")
        try:
            source.rename(taken)
        except OSError:
            target.unlink()
            raise
    if _read_version(taken) == version:
        if taken != target:
            taken.unlink()
        return True
    if taken != target:
        taken.replace(target)
    # If there is a third file by now, the second one stays in the trash.
    with suppress(FileExistsError):
        _move(target, source)
        return False
    return True


def _move(source: Path, target: Path) -> None:
    """Move a file without replacing another, across file systems if needed.

    Raises:
        OSError: the target exists, or the file cannot be moved.
    """
    try:
        # A rename would replace an existing target; a hard link fails.
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP}:
            raise
        _copy(source, target)
    source.unlink()


def _copy(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    try:
        with source.open("rb") as old, target.open("xb") as new:
            shutil.copyfileobj(old, new)
            new.flush()
            os.fsync(new.fileno())
        shutil.copystat(source, target)
    except FileExistsError:
        raise
    except OSError:
        target.unlink(missing_ok=True)
        raise


@contextmanager
def _translate_errors() -> Generator[None]:
    try:
        yield
    except FileExistsError as error:
        raise StorageError(
            "The file cannot be moved: another file has its name.",
            hint=f"Move {error.filename2 or error.filename} away, then repeat.",
        ) from error
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"The file cannot be moved: {reason}.") from error
