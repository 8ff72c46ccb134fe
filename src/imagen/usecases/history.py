"""Remove images from the history of this machine."""

from collections.abc import Sequence

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.history import HistoryEntry
from imagen.ports.history import History
from imagen.ports.spool import Spool


class ForgetImages(msgspec.Struct, frozen=True, kw_only=True):
    """Removes entries from the history; the image files stay."""

    history: History
    spool: Spool

    def run(self, names: Sequence[str]) -> tuple[HistoryEntry, ...]:
        """Forget all the named images, or none on an error; return their entries.

        Args:
            names: Ids, unique prefixes of ids, or `last`.

        Raises:
            InvalidRequest: a name matches no image, or several.
        """
        # All names are resolved before the first image is forgotten, so that a
        # misspelled name changes nothing.
        entries = {entry.sidecar.id: entry for entry in map(self._get, names)}
        for image_id in entries:
            self.history.forget(image_id)
        self.spool.discard(entries)
        return tuple(entries.values())

    def _get(self, name: str) -> HistoryEntry:
        entry = self.history.get(name) if name else None
        if entry is None:
            raise InvalidRequest(
                f"No image {name!r} in the history.",
                hint="Run `imagen history` to list the images.",
            )
        return entry
