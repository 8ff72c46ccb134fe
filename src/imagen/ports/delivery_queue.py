"""The port to the records that wait for delivery to the cloud."""

from collections.abc import Collection, Mapping
from typing import Protocol, TypeVar

from imagen.domain.delivery import DeliveryStatus, Pause

Item_co = TypeVar("Item_co", covariant=True)


class DeliveryQueue(Protocol[Item_co]):
    """The delivery state of the records of one channel: pending, delivered or failed.

    Nothing is enqueued explicitly. In the queue of usage rows, each row is pending from
    the moment the ledger records it. In the queue of images, each entry of the history
    that has an `owner` is pending. The state of a record survives a crash of any
    process. Several threads and processes may use the queue at the same time. Every
    method raises `JournalError` if the state cannot be read or written.

    The usage rows that are not delivered can be listed and added up through a
    `UsageReader` of their own, so that totals need not be computed from the queue.
    """

    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[Item_co, ...]:
        """Return up to `limit` pending records, in the order of delivery.

        Usage rows are ordered from the oldest to the newest, images from the newest to
        the oldest.
        """
        ...

    def mark_delivered(self, ids: Collection[str]) -> None:
        """Record that these records were delivered; unknown ids are ignored."""
        ...

    def mark_failed(self, reasons: Mapping[str, str]) -> None:
        """Record that these records can never be delivered unchanged.

        A failed record is kept, and is not pending. A record that another process
        delivered in the meantime stays delivered.

        Args:
            reasons: A sentence for each id of a record.
        """
        ...

    def retry_failed(self) -> None:
        """Make every failed record pending again."""
        ...

    def pause(self, pause: Pause | None) -> None:
        """Store the pause after a failed attempt; None ends the pause."""
        ...

    def status(self) -> DeliveryStatus:
        """Return the number of pending records, the failed ones, and the pause."""
        ...
