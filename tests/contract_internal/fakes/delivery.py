"""In-memory fakes of the spool, the delivery queues, and the undelivered usage."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date

from tests.contract_internal.fakes.stores import MemoryHistory, MemoryLedger

from imagen.domain.delivery import DeliveryStatus, FailedDelivery, Pause
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal


class MemorySpool:
    """A dictionary of bytes.

    Attributes:
        contents: The bytes of each image, by id.
    """

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def write(self, image_id: str, content: bytes) -> None:
        """Store the bytes."""
        self.contents[image_id] = content

    def read(self, image_id: str) -> bytes | None:
        """Return the bytes."""
        return self.contents.get(image_id)

    def discard(self, image_ids: Collection[str]) -> None:
        """Delete the bytes."""
        for image_id in image_ids:
            self.contents.pop(image_id, None)


class MemoryDeliveryState:
    """The part of a queue that is the same for usage rows and images.

    Attributes:
        done: The ids of delivered records.
        reasons: Why each failed record failed, by id.
        paused: The pause, if any.
    """

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.reasons: dict[str, str] = {}
        self.paused: Pause | None = None

    def ids(self) -> set[str]:
        """Return the ids of all records that are to be delivered at some time."""
        raise NotImplementedError

    def is_pending(self, each: str) -> bool:
        """Return whether the record is neither delivered nor failed."""
        known = each in self.ids()
        return known and each not in self.done and each not in self.reasons

    def mark_delivered(self, ids: Collection[str]) -> None:
        """Add the ids to `done`."""
        self.done |= set(ids) & self.ids()
        for each in ids:
            self.reasons.pop(each, None)

    def mark_failed(self, reasons: Mapping[str, str]) -> None:
        """Store the reasons."""
        open_ids = self.ids() - self.done
        self.reasons |= {
            each: reason for each, reason in reasons.items() if each in open_ids
        }

    def retry_failed(self) -> None:
        """Clear the reasons."""
        self.reasons.clear()

    def pause(self, pause: Pause | None) -> None:
        """Store the pause."""
        self.paused = pause

    def status(self) -> DeliveryStatus:
        """Count the records."""
        known = self.ids()
        return DeliveryStatus(
            pending=sum(self.is_pending(each) for each in known),
            failed=tuple(
                FailedDelivery(id=each, trouble=self.reasons[each])
                for each in sorted(known & self.reasons.keys())
            ),
            pause=self.paused,
        )


class MemoryUsageQueue(MemoryDeliveryState):
    """The delivery state of the rows of a ledger.

    Args:
        ledger: The ledger; None makes an empty one.
    """

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        super().__init__()
        self.ledger = MemoryLedger() if ledger is None else ledger

    def ids(self) -> set[str]:
        """Return the ids of all rows."""
        return set(self.ledger.kept)

    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[UsageRow, ...]:
        """Filter the rows."""
        rows = [
            row
            for row in self.ledger.rows()
            if row.id not in excluding and self.is_pending(row.id)
        ]
        return tuple(reversed(rows))[:limit]


class MemoryImageQueue(MemoryDeliveryState):
    """The delivery state of the images of a history that have an owner.

    Args:
        history: The history, which keeps pending images from then on even if they are
            too old; None makes an empty one.
    """

    def __init__(self, history: MemoryHistory | None = None) -> None:
        super().__init__()
        self.history = MemoryHistory() if history is None else history
        self.history.is_pending = self.is_pending

    def ids(self) -> set[str]:
        """Return the ids of all images that have an owner."""
        return {key for key, entry in self.history.kept.items() if entry.owner}

    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[HistoryEntry, ...]:
        """Filter the images."""
        return tuple(
            entry
            for entry in self.history.find()
            if entry.sidecar.id not in excluding and self.is_pending(entry.sidecar.id)
        )[:limit]


class MemoryUndeliveredUsage:
    """The rows of a queue that are pending or failed.

    Args:
        queue: The queue.
    """

    def __init__(self, queue: MemoryUsageQueue) -> None:
        self.queue = queue

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Filter the rows."""
        done = self.queue.done
        rows = self.queue.ledger.rows(since=since)
        return (row for row in rows if row.id not in done)

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Add up the rows."""
        rest = MemoryLedger()
        rest.record(list(self.rows()))
        return rest.totals(by, since=since)
