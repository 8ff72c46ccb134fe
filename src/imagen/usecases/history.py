"""Forget images that were made on this machine."""

from collections.abc import Sequence

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.history import HistoryEntry
from imagen.ports.history import History
from imagen.ports.outbox import Outbox


class ForgetImages(msgspec.Struct, frozen=True, kw_only=True):
    """Takes images out of the history; their files stay.

    Attributes:
        history: What remembers them.
        outbox: What keeps their bytes, as long as they are owed to the cloud.
    """

    history: History
    outbox: Outbox

    def run(self, names: Sequence[str]) -> tuple[HistoryEntry, ...]:
        """Forget the images of those names, all of them or none, and return them.

        Args:
            names: Ids, unique beginnings of ids, or `last`.

        Raises:
            InvalidRequest: there is none of that name, or several.
            JournalError: the history cannot be read or written.
        """
        entries = {entry.sidecar.id: entry for entry in map(self._named, names)}
        for image_id in entries:
            self.history.forget(image_id)
        self.outbox.let_go(entries)
        return tuple(entries.values())

    def _named(self, name: str) -> HistoryEntry:
        entry = self.history.get(name) if name else None
        if entry is None:
            raise InvalidRequest(
                f"There is no image {name!r} in the history.",
                hint="`imagen history` lists those there are.",
            )
        return entry
