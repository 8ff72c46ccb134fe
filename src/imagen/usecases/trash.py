"""Move an image to the trash, and restore it.

After an error or a crash the image is in its old place or in the trash, never lost.
"""

from contextlib import suppress

import msgspec

from imagen.domain.errors import InvalidRequest, JournalError, StorageError
from imagen.domain.history import HistoryEntry
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
        is_restorable = entry is not None and self.trash.put(entry)
        try:
            was_known = self.history.forget(image_id)
        except JournalError:
            if is_restorable:
                # If this fails too, the image is in the trash, and can be restored.
                with suppress(StorageError):
                    self.trash.restore(image_id)
            raise
        if entry is None and not was_known:
            raise _unknown()
        self.spool.discard([image_id])
        return is_restorable

    def undo(self, image_id: str) -> HistoryEntry:
        """Restore one image from the trash, and add it to the history.

        Raises:
            InvalidRequest: the image is not in the trash.
            StorageError: another file is in its place; the image stays in the trash.
            JournalError: the history cannot be written; the image stays in the trash.
        """
        entry = self.trash.find(image_id)
        if entry is None:
            raise InvalidRequest("The trash has no such image.")
        self.history.add([entry])
        try:
            # Returns nothing if another process restored the image just now.
            self.trash.restore(image_id)
        except StorageError:
            # If this fails too, the entry stays, and the image can still be restored.
            with suppress(JournalError):
                self.history.forget(image_id)
            raise
        return entry

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


def _unknown() -> InvalidRequest:
    return InvalidRequest("The history has no such image.")
