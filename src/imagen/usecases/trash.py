"""Throw an image away, and fetch it back.

Whatever fails or is killed on the way: the image is where it was, or in the bin.
"""

from contextlib import suppress

import msgspec

from imagen.domain.errors import InvalidRequest, JournalError, StorageError
from imagen.domain.history import HistoryEntry
from imagen.ports.history import History
from imagen.ports.spool import Spool
from imagen.ports.trash import Trash


class TrashImages(msgspec.Struct, frozen=True, kw_only=True):
    """Moves images to the bin, and has the history forget them.

    Attributes:
        history: What remembers them.
        spool: The bytes of images that are not uploaded yet.
        bin: Where they go.
    """

    history: History
    spool: Spool
    trash: Trash

    def run(self, image_id: str) -> bool:
        """Throw one away, and say whether it can be had back.

        One of which the history has what cannot be read is forgotten, and cannot; its
        file stays where it is.

        Raises:
            InvalidRequest: the history has no image of that id.
            StorageError: its file cannot be moved; nothing has changed.
            JournalError: the history cannot be read or written; nothing has changed.
        """
        entry = self._entry(image_id)
        is_kept = entry is not None and self.trash.put(entry)
        try:
            was_known = self.history.forget(image_id)
        except JournalError:
            if is_kept:
                with suppress(StorageError):  # then it is in the bin, and can be undone
                    self.trash.restore(image_id)
            raise
        if entry is None and not was_known:
            raise _unknown()
        self.spool.discard([image_id])
        return is_kept

    def undo(self, image_id: str) -> HistoryEntry:
        """Have it remembered, and fetch it back.

        Raises:
            InvalidRequest: it is not in the bin.
            StorageError: something else is in its place; it is still in the bin.
            JournalError: the history cannot be written; it is still in the bin.
        """
        entry = self.trash.find(image_id)
        if entry is None:
            raise InvalidRequest("There is no such image in the bin.")
        self.history.add([entry])
        try:
            self.trash.restore(image_id)  # it is back, too, if another was faster
        except StorageError:
            with suppress(JournalError):  # then it can be undone all the same
                self.history.forget(image_id)
            raise
        return entry

    def _entry(self, image_id: str) -> HistoryEntry | None:
        """Return what the history has; None if that cannot be read, and others can."""
        try:
            entry = self.history.get(image_id)
        except JournalError:
            next(self.history.find(limit=1), None)  # else it may be fine tomorrow
            return None
        if entry is None or entry.sidecar.id != image_id:
            raise _unknown()
        return entry


def _unknown() -> InvalidRequest:
    return InvalidRequest("There is no such image in the history.")
