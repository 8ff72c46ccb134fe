"""Correct delivery queues and broken ones; each lists the tests that must fail.

Not collected by itself: `test_the_contracts.py` runs it and compares.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar

import msgspec
import pytest
from tests.contract_internal.contracts.delivery_queue import (
    DeliveryQueueContract,
    DeliveryQueues,
)
from tests.contract_internal.fakes.delivery import (
    MemoryDeliveryState,
    MemoryImageQueue,
    MemoryUndeliveredUsage,
    MemoryUsageQueue,
)
from tests.contract_internal.fakes.stores import MemoryHistory, MemoryLedger

from imagen.domain.delivery import DeliveryStatus, Pause
from imagen.domain.errors import JournalError
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal

replaced = msgspec.structs.replace


def burn(*_: object, **__: object) -> Any:
    raise JournalError("The database is burnt.")


class BurntState:
    """Can be neither read nor written."""

    pending = mark_delivered = mark_failed = retry_failed = pause = status = burn


class BurntReader:
    rows = totals = burn


BURNT = DeliveryQueues(
    usage=BurntState(), images=BurntState(), undelivered=BurntReader()
)


class Staged(DeliveryQueueContract):
    """Builds the queues of these classes.

    Attributes:
        State: A mixin that both queues get.
    """

    State: ClassVar[type] = object
    Usage: ClassVar[type[MemoryUsageQueue]] = MemoryUsageQueue
    Images: ClassVar[type[MemoryImageQueue]] = MemoryImageQueue
    Undelivered: ClassVar[type[MemoryUndeliveredUsage]] = MemoryUndeliveredUsage
    broken: ClassVar[DeliveryQueues] = BURNT
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger()

    @pytest.fixture
    def history(self) -> MemoryHistory:
        return MemoryHistory()

    @pytest.fixture
    def queues(self, ledger: MemoryLedger, history: MemoryHistory) -> DeliveryQueues:
        return self._build(ledger, history)

    @pytest.fixture
    def other_queues(
        self, queues: DeliveryQueues, ledger: MemoryLedger, history: MemoryHistory
    ) -> DeliveryQueues:
        others = self._build(ledger, history)
        for mine, other in (
            (queues.usage, others.usage),
            (queues.images, others.images),
        ):
            other.__dict__ = mine.__dict__
        return others

    @pytest.fixture
    def broken_queues(self) -> DeliveryQueues:
        return self.broken

    def _build(self, ledger: MemoryLedger, history: MemoryHistory) -> DeliveryQueues:
        mixin = () if self.State is object else (self.State,)
        usage = type("Usage", (*mixin, self.Usage), {})(ledger)
        images = type("Images", (*mixin, self.Images), {})(history)
        return DeliveryQueues(
            usage=usage, images=images, undelivered=self.Undelivered(usage)
        )


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class Full(MemoryDeliveryState):
    def status(self) -> DeliveryStatus:
        return replaced(super().status(), pending=1)


class TestHasOnePendingAlways(Staged):
    State = Full
    breaks: ClassVar[set[str]] = {
        "test_has_nothing_pending_at_first",
        "test_has_every_row_pending",
        "test_has_images_with_an_owner_pending",
        "test_marks_delivered",
        "test_keeps_delivered_records_delivered",
        "test_adds_an_image_that_gets_an_owner",
        "test_marks_failed",
        "test_retries_failed",
        "test_delivers_a_failed_record",
        "test_does_not_fail_a_delivered_record",
        "test_does_not_deliver_forgotten_images",
        "test_is_written_by_many_threads",
    }


class NewestFirst(MemoryUsageQueue):
    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[UsageRow, ...]:
        return tuple(reversed(super().pending(1000, excluding=excluding)))[:limit]


class TestHasTheNewestRowsFirst(Staged):
    Usage = NewestFirst
    breaks: ClassVar[set[str]] = {
        "test_has_every_row_pending",
        "test_marks_failed",
    }


class OldestFirst(MemoryImageQueue):
    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[HistoryEntry, ...]:
        return tuple(reversed(super().pending(1000, excluding=excluding)))[:limit]


class TestHasTheOldestImagesFirst(Staged):
    Images = OldestFirst
    breaks: ClassVar[set[str]] = {
        "test_has_images_with_an_owner_pending",
        "test_marks_failed",
    }


class Unlimited(MemoryImageQueue):
    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[HistoryEntry, ...]:
        return super().pending(1000, excluding=excluding)


class TestIgnoresTheLimit(Staged):
    Images = Unlimited
    breaks: ClassVar[set[str]] = {"test_has_images_with_an_owner_pending"}


class Inclusive(MemoryUsageQueue):
    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[UsageRow, ...]:
        return super().pending(limit)


class TestIgnoresTheExclusion(Staged):
    Usage = Inclusive
    breaks: ClassVar[set[str]] = {"test_has_every_row_pending"}


class Orphans(MemoryImageQueue):
    def ids(self) -> set[str]:
        return set(self.history.kept)


class TestDeliversImagesWithoutAnOwner(Staged):
    Images = Orphans
    breaks: ClassVar[set[str]] = {
        "test_has_images_with_an_owner_pending",
        "test_marks_delivered",
        "test_keeps_delivered_records_delivered",
        "test_marks_failed",
        "test_retries_failed",
        "test_delivers_a_failed_record",
        "test_does_not_fail_a_delivered_record",
        "test_keeps_pending_images_in_the_history",
        "test_does_not_deliver_forgotten_images",
    }


class Spiteful(MemoryDeliveryState):
    def mark_failed(self, reasons: Mapping[str, str]) -> None:
        self.done -= set(reasons)
        super().mark_failed(reasons)


class TestFailsDeliveredRecords(Staged):
    State = Spiteful
    breaks: ClassVar[set[str]] = {"test_does_not_fail_a_delivered_record"}


class Mixed(MemoryImageQueue):
    """Delivers a usage row for each image."""

    usage: MemoryUsageQueue

    def mark_delivered(self, ids: Collection[str]) -> None:
        super().mark_delivered(ids)
        self.usage.mark_delivered(ids)


class TestMixesTheChannels(Staged):
    Images = Mixed
    breaks: ClassVar[set[str]] = {"test_marks_delivered"}

    @pytest.fixture
    def queues(self, ledger: MemoryLedger, history: MemoryHistory) -> DeliveryQueues:
        queues = self._build(ledger, history)
        assert isinstance(queues.images, Mixed)
        assert isinstance(queues.usage, MemoryUsageQueue)
        queues.images.usage = queues.usage
        return queues


class Forgetful(MemoryDeliveryState):
    """Treats failed records as delivered ones."""

    def mark_failed(self, reasons: Mapping[str, str]) -> None:
        self.mark_delivered(list(reasons))


class TestDropsFailedRecords(Staged):
    State = Forgetful
    breaks: ClassVar[set[str]] = {
        "test_marks_failed",
        "test_retries_failed",
        "test_adds_up_undelivered_usage",
    }


class Stubborn(MemoryDeliveryState):
    def retry_failed(self) -> None:
        pass


class TestNeverRetries(Staged):
    State = Stubborn
    breaks: ClassVar[set[str]] = {"test_retries_failed"}


class Undecided(MemoryDeliveryState):
    def mark_delivered(self, ids: Collection[str]) -> None:
        reasons = dict(self.reasons)
        super().mark_delivered(ids)
        self.reasons = reasons


class TestKeepsTheReasonOfDeliveredRecords(Staged):
    State = Undecided
    breaks: ClassVar[set[str]] = {"test_delivers_a_failed_record"}


class Short(MemoryUndeliveredUsage):
    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        rest = MemoryLedger()
        rest.record(self.queue.pending(1000))
        return rest.totals(by, since=since)


class TestLeavesFailedRowsOutOfTotals(Staged):
    Undelivered = Short
    breaks: ClassVar[set[str]] = {"test_adds_up_undelivered_usage"}


class Timeless(MemoryUndeliveredUsage):
    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        return super().rows()


class TestYieldsRowsOfAnyTime(Staged):
    Undelivered = Timeless
    breaks: ClassVar[set[str]] = {"test_adds_up_undelivered_usage"}


class Restless(MemoryDeliveryState):
    def pause(self, pause: Pause | None) -> None:
        if pause is None or self.paused is None:
            super().pause(pause)


class TestKeepsTheFirstPause(Staged):
    State = Restless
    breaks: ClassVar[set[str]] = {"test_pauses"}


class TestIsNotShared(Staged):
    breaks: ClassVar[set[str]] = {"test_shares_its_state_between_instances"}

    @pytest.fixture
    def other_queues(
        self, ledger: MemoryLedger, history: MemoryHistory
    ) -> DeliveryQueues:
        return self._build(ledger, history)


class Careless(MemoryDeliveryState):
    """Reads the state, waits, and writes what it has read."""

    def mark_delivered(self, ids: Collection[str]) -> None:
        done = set(self.done)
        time.sleep(0.1)
        self.done = done
        super().mark_delivered(ids)


class TestLosesWhatOthersWrite(Staged):
    State = Careless
    breaks: ClassVar[set[str]] = {"test_is_written_by_many_threads"}


class Obstinate(MemoryImageQueue):
    """Makes the history keep every image that has an owner."""

    def __init__(self, history: MemoryHistory | None = None) -> None:
        super().__init__(history)
        self.history.is_pending = lambda image_id: image_id in self.ids()


class TestIsNeverForgotten(Staged):
    Images = Obstinate
    breaks: ClassVar[set[str]] = {"test_keeps_pending_images_in_the_history"}


class CrashingState:
    """Raises an error that says nothing."""

    pending = mark_delivered = mark_failed = retry_failed = pause = status = (
        lambda *_, **__: 1 / 0
    )


class CrashingReader:
    rows = totals = lambda *_, **__: 1 / 0


class TestReportsNothing(Staged):
    broken = DeliveryQueues(
        usage=CrashingState(), images=CrashingState(), undelivered=CrashingReader()
    )
    breaks: ClassVar[set[str]] = {"test_reports_what_is_wrong"}
