"""The port for the history: the images that were made on this machine."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

from imagen.domain.history import HistoryEntry, Position
from imagen.domain.money.usage import Dimension


class History(Protocol):
    """A searchable record of every stored image.

    Every method raises `JournalError` if the history cannot be read or written.
    """

    def add(self, entries: Sequence[HistoryEntry]) -> None:
        """Add the entries; an entry with a known id replaces the earlier one.

        An entry with an owner becomes a pending upload, unless it was uploaded before.

        Raises:
            JournalError: the history cannot be written; no entry was added.
        """
        ...

    def find(
        self,
        *,
        words: str = "",
        backend: str = "",
        model: str = "",
        caller: str = "",
        since: date | None = None,
        until: date | None = None,
        before: Position | None = None,
        limit: int | None = None,
    ) -> Iterator[HistoryEntry]:
        """Yield the matching images, newest first.

        Args:
            words: Search terms, separated by white space. The prompt contains each of
                them, in any script and regardless of case and accents; "" matches every
                prompt.
            backend: Name of the instance that made the image; "" matches any.
            model: Name of the model; "" matches any.
            caller: Name of the caller; "" matches any.
            since: First UTC date, inclusive.
            until: Last UTC date, exclusive.
            before: Yield only what comes after this position in the sort order. An
                image need not exist at the position.
            limit: Maximum number of images; None is unlimited.
        """
        ...

    def count(self, by: Dimension) -> Mapping[str, int]:
        """Return the number of images for each value of the dimension.

        Weeks are sorted newest first, all other values by name.
        """
        ...

    def get(self, name: str) -> HistoryEntry | None:
        """Return the image with this id, or unique start of an id, or the one `last`.

        Raises:
            InvalidRequest: several ids begin with the name.
        """
        ...

    def forget(self, image_id: str) -> bool:
        """Delete all records of the image, not its file; return whether it existed."""
        ...

    def forget_older(self, than: datetime) -> int:
        """Delete, as `forget` does, all images made before; return their number.

        Images with a pending upload stay.
        """
        ...
