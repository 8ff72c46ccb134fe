"""What is owed to the cloud, in memory: gone when the test is over."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date

from imagen.domain.delivery import Channel, DeliveryStatus, FailedDelivery, Pause
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal
from imagen.testing.stores import MemoryHistory, MemoryLedger


class MemoryOutbox:
    """Remembers what was delivered; the rest is owed.

    Args:
        ledger: Whose rows are owed.
        history: Whose images are owed, if they have an owner.

    Attributes:
        bytes: What is kept of images, by id.
        over: The ids of what is delivered.
        troubles: Why what was set aside was, by id.
        pauses: By channel.
    """

    def __init__(
        self, ledger: MemoryLedger | None = None, history: MemoryHistory | None = None
    ) -> None:
        self.ledger = MemoryLedger() if ledger is None else ledger
        self.history = MemoryHistory() if history is None else history
        self.bytes: dict[str, bytes] = {}
        self.over: dict[Channel, set[str]] = {"usage": set(), "images": set()}
        self.troubles: dict[Channel, dict[str, str]] = {"usage": {}, "images": {}}
        self.pauses: dict[Channel, Pause] = {}
        self.history.is_owed = lambda image_id: (
            image_id in self._known("images") and self._is_owed("images", image_id)
        )

    def hold(self, image_id: str, content: bytes) -> None:
        """Keep them."""
        self.bytes[image_id] = content

    def held(self, image_id: str) -> bytes | None:
        """Look."""
        return self.bytes.get(image_id)

    def let_go(self, image_ids: Collection[str]) -> None:
        """Drop them."""
        for image_id in image_ids:
            self.bytes.pop(image_id, None)

    def rows(self, limit: int) -> tuple[UsageRow, ...]:
        """Look at each."""
        rows = [row for row in self.ledger.rows() if self._is_owed("usage", row.id)]
        return tuple(reversed(rows))[:limit]

    def images(
        self, limit: int, *, besides: Collection[str] = ()
    ) -> tuple[HistoryEntry, ...]:
        """Look at each."""
        return tuple(
            entry
            for entry in self.history.find()
            if entry.owner
            and entry.sidecar.id not in besides
            and self._is_owed("images", entry.sidecar.id)
        )[:limit]

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Add up."""
        rest = MemoryLedger()
        rest.record(list(self.undelivered()))
        return rest.totals(by, since=since)

    def undelivered(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Look at each."""
        over = self.over["usage"]
        return (row for row in self.ledger.rows(since=since) if row.id not in over)

    def delivered(self, channel: Channel, ids: Collection[str]) -> None:
        """Remember it."""
        self.over[channel] |= set(ids) & self._known(channel)
        for each in ids:
            self.troubles[channel].pop(each, None)
        if channel == "images":
            self.let_go(ids)

    def set_aside(self, channel: Channel, troubles: Mapping[str, str]) -> None:
        """Remember it."""
        owed = self._known(channel) - self.over[channel]
        self.troubles[channel] |= {
            each: trouble for each, trouble in troubles.items() if each in owed
        }

    def owe_again(self, channel: Channel) -> None:
        """Forget why not."""
        self.troubles[channel].clear()

    def pause(self, channel: Channel, pause: Pause | None) -> None:
        """Remember it."""
        self.pauses.pop(channel, None)
        if pause is not None:
            self.pauses[channel] = pause

    def standing(self, channel: Channel) -> DeliveryStatus:
        """Count."""
        known, troubles = self._known(channel), self.troubles[channel]
        return DeliveryStatus(
            pending=sum(self._is_owed(channel, each) for each in known),
            failed=tuple(
                FailedDelivery(id=each, trouble=troubles[each])
                for each in sorted(known & troubles.keys())
            ),
            pause=self.pauses.get(channel),
        )

    def _known(self, channel: Channel) -> set[str]:
        if channel == "usage":
            return set(self.ledger.kept)
        return {key for key, entry in self.history.kept.items() if entry.owner}

    def _is_owed(self, channel: Channel, each: str) -> bool:
        return each not in self.over[channel] and each not in self.troubles[channel]
