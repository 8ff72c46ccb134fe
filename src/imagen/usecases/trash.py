"""Move images to the trash, and restore files from it.

After an error or a crash the image is in its old place or in the trash, never lost.
"""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from imagen.domain.errors import InvalidRequest, JournalError, StorageError
from imagen.domain.history import HistoryEntry
from imagen.domain.trash import TrashedFile
from imagen.ports.history import History
from imagen.ports.spool import Spool
from imagen.ports.trash import Trash


class TrashImages(msgspec.Struct, frozen=True, kw_only=True):
    """Moves images to the trash, and removes them from the history."""

    history: History
    spool: Spool
    trash: Trash

    def run(self, image_id: str) -> bool:
        """Move one image to the trash; return whether it can be restored.

        An image whose history entry is damaged is removed from the history only. Its
        file stays, and it cannot be restored.

        Raises:
            InvalidRequest: the history has no image with that id.
            StorageError: the file cannot be moved; nothing has changed.
            JournalError: the history cannot be read or written; nothing has changed.
        """
        entry = self._entry(image_id)
        trash_id = None if entry is None else self._put(entry)
        try:
            was_known = self.history.forget(image_id)
        except JournalError:
            if trash_id is not None:
                # If this fails too, the image is in the trash, and can be restored.
                with suppress(StorageError):
                    self.trash.restore(trash_id)
            raise
        if entry is None and not was_known:
            raise _unknown()
        self.spool.discard([image_id])
        return trash_id is not None

    def undo(self, trash_id: str) -> TrashedFile:
        """Restore one file from the trash, and add it to the history if it was there.

        Raises:
            InvalidRequest: the file is not in the trash.
            StorageError: another file is in its place; the file stays in the trash.
            JournalError: the history cannot be written; the file stays in the trash.
        """
        found = self.trash.find(trash_id)
        if found is None:
            raise InvalidRequest("The trash has no such image.")
        entry = found.entry
        if entry is not None:
            self.history.add([entry])
        try:
            # Returns nothing if another process restored the image just now.
            self.trash.restore(trash_id)
        except StorageError:
            # If this fails too, the entry stays, and the image can still be restored.
            if entry is not None:
                with suppress(JournalError):
                    self.history.forget(entry.sidecar.id)
            raise
        return found

    def select(self, names: Sequence[str]) -> list[TrashedFile]:
        """Return the named files.

        Args:
            names: Ids, unique prefixes of ids, or `last` for the one moved last.

        Raises:
            InvalidRequest: a name matches no file in the trash, or several.
        """
        files = self.trash.list_files()
        return [_select(name, files) for name in dict.fromkeys(names)]

    def _put(self, entry: HistoryEntry) -> str | None:
        """Move an image to the trash; return its id there, also if it was moved before.

        A file at the image's location with other content is a different image.
        """
        version = self.trash.examine(entry.location, image=entry)
        if version is not None:
            moved = self.trash.put(entry.location, version, entry=entry)
            if moved is not None:
                return moved
        was_moved = self.trash.find(entry.sidecar.id) is not None
        return entry.sidecar.id if was_moved else None

    def _entry(self, image_id: str) -> HistoryEntry | None:
        """Return the history entry; None if only this entry cannot be read."""
        try:
            entry = self.history.get(image_id)
        except JournalError:
            # If the whole history cannot be read, this raises: then the entry may be
            # intact, and must not be deleted.
            next(self.history.find(limit=1), None)
            return None
        if entry is None or entry.sidecar.id != image_id:
            raise _unknown()
        return entry


def _select(name: str, files: Sequence[TrashedFile]) -> TrashedFile:
    if name == "last" and files:
        return files[-1]
    found = [each for each in files if name and each.id.startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidRequest(
            f"The ids of {len(found)} files in the trash begin with {name!r}.",
            hint="Give more characters of the id.",
        )
    raise InvalidRequest(
        f"The trash has no file {name!r}.", hint="`imagen trash list` lists the ids."
    )


def _unknown() -> InvalidRequest:
    return InvalidRequest("The history has no such image.")
