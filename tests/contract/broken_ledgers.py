"""A correct ledger and faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_broken.py` runs it and compares.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, timedelta
from itertools import count
from pathlib import Path
from threading import Lock
from typing import ClassVar

import msgspec
import pytest
from tests.contract.broken import Rendezvous
from tests.contract_internal.databases import (
    FailingDatabase,
    QuickDatabase,
    damaged_database,
)

from imagen.adapters.database.ledger import SqliteLedger
from imagen.adapters.database.schema import insert_usage
from imagen.domain.errors import JournalError
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal
from imagen.testing import LedgerContract

replaced = msgspec.structs.replace
NUMBERS = count(1)


class Staged(LedgerContract):
    """Builds ledgers of a class over one database.

    Attributes:
        Made: The class.
        error: What every method of the broken ledger raises; None to damage its file.
        is_shared: Whether the second instance has the same rows.
    """

    Made: ClassVar[type[SqliteLedger]] = SqliteLedger
    error: ClassVar[Exception | None] = None
    is_shared: ClassVar[bool] = True
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqliteLedger:
        return self.Made(QuickDatabase(tmp_path))

    @pytest.fixture
    def another(self, tmp_path: Path) -> SqliteLedger:
        return self.Made(QuickDatabase(tmp_path if self.is_shared else tmp_path / "b"))

    @pytest.fixture
    def broken_ledger(self, tmp_path: Path) -> SqliteLedger:
        if self.error is None:
            return SqliteLedger(damaged_database(tmp_path))
        return SqliteLedger(FailingDatabase(tmp_path, self.error))


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class TestKeepsWholeSeconds(Staged):
    class Made(SqliteLedger):
        def record(self, rows: Sequence[UsageRow]) -> None:
            super().record(
                [
                    replaced(r, created_at=r.created_at.replace(microsecond=0))
                    for r in rows
                ]
            )

    breaks: ClassVar[set[str]] = {
        "test_returns_what_was_recorded",
        "test_keeps_each_row_once",
        "test_keeps_each_row_once_whoever_records_it",
        "test_is_seen_by_another",
        "test_yields_the_newest_first",
        "test_yields_rows_since_a_date",
    }


class TestTakesUnknownForNothing(Staged):
    class Made(SqliteLedger):
        def record(self, rows: Sequence[UsageRow]) -> None:
            super().record([replaced(r, cost_micros=r.cost_micros or 0) for r in rows])

    breaks: ClassVar[set[str]] = {
        "test_returns_what_was_recorded",
        "test_adds_everything_up",
        "test_adds_up_what_is_unknown",
    }


class TestKeepsARowAgain(Staged):
    class Made(SqliteLedger):
        def record(self, rows: Sequence[UsageRow]) -> None:
            super().record([replaced(r, id=f"{r.id}/{next(NUMBERS)}") for r in rows])

        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            for row in super().rows(since=since):
                yield replaced(row, id=row.id.partition("/")[0])

    breaks: ClassVar[set[str]] = {
        "test_keeps_each_row_once",
        "test_keeps_each_row_once_whoever_records_it",
    }


class TestLosesRowsInACrowd(Staged):
    class Made(SqliteLedger):
        crowd, lock = Rendezvous(), Lock()

        def record(self, rows: Sequence[UsageRow]) -> None:
            before = list(super().rows())
            self.crowd.wait()
            with self.lock, self._database.writing(durable=False) as connection:
                connection.execute("DELETE FROM usage")
                insert_usage(connection, [*before, *rows])

    breaks: ClassVar[set[str]] = {
        "test_keeps_each_row_once_whoever_records_it",
    }


class TestKnowsOnlyItsOwn(Staged):
    is_shared = False
    breaks: ClassVar[set[str]] = {
        "test_keeps_each_row_once_whoever_records_it",
        "test_is_seen_by_another",
    }


class TestYieldsTheOldestFirst(Staged):
    class Made(SqliteLedger):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            return reversed(list(super().rows(since=since)))

    breaks: ClassVar[set[str]] = {
        "test_returns_what_was_recorded",
        "test_keeps_each_row_once",
        "test_keeps_each_row_once_whoever_records_it",
        "test_yields_the_newest_first",
        "test_does_not_hold_all_rows_at_once",
        "test_yields_rows_since_a_date",
    }


class TestIsInNoOrder(Staged):
    class Made(SqliteLedger):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            return iter(
                sorted(super().rows(since=since), key=_last_letter, reverse=True)
            )

    breaks: ClassVar[set[str]] = {
        "test_returns_what_was_recorded",
        "test_keeps_each_row_once",
        "test_keeps_each_row_once_whoever_records_it",
        "test_yields_the_newest_first",
        "test_does_not_hold_all_rows_at_once",
        "test_yields_rows_since_a_date",
    }


class TestHoldsAllRows(Staged):
    class Made(SqliteLedger):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            return iter([replaced(row) for row in super().rows(since=since)])

    breaks: ClassVar[set[str]] = {
        "test_does_not_hold_all_rows_at_once",
    }


class TestBeginsADayLater(Staged):
    class Made(SqliteLedger):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            return super().rows(since=since and since + timedelta(days=1))

    breaks: ClassVar[set[str]] = {"test_yields_rows_since_a_date"}


class TestBeginsTheDayInNewZealand(Staged):
    class Made(SqliteLedger):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            for row in super().rows():
                if (
                    since is None
                    or (row.created_at + timedelta(hours=12)).date() >= since
                ):
                    yield row

    breaks: ClassVar[set[str]] = {"test_yields_rows_since_a_date"}


class TestAddsUpAllOfTime(Staged):
    class Made(SqliteLedger):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            return super().totals(by)

    breaks: ClassVar[set[str]] = {
        "test_adds_up_since_a_date",
    }


class TestAddsUpNothing(Staged):
    class Made(SqliteLedger):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            nothing = UsageTotal(calls=0, images=0, cost_micros=0, unknown=0)
            return super().totals(by, since=since) or (nothing,)

    breaks: ClassVar[set[str]] = {
        "test_has_nothing_at_first",
        "test_adds_up_since_a_date",
    }


class TestCountsRowsForImages(Staged):
    class Made(SqliteLedger):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            found = super().totals(by, since=since)
            return tuple(replaced(total, images=total.calls) for total in found)

    breaks: ClassVar[set[str]] = {
        "test_adds_everything_up",
    }


class TestCannotAddUpWhatIsUnknown(Staged):
    class Made(SqliteLedger):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            found = super().totals(by, since=since)
            return tuple(t for t in found if t.unknown < t.calls)

    breaks: ClassVar[set[str]] = {
        "test_adds_up_what_is_unknown",
    }


class TestTellsAllModelsApart(Staged):
    class Made(SqliteLedger):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            finer = by if "model" in by else [*by, "model"]
            return super().totals(finer, since=since)

    breaks: ClassVar[set[str]] = {
        "test_adds_everything_up",
        "test_adds_up_what_is_unknown",
        "test_adds_up_each_group",
        "test_orders_by_the_dimensions_as_given",
    }


class TestOrdersByItsOwnDimensions(Staged):
    class Made(SqliteLedger):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            return super().totals(sorted(by), since=since)

    breaks: ClassVar[set[str]] = {
        "test_orders_by_the_dimensions_as_given",
    }


class TestHasTheOldestWeekFirst(Staged):
    class Made(SqliteLedger):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            found = super().totals(by, since=since)
            if not by or by[0] != "week":
                return found
            return tuple(sorted(found, key=lambda total: total.week or ""))

    breaks: ClassVar[set[str]] = {
        "test_orders_by_the_dimensions_as_given",
        "test_counts_iso_weeks_of_utc",
    }


class TestCountsWeeksWhereTheCallerIs(Staged):
    class Made(SqliteLedger):
        def record(self, rows: Sequence[UsageRow]) -> None:
            super().record(
                [replaced(r, created_at=r.created_at.replace(tzinfo=UTC)) for r in rows]
            )

    breaks: ClassVar[set[str]] = {
        "test_counts_iso_weeks_of_utc",
    }


class TestLetsAnOsErrorOut(Staged):
    error = OSError("Input/output error")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_broken",
    }


class TestRaisesAnErrorCode(Staged):
    error = JournalError("EIO")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_broken",
    }


def _last_letter(row: UsageRow) -> str:
    return row.id[-1]
