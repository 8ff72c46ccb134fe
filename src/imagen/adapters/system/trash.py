"""Keep deleted images for 30 days in a folder of imagen's own.

Hand-made instead of send2trash: a server has no desktop trash, and send2trash cannot
restore a file to its original path together with its sidecar and history entry.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec

from imagen.adapters.system.files import read_regular
from imagen.adapters.system.private_files import create_private_folder, lock_folder
from imagen.domain.errors import InvalidRequest, StorageError
from imagen.domain.history import HistoryEntry
from imagen.domain.naming import SIDECAR_SUFFIX

RETENTION = timedelta(days=30)
LARGEST_SIDECAR = 16 * 2**20
"""Bytes; imagen writes no larger sidecar."""

_ENTRY = "entry"
_IMAGE = "image"
_SIDECAR = "sidecar"


class FolderTrash:
    """A trash with one folder per image: its file, sidecar and history entry.

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

    def put(self, entry: HistoryEntry) -> bool:
        """Store the history entry, then move the sidecar and last the image.

        The order makes a crash harmless: an image is in the trash only when all that
        is needed to restore it is there, too.
        """
        with self._locked():
            self._delete_expired()
            file = Path(entry.location)
            if not _is_image(file, entry):
                return self.find(entry.sidecar.id) is not None
            place = self._folder() / entry.sidecar.id
            # A folder that is left over from an image that was restored since.
            shutil.rmtree(place, ignore_errors=True)
            create_private_folder(place)
            (place / _ENTRY).write_bytes(msgspec.json.encode(entry))
            if _is_sidecar(_sidecar_path(file), entry):
                _move(_sidecar_path(file), place / _SIDECAR)
            try:
                _move(file, place / _IMAGE)
            except OSError:
                if (place / _SIDECAR).exists():
                    _move(place / _SIDECAR, _sidecar_path(file))
                raise
        return True

    def find(self, image_id: str) -> HistoryEntry | None:
        """Return the stored history entry; None when the image is not in the trash."""
        with _translate_errors():
            kept = self._folder() / image_id
            try:
                content = (kept / _ENTRY).read_bytes()
                entry = msgspec.json.decode(content, type=HistoryEntry)
            except (FileNotFoundError, msgspec.DecodeError):
                return None
            is_here = entry.sidecar.id == image_id and (kept / _IMAGE).is_file()
            return entry if is_here else None

    def restore(self, image_id: str) -> HistoryEntry | None:
        """Move the files back, the image first, so that a crash loses no image."""
        with self._locked():
            entry = self.find(image_id)
            if entry is None:
                return None
            kept, file = self._folder() / image_id, Path(entry.location)
            file.parent.mkdir(parents=True, exist_ok=True)
            if not _is_image(file, entry):
                _move(kept / _IMAGE, file)
            if (kept / _SIDECAR).exists():
                with suppress(FileExistsError):
                    _move(kept / _SIDECAR, _sidecar_path(file))
            shutil.rmtree(kept, ignore_errors=True)
            return entry

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

    def _delete_expired(self) -> None:
        """Delete images that have been in the trash for longer than `RETENTION`."""
        with suppress(OSError):
            oldest = (self._now() - RETENTION).timestamp()
            for kept in self._folder().iterdir():
                if kept.stat().st_mtime < oldest:
                    shutil.rmtree(kept, ignore_errors=True)


def _sidecar_path(file: Path) -> Path:
    return file.with_name(file.name + SIDECAR_SUFFIX)


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


class _SidecarId(msgspec.Struct):
    """The id in a sidecar; other fields are ignored."""

    id: str


def _move(source: Path, target: Path) -> None:
    """Move a file without replacing another, across file systems if needed.

    Raises:
        OSError: the target exists, or the file cannot be moved.
    """
    try:
        # A rename would replace an existing target; a hard link fails.
        os.link(source, target)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP}:
            raise
        _copy(source, target)
    source.unlink()


def _copy(source: Path, target: Path) -> None:
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
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"The image cannot be moved: {reason}.") from error
