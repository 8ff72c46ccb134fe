"""The port to what is owed to the cloud."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Protocol

from imagen.domain.delivery import Channel, DeliveryStatus, Pause
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal


class Outbox(Protocol):
    """Knows what is not delivered yet, whatever dies when.

    Every row of the ledger is owed from the moment it is recorded, and every image that
    the history has with an `owner`. May be used by several threads and processes at
    once.

    Prove an implementation with `imagen.testing.OutboxContract`.
    """

    def hold(self, image_id: str, content: bytes) -> None:
        """Keep the bytes of an image until it is delivered or forgotten.

        Called before the history has the image.

        Raises:
            JournalError: they cannot be kept.
        """
        ...

    def held(self, image_id: str) -> bytes | None:
        """Return the bytes that are kept for the image, if any are.

        Raises:
            JournalError: they cannot be read.
        """
        ...

    def let_go(self, image_ids: Collection[str]) -> None:
        """Drop the bytes that are kept for the images, as far as that is possible."""
        ...

    def rows(self, limit: int) -> tuple[UsageRow, ...]:
        """Return usage rows that are owed, the oldest first.

        Raises:
            JournalError: they cannot be read.
        """
        ...

    def images(
        self, limit: int, *, besides: Collection[str] = ()
    ) -> tuple[HistoryEntry, ...]:
        """Return images that are owed, the newest first, but for those of these ids.

        Raises:
            JournalError: they cannot be read.
        """
        ...

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Return what the rows add up to that `undelivered` yields.

        Grouped and ordered as `Ledger.totals` has it.

        Raises:
            JournalError: they cannot be read.
        """
        ...

    def undelivered(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Yield the usage rows that are owed or set aside, the newest first.

        Args:
            since: The first UTC date that counts.

        Raises:
            JournalError: they cannot be read.
        """
        ...

    def delivered(self, channel: Channel, ids: Collection[str]) -> None:
        """Note that these are there; the bytes of images are dropped.

        Raises:
            JournalError: it cannot be written down.
        """
        ...

    def set_aside(self, channel: Channel, troubles: Mapping[str, str]) -> None:
        """Note of these ids why they can never be delivered as they are.

        What is set aside is no longer owed, and is kept. What somebody delivered in the
        meantime stays delivered.

        Raises:
            JournalError: it cannot be written down.
        """
        ...

    def owe_again(self, channel: Channel) -> None:
        """Have what was set aside be owed again.

        Raises:
            JournalError: it cannot be written down.
        """
        ...

    def pause(self, channel: Channel, pause: Pause | None) -> None:
        """Note that nothing is to be tried for a while, or that the last try went well.

        Raises:
            JournalError: it cannot be written down.
        """
        ...

    def standing(self, channel: Channel) -> DeliveryStatus:
        """Return what is not delivered, and why.

        Raises:
            JournalError: it cannot be read.
        """
        ...
