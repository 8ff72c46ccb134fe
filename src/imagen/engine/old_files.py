"""Move the files that new ones replace to the trash."""

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from imagen.domain import events
from imagen.domain.call import Call, FileVersion
from imagen.domain.errors import (
    ImagenError,
    InvalidRequest,
    JournalError,
    NameTaken,
    StorageError,
)
from imagen.domain.history import HistoryEntry
from imagen.ports.history import History

if TYPE_CHECKING:
    from imagen.ports.spool import Spool
    from imagen.ports.trash import Trash


class OldFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The files at the places of new ones, which are named by the user.

    Those of images are examined before the first call is sent, and moved only when a
    new file is about to be stored: if that never happens, they are where they were.

    Attributes:
        folder: Absolute path of the folder of the new files.
        find_entry: Returns the history entry of the image at a location, if any.
    """

    folder: str
    trash: "Trash"
    history: History
    spool: "Spool"
    find_entry: Callable[[str], HistoryEntry | None]
    listen: events.Listener = events.ignore_event

    def examine(self, call: Call) -> Call:
        """Return the call with the existing files that its images replace.

        Raises:
            InvalidRequest: one of them cannot be moved to the trash.
        """
        found: dict[int, FileVersion] = {}
        for number in call.numbers:
            name = call.target.destination.named(number=number, count=call.plan.count)
            version = None if name is None else self.examine_file(name)
            if version is not None:
                found[number] = version
        return msgspec.structs.replace(call, replaces=found)

    def examine_file(self, name: str) -> FileVersion | None:
        """Return the existing file that a new one of that name replaces, if any.

        Raises:
            InvalidRequest: it cannot be moved to the trash.
        """
        location = self._locate(name)
        try:
            return self.trash.examine(location)
        except StorageError as error:
            raise InvalidRequest(
                f"{location} exists, and would be replaced. {error.message}",
                hint="Choose another output path.",
            ) from error

    @contextmanager
    def replacing(self, name: str, version: FileVersion) -> Generator[None]:
        """Move a file to the trash, and back if the block cannot store the new image.

        A file that was changed, or cannot be moved, stays where it is.
        """
        location = self._locate(name)
        trash_id = self._move(location, version)
        try:
            yield
        except NameTaken:
            # By a third file: the image gets another name.
            self._report(trash_id, location)
            raise
        except BaseException:
            if trash_id is not None:
                self._restore(trash_id)
            raise
        self._report(trash_id, location)

    def _report(self, trash_id: str | None, location: str) -> None:
        if trash_id is not None:
            self.listen(events.Trashed(id=trash_id, location=location))

    def _move(self, location: str, version: FileVersion) -> str | None:
        """Move a file to the trash, and return its id there; None if it stays."""
        entry = self._find_entry(location) if version.file else None
        try:
            trash_id = self.trash.put(location, version, entry=entry)
        except StorageError as error:
            self.listen(events.Warned(message=f"{location} stays: {error.message}"))
            return None
        if trash_id is not None and entry is not None:
            # A history that cannot be written still has the entry; the file is safe.
            with suppress(JournalError):
                self.history.forget(entry.sidecar.id)
                self.spool.discard([entry.sidecar.id])
        return trash_id

    def _restore(self, trash_id: str) -> None:
        # If this fails, the file is still in the trash.
        with suppress(StorageError, JournalError):
            moved = self.trash.restore(trash_id)
            if moved is not None and moved.entry is not None:
                self.history.add([moved.entry])

    def _locate(self, name: str) -> str:
        return f"{self.folder.rstrip('/')}/{name}"

    def _find_entry(self, location: str) -> HistoryEntry | None:
        try:
            return self.find_entry(location)
        except ImagenError:
            # It is not an image, or the history cannot be read.
            return None
