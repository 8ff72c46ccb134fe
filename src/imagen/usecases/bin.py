"""Throw an image away, and fetch it back."""

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.history import HistoryEntry
from imagen.ports.bin import Bin
from imagen.ports.history import History
from imagen.ports.outbox import Outbox


class ThrowAway(msgspec.Struct, frozen=True, kw_only=True):
    """Moves images to the bin, and has the history forget them.

    Attributes:
        history: What remembers them.
        outbox: What keeps their bytes, as long as they are owed to the cloud.
        bin: Where they go.
    """

    history: History
    outbox: Outbox
    bin: Bin

    def run(self, name: str) -> bool:
        """Throw one away, and say whether its file was there.

        Raises:
            InvalidRequest: the history has no image of that name.
            StorageError: its file cannot be moved; nothing has changed.
            JournalError: the history cannot be read or written.
        """
        entry = self.history.get(name)
        if entry is None:
            raise InvalidRequest("There is no such image in the history.")
        was_there = self.bin.throw(entry)
        self.history.forget(entry.sidecar.id)
        self.outbox.let_go([entry.sidecar.id])
        return was_there

    def undo(self, image_id: str) -> HistoryEntry:
        """Fetch it back, and have it remembered.

        Raises:
            InvalidRequest: it is not in the bin.
            StorageError: something else is in its place.
            JournalError: the history cannot be written.
        """
        entry = self.bin.fetch(image_id)
        if entry is None:
            raise InvalidRequest("There is no such image in the bin.")
        self.history.add([entry])
        return entry
