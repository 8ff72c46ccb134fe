"""The port to the history: what was made on this machine."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

from imagen.domain.history import HistoryEntry, Position
from imagen.domain.money.usage import Dimension


class History(Protocol):
    """Remembers every image that was stored.

    Prove an implementation with `imagen.testing.HistoryContract`.
    """

    def add(self, entries: Sequence[HistoryEntry]) -> None:
        """Remember them; one that is remembered already, by its id, is replaced.

        Of one that has an owner a copy is owed to the cloud, unless it is there.

        Raises:
            JournalError: they could not be written down; none was.
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
        """Yield images, the newest first.

        Args:
            words: Each of them, parted by blanks, is somewhere in the prompt, in any
                script and in upper or lower case; "" asks for none.
            backend: The instance that made them; "" is any.
            model: Likewise.
            caller: Who asked for them; "" is anybody.
            since: The first UTC date that counts.
            until: The first UTC date that counts no more.
            before: Only what comes after this position in the order of what is
                yielded, whether or not there is an image at it.
            limit: How many at most; None is all.

        Raises:
            JournalError: it cannot be read.
        """
        ...

    def count(self, by: Dimension) -> Mapping[str, int]:
        """Return how many images each has made, asked for, or seen: a number by name.

        The newest week comes first, and everything else in the order of its name.

        Raises:
            JournalError: it cannot be read.
        """
        ...

    def get(self, name: str) -> HistoryEntry | None:
        """Return the image of that id, or of the only id that begins so, or `last`.

        Raises:
            InvalidRequest: several ids begin so.
            JournalError: it cannot be read.
        """
        ...

    def forget(self, image_id: str) -> bool:
        """Leave no trace of the image but its file; say whether there was one.

        Raises:
            JournalError: it cannot be written.
        """
        ...

    def forget_older(self, than: datetime) -> int:
        """Forget, likewise, what was made before that moment; say how many images.

        What is still owed to the cloud is not forgotten.

        Raises:
            JournalError: it cannot be written.
        """
        ...
