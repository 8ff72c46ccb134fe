"""A correct ledger and faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_the_contracts.py` runs it and compares.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, timedelta
from typing import ClassVar, Self

import msgspec
import pytest
from tests.contract_internal.fakes.stores import MemoryLedger

from imagen.domain.errors import JournalError
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal
from imagen.testing import LedgerContract

replaced = msgspec.structs.replace


class Book(MemoryLedger):
    """A correct ledger; several instances may share the rows."""

    def another(self) -> Self:
        another = type(self)()
        another.kept = self.kept
        return another

    def totals_of(
        self,
        rows: Sequence[UsageRow],
        by: Sequence[Dimension],
        *,
        since: date | None = None,
    ) -> tuple[UsageTotal, ...]:
        """Return totals of these rows instead of the stored ones."""
        other = MemoryLedger()
        other.record(rows)
        return other.totals(by, since=since)


class Burnt(Book):
    """A ledger that can be neither read nor written."""

    error: Exception = JournalError("The book is burnt.")

    def record(self, rows: Sequence[UsageRow]) -> None:
        raise self.error

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        raise self.error

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        raise self.error


class Staged(LedgerContract):
    Made: ClassVar[type[Book]] = Book
    Broken: ClassVar[type[Book]] = Burnt
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def ledger(self) -> Book:
        return self.Made()

    @pytest.fixture
    def another(self, ledger: Book) -> Book:
        return ledger.another()

    @pytest.fixture
    def broken_ledger(self) -> Book:
        return self.Broken()


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class TestKeepsWholeSeconds(Staged):
    class Made(Book):
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
    class Made(Book):
        def record(self, rows: Sequence[UsageRow]) -> None:
            super().record([replaced(r, cost_micros=r.cost_micros or 0) for r in rows])

    breaks: ClassVar[set[str]] = {
        "test_returns_what_was_recorded",
        "test_adds_everything_up",
        "test_adds_up_what_is_unknown",
    }


class TestKeepsARowAgain(Staged):
    class Made(Book):
        def record(self, rows: Sequence[UsageRow]) -> None:
            for row in rows:
                self.kept[f"{row.id}/{len(self.kept)}"] = row

    breaks: ClassVar[set[str]] = {
        "test_keeps_each_row_once",
        "test_keeps_each_row_once_whoever_records_it",
    }


class TestLosesRowsInACrowd(Staged):
    class Made(Book):
        def record(self, rows: Sequence[UsageRow]) -> None:
            before = dict(self.kept)
            time.sleep(0.1)
            self.kept.clear()
            self.kept.update(before)
            super().record(rows)

    breaks: ClassVar[set[str]] = {
        "test_keeps_each_row_once_whoever_records_it",
    }


class TestKnowsOnlyItsOwn(Staged):
    class Made(Book):
        def another(self) -> Self:
            return type(self)()

    breaks: ClassVar[set[str]] = {
        "test_keeps_each_row_once_whoever_records_it",
        "test_is_seen_by_another",
    }


class TestYieldsTheOldestFirst(Staged):
    class Made(Book):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            return reversed(list(super().rows(since=since)))

    breaks: ClassVar[set[str]] = {
        "test_returns_what_was_recorded",
        "test_keeps_each_row_once",
        "test_keeps_each_row_once_whoever_records_it",
        "test_yields_the_newest_first",
        "test_yields_rows_since_a_date",
    }


class TestIsInNoOrder(Staged):
    class Made(Book):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            return iter(
                sorted(super().rows(since=since), key=_last_letter, reverse=True)
            )

    breaks: ClassVar[set[str]] = {
        "test_returns_what_was_recorded",
        "test_keeps_each_row_once",
        "test_keeps_each_row_once_whoever_records_it",
        "test_yields_the_newest_first",
        "test_yields_rows_since_a_date",
    }


class TestHoldsAllRows(Staged):
    class Made(Book):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            return iter([replaced(row) for row in super().rows(since=since)])

    breaks: ClassVar[set[str]] = {
        "test_does_not_hold_all_rows_at_once",
    }


class TestBeginsADayLater(Staged):
    class Made(Book):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            return super().rows(since=since and since + timedelta(days=1))

    breaks: ClassVar[set[str]] = {
        "test_yields_rows_since_a_date",
        "test_adds_up_since_a_date",
    }


class TestBeginsTheDayInNewZealand(Staged):
    class Made(Book):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            for row in super().rows():
                if (
                    since is None
                    or (row.created_at + timedelta(hours=12)).date() >= since
                ):
                    yield row

    breaks: ClassVar[set[str]] = {
        "test_yields_rows_since_a_date",
        "test_adds_up_since_a_date",
    }


class TestAddsUpAllOfTime(Staged):
    class Made(Book):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            return super().totals(by)

    breaks: ClassVar[set[str]] = {
        "test_adds_up_since_a_date",
    }


class TestAddsUpNothing(Staged):
    class Made(Book):
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
    class Made(Book):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            found = super().totals(by, since=since)
            return tuple(replaced(total, images=total.calls) for total in found)

    breaks: ClassVar[set[str]] = {
        "test_adds_everything_up",
    }


class TestCannotAddUpWhatIsUnknown(Staged):
    class Made(Book):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            found = super().totals(by, since=since)
            return tuple(t for t in found if t.unknown < t.calls)

    breaks: ClassVar[set[str]] = {
        "test_adds_up_what_is_unknown",
    }


class TestTellsAllModelsApart(Staged):
    class Made(Book):
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
    class Made(Book):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            return super().totals(sorted(by), since=since)

    breaks: ClassVar[set[str]] = {
        "test_orders_by_the_dimensions_as_given",
    }


class TestHasTheOldestWeekFirst(Staged):
    class Made(Book):
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
    class Made(Book):
        def totals(
            self, by: Sequence[Dimension], *, since: date | None = None
        ) -> tuple[UsageTotal, ...]:
            rows = [
                replaced(row, created_at=row.created_at.replace(tzinfo=UTC))
                for row in self.kept.values()
            ]
            return self.totals_of(rows, by, since=since)

    breaks: ClassVar[set[str]] = {
        "test_counts_iso_weeks_of_utc",
    }


class TestLetsAnOsErrorOut(Staged):
    class Broken(Burnt):
        error = OSError("Input/output error")

    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_broken",
    }


class TestSaysNoSentence(Staged):
    class Broken(Burnt):
        error = JournalError("EIO")

    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_broken",
    }


def _last_letter(row: UsageRow) -> str:
    return row.id[-1]
