"""A correct shared ledger and faulty ones; `breaks` lists the tests that each fails.

What it promises of its rows and totals is what a ledger of this machine promises, so
some have the faults of a broken ledger. Not collected by itself: `test_broken.py` runs
it and compares.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.contract import broken_ledgers as broken
from tests.contract_internal.contracts.cloud import SharedLedgerContract
from tests.contract_internal.databases import QuickDatabase
from tests.contract_internal.fakes.cloud import LocalSharedLedger

from imagen.domain.errors import ImagenError, Unauthorized, Unavailable
from imagen.domain.money.usage import UsageRow

AWAY = Unavailable("It is not reached.")
CLOSED = Unauthorized("It does not take the key.", hint="Get another.")
CUT = 1000
"""Rows per response of a server that does not report that there are more."""


class Staged(SharedLedgerContract):
    Made: ClassVar[type[LocalSharedLedger]] = LocalSharedLedger
    away_with: ClassVar[Exception] = AWAY
    closed_with: ClassVar[Exception] = CLOSED
    is_shared: ClassVar[bool] = True
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def shared(self, tmp_path: Path) -> LocalSharedLedger:
        return self.Made(QuickDatabase(tmp_path))

    @pytest.fixture
    def another_shared(self, tmp_path: Path) -> LocalSharedLedger:
        return self.Made(QuickDatabase(tmp_path if self.is_shared else tmp_path / "b"))

    @pytest.fixture
    def away(self, shared: LocalSharedLedger) -> LocalSharedLedger:
        return in_trouble(shared, self.away_with)

    @pytest.fixture
    def closed(self, shared: LocalSharedLedger) -> LocalSharedLedger:
        return in_trouble(shared, self.closed_with)


def in_trouble(ledger: LocalSharedLedger, trouble: Any) -> LocalSharedLedger:
    ledger.trouble = trouble
    return ledger


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class TestAddsUpNothing(Staged):
    class Made(LocalSharedLedger, broken.TestAddsUpNothing.Made): ...

    breaks: ClassVar[set[str]] = broken.TestAddsUpNothing.breaks


class TestYieldsTheOldestFirst(Staged):
    class Made(LocalSharedLedger, broken.TestYieldsTheOldestFirst.Made): ...

    breaks: ClassVar[set[str]] = {
        *broken.TestYieldsTheOldestFirst.breaks,
        "test_tells_what_it_can_never_keep",
        "test_yields_more_rows_than_an_answer_has",
        "test_is_opened_again",
    }


class TestKeepsARowAgain(Staged):
    class Made(LocalSharedLedger, broken.TestKeepsARowAgain.Made): ...

    breaks: ClassVar[set[str]] = broken.TestKeepsARowAgain.breaks


class TestKnowsOnlyItsOwn(Staged):
    is_shared = False
    breaks: ClassVar[set[str]] = broken.TestKnowsOnlyItsOwn.breaks


class TestBeginsADayLater(Staged):
    class Made(LocalSharedLedger, broken.TestBeginsADayLater.Made): ...

    breaks: ClassVar[set[str]] = broken.TestBeginsADayLater.breaks


class TestHoldsAllRows(Staged):
    class Made(LocalSharedLedger, broken.TestHoldsAllRows.Made): ...

    breaks: ClassVar[set[str]] = broken.TestHoldsAllRows.breaks


class TestTellsAllModelsApart(Staged):
    class Made(LocalSharedLedger, broken.TestTellsAllModelsApart.Made): ...

    breaks: ClassVar[set[str]] = broken.TestTellsAllModelsApart.breaks


class TestCountsWeeksWhereTheCallerIs(Staged):
    class Made(LocalSharedLedger, broken.TestCountsWeeksWhereTheCallerIs.Made): ...

    breaks: ClassVar[set[str]] = broken.TestCountsWeeksWhereTheCallerIs.breaks


class TestCountsRowsForImages(Staged):
    class Made(LocalSharedLedger, broken.TestCountsRowsForImages.Made): ...

    breaks: ClassVar[set[str]] = broken.TestCountsRowsForImages.breaks


class TestStumblesOverNothing(Staged):
    class Made(LocalSharedLedger):
        def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
            assert rows[0].id
            return super().deliver(rows)

    breaks: ClassVar[set[str]] = {
        "test_takes_nothing",
    }


class TestRefusesAllForOne(Staged):
    class Made(LocalSharedLedger):
        def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
            if all(row.images >= 0 for row in rows):
                return super().deliver(rows)
            return {row.id: "There is an odd one among them." for row in rows}

    breaks: ClassVar[set[str]] = {
        "test_tells_what_it_can_never_keep",
    }


class TestLeavesOutWhatItCannotKeep(Staged):
    class Made(LocalSharedLedger):
        def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
            super().deliver(rows)
            return {}

    breaks: ClassVar[set[str]] = {
        "test_tells_what_it_can_never_keep",
    }


class TestDoesNotSayWhy(Staged):
    class Made(LocalSharedLedger):
        def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
            return dict.fromkeys(super().deliver(rows), "")

    breaks: ClassVar[set[str]] = {
        "test_tells_what_it_can_never_keep",
    }


class TestIsCutOff(Staged):
    class Made(LocalSharedLedger):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            return iter(list(super().rows(since=since))[:CUT])

    breaks: ClassVar[set[str]] = {
        "test_yields_more_rows_than_an_answer_has",
        "test_does_not_hold_all_rows_at_once",
    }


class TestTurnsPagesByTheTimeAlone(Staged):
    class Made(LocalSharedLedger):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            yielded: list[UsageRow] = []
            for row in super().rows(since=since):
                last = yielded[-1].created_at if yielded else None
                if len(yielded) % CUT or row.created_at != last:
                    yielded.append(row)
                    yield row

    breaks: ClassVar[set[str]] = {
        "test_does_not_hold_all_rows_at_once",
        "test_yields_more_rows_than_an_answer_has",
    }


class TestIsClosedForGood(Staged):
    class Made(LocalSharedLedger):
        def close(self) -> None:
            self.trouble = AWAY

    breaks: ClassVar[set[str]] = {
        "test_is_opened_again",
    }


class TestLetsAnOsErrorOut(Staged):
    away_with: ClassVar[Exception] = OSError("Connection refused.")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_away",
    }


class TestRaisesAnErrorCode(Staged):
    away_with: ClassVar[Exception] = Unavailable("ECONNREFUSED")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_away",
    }


class TestTakesAwayForSomethingToSetUp(Staged):
    away_with: ClassVar[Exception] = CLOSED
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_away",
    }


class TestSaysNotWhatToDo(Staged):
    closed_with: ClassVar[Exception] = Unauthorized("It does not take the key.")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_closed",
    }


class TestTakesClosedForAway(Staged):
    closed_with: ClassVar[ImagenError] = AWAY
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_closed",
    }


class TestHidesThatItIsClosed(Staged):
    class Made(LocalSharedLedger):
        def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
            return {} if self.trouble is CLOSED else super().deliver(rows)

    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_closed",
    }
