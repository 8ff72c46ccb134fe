"""Correct delivery queues and broken ones; each lists the tests that must fail.

Not collected by itself: `test_broken.py` runs it and compares.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from pathlib import Path
from threading import Lock
from typing import ClassVar

import msgspec
import pytest
from tests.contract.broken import Rendezvous
from tests.contract_internal.contracts.delivery_queue import (
    DeliveryQueueContract,
    DeliveryQueues,
)
from tests.contract_internal.databases import (
    FailingDatabase,
    QuickDatabase,
    damaged_database,
)
from tests.contract_internal.test_delivery_queue import sqlite_queues

from imagen.adapters.database.connection import Database
from imagen.adapters.database.delivery_queue import (
    SqliteImageQueue,
    SqliteUndeliveredUsage,
    SqliteUsageQueue,
    _DeliveryState,
)
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.ledger import SqliteLedger
from imagen.adapters.database.schema import PENDING
from imagen.domain.delivery import DeliveryStatus, Pause
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import UsageRow

replaced = msgspec.structs.replace


class Staged(DeliveryQueueContract):
    """Builds the queues of these classes over one database.

    Attributes:
        State: A mixin that both queues get.
        error: What the broken queues raise; None to damage their file.
        is_shared: Whether the second instances have the same records.
        triggers: SQL statements to execute once.
    """

    State: ClassVar[type] = object
    Usage: ClassVar[type[SqliteUsageQueue]] = SqliteUsageQueue
    Images: ClassVar[type[SqliteImageQueue]] = SqliteImageQueue
    Undelivered: ClassVar[type[SqliteUndeliveredUsage]] = SqliteUndeliveredUsage
    error: ClassVar[Exception | None] = None
    is_shared: ClassVar[bool] = True
    triggers: ClassVar[tuple[str, ...]] = ()
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def database(self, tmp_path: Path) -> QuickDatabase:
        database = QuickDatabase(tmp_path)
        for statement in self.triggers:
            database.sql(statement)
        return database

    @pytest.fixture
    def ledger(self, database: QuickDatabase) -> SqliteLedger:
        return SqliteLedger(database)

    @pytest.fixture
    def history(self, database: QuickDatabase) -> SqliteHistory:
        return SqliteHistory(database)

    @pytest.fixture
    def queues(self, database: QuickDatabase) -> DeliveryQueues:
        return self._build(database)

    @pytest.fixture
    def other_queues(self, database: QuickDatabase) -> DeliveryQueues:
        folder = database.folder if self.is_shared else database.folder / "other"
        return self._build(QuickDatabase(folder))

    @pytest.fixture
    def broken_queues(self, tmp_path: Path) -> DeliveryQueues:
        if self.error is None:
            return sqlite_queues(damaged_database(tmp_path))
        return sqlite_queues(FailingDatabase(tmp_path, self.error))

    def _build(self, database: Database) -> DeliveryQueues:
        mixin = () if self.State is object else (self.State,)
        usage = type("Usage", (*mixin, self.Usage), {})(database)
        images = type("Images", (*mixin, self.Images), {})(database)
        return DeliveryQueues(
            usage=usage, images=images, undelivered=self.Undelivered(database)
        )


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class Full(_DeliveryState):
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


class NewestFirst(SqliteUsageQueue):
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


class OldestFirst(SqliteImageQueue):
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


class Unlimited(SqliteImageQueue):
    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[HistoryEntry, ...]:
        return super().pending(1000, excluding=excluding)


class TestIgnoresTheLimit(Staged):
    Images = Unlimited
    breaks: ClassVar[set[str]] = {"test_has_images_with_an_owner_pending"}


class Inclusive(SqliteUsageQueue):
    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[UsageRow, ...]:
        return super().pending(limit)


class TestIgnoresTheExclusion(Staged):
    Usage = Inclusive
    breaks: ClassVar[set[str]] = {"test_has_every_row_pending"}


class TestDeliversImagesWithoutAnOwner(Staged):
    triggers = (
        "CREATE TRIGGER deliver AFTER INSERT ON images WHEN new.delivery = 'none' "
        "BEGIN UPDATE images SET delivery = 'owed' WHERE id = new.id; END",
    )
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


class Spiteful(_DeliveryState):
    def mark_failed(self, reasons: Mapping[str, str]) -> None:
        self._update(dict.fromkeys(reasons, ""), PENDING, of="1")
        super().mark_failed(reasons)


class TestFailsDeliveredRecords(Staged):
    State = Spiteful
    breaks: ClassVar[set[str]] = {"test_does_not_fail_a_delivered_record"}


class Mixed(SqliteImageQueue):
    """Delivers a usage row for each image."""

    def mark_delivered(self, ids: Collection[str]) -> None:
        super().mark_delivered(ids)
        SqliteUsageQueue(self._database).mark_delivered(ids)


class TestMixesTheChannels(Staged):
    Images = Mixed
    breaks: ClassVar[set[str]] = {"test_marks_delivered"}


class Forgetful(_DeliveryState):
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


class Stubborn(_DeliveryState):
    def retry_failed(self) -> None:
        pass


class TestNeverRetries(Staged):
    State = Stubborn
    breaks: ClassVar[set[str]] = {"test_retries_failed"}


class Undecided(_DeliveryState):
    def mark_delivered(self, ids: Collection[str]) -> None:
        failed = {each.id for each in self.status().failed}
        super().mark_delivered(set(ids) - failed)


class TestKeepsTheReasonOfDeliveredRecords(Staged):
    State = Undecided
    breaks: ClassVar[set[str]] = {"test_delivers_a_failed_record"}


class Short(SqliteUndeliveredUsage):
    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._condition = f"delivery = '{PENDING}'"


class TestLeavesFailedRowsOutOfTotals(Staged):
    Undelivered = Short
    breaks: ClassVar[set[str]] = {"test_adds_up_undelivered_usage"}


class Timeless(SqliteUndeliveredUsage):
    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        return super().rows()


class TestYieldsRowsOfAnyTime(Staged):
    Undelivered = Timeless
    breaks: ClassVar[set[str]] = {"test_adds_up_undelivered_usage"}


class Restless(_DeliveryState):
    def pause(self, pause: Pause | None) -> None:
        if pause is None or self.status().pause is None:
            super().pause(pause)


class TestKeepsTheFirstPause(Staged):
    State = Restless
    breaks: ClassVar[set[str]] = {"test_pauses"}


class TestIsNotShared(Staged):
    is_shared = False
    breaks: ClassVar[set[str]] = {"test_shares_its_state_between_instances"}


class Careless(_DeliveryState):
    """Reads the state, waits, and writes what it has read."""

    crowd, lock = Rendezvous(), Lock()

    def mark_delivered(self, ids: Collection[str]) -> None:
        query = f"SELECT id FROM {self.channel} WHERE delivery = 'owed'"
        with self._database.reading() as connection:
            pending = [each for (each,) in connection.execute(query).fetchall()]
        self.crowd.wait()
        with self.lock:
            self._update(dict.fromkeys(pending, ""), PENDING, of="1")
            super().mark_delivered(ids)


class TestLosesWhatOthersWrite(Staged):
    State = Careless
    breaks: ClassVar[set[str]] = {"test_is_written_by_many_threads"}


class TestIsNeverForgotten(Staged):
    triggers = (
        "CREATE TRIGGER keep BEFORE DELETE ON images WHEN old.delivery <> 'none' "
        "BEGIN SELECT raise(ignore); END",
    )
    breaks: ClassVar[set[str]] = {
        "test_keeps_pending_images_in_the_history",
        "test_does_not_deliver_forgotten_images",
    }


class TestReportsNothing(Staged):
    error = ZeroDivisionError()
    breaks: ClassVar[set[str]] = {"test_reports_what_is_wrong"}
