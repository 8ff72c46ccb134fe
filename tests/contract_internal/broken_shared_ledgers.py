"""A correct shared ledger and faulty ones; `breaks` lists the tests that each fails.

What it promises of its rows and totals is what a ledger of this machine promises, so
some that are ill in that way are ill in this one. Not collected by itself:
`test_the_contracts.py` runs it and compares.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar

import pytest
from tests.contract import broken_ledgers as ill
from tests.contract_internal.contracts.cloud import SharedLedgerContract
from tests.contract_internal.fakes.cloud import MemorySharedLedger

from imagen.domain.errors import ImagenError, Unauthorized, Unavailable
from imagen.domain.money.usage import UsageRow

AWAY = Unavailable("It is not reached.")
CLOSED = Unauthorized("It does not take the key.", hint="Get another.")
CUT = 1000
"""Rows per response of a server that does not report that there are more."""


class Book(MemorySharedLedger, ill.Book):
    """A correct shared ledger; several instances may share the rows."""


class Staged(SharedLedgerContract):
    Made: ClassVar[type[Book]] = Book
    away_with: ClassVar[Exception] = AWAY
    closed_with: ClassVar[Exception] = CLOSED
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def shared(self) -> Book:
        return self.Made()

    @pytest.fixture
    def another_shared(self, shared: Book) -> Book:
        return shared.another()

    @pytest.fixture
    def away(self) -> Book:
        return in_trouble(self.Made(), self.away_with)

    @pytest.fixture
    def closed(self) -> Book:
        return in_trouble(self.Made(), self.closed_with)


def in_trouble(book: Book, trouble: Any) -> Book:
    book.trouble = trouble
    return book


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class TestAddsUpNothing(Staged):
    class Made(Book, ill.TestAddsUpNothing.Made): ...

    breaks: ClassVar[set[str]] = ill.TestAddsUpNothing.breaks


class TestYieldsTheOldestFirst(Staged):
    class Made(Book, ill.TestYieldsTheOldestFirst.Made): ...

    breaks: ClassVar[set[str]] = {
        *ill.TestYieldsTheOldestFirst.breaks,
        "test_tells_what_it_can_never_keep",
        "test_yields_more_rows_than_an_answer_has",
        "test_is_opened_again",
    }


class TestKeepsARowAgain(Staged):
    class Made(Book, ill.TestKeepsARowAgain.Made): ...

    breaks: ClassVar[set[str]] = ill.TestKeepsARowAgain.breaks


class TestKnowsOnlyItsOwn(Staged):
    class Made(Book, ill.TestKnowsOnlyItsOwn.Made): ...

    breaks: ClassVar[set[str]] = ill.TestKnowsOnlyItsOwn.breaks


class TestBeginsADayLater(Staged):
    class Made(Book, ill.TestBeginsADayLater.Made): ...

    breaks: ClassVar[set[str]] = ill.TestBeginsADayLater.breaks


class TestHoldsAllRows(Staged):
    class Made(Book, ill.TestHoldsAllRows.Made): ...

    breaks: ClassVar[set[str]] = ill.TestHoldsAllRows.breaks


class TestTellsAllModelsApart(Staged):
    class Made(Book, ill.TestTellsAllModelsApart.Made): ...

    breaks: ClassVar[set[str]] = ill.TestTellsAllModelsApart.breaks


class TestCountsWeeksWhereTheCallerIs(Staged):
    class Made(Book, ill.TestCountsWeeksWhereTheCallerIs.Made): ...

    breaks: ClassVar[set[str]] = ill.TestCountsWeeksWhereTheCallerIs.breaks


class TestCountsRowsForImages(Staged):
    class Made(Book, ill.TestCountsRowsForImages.Made): ...

    breaks: ClassVar[set[str]] = ill.TestCountsRowsForImages.breaks


class TestStumblesOverNothing(Staged):
    class Made(Book):
        def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
            assert rows[0].id
            return super().deliver(rows)

    breaks: ClassVar[set[str]] = {
        "test_takes_nothing",
    }


class TestRefusesAllForOne(Staged):
    class Made(Book):
        def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
            if all(row.images >= 0 for row in rows):
                return super().deliver(rows)
            return {row.id: "There is an odd one among them." for row in rows}

    breaks: ClassVar[set[str]] = {
        "test_tells_what_it_can_never_keep",
    }


class TestLeavesOutWhatItCannotKeep(Staged):
    class Made(Book):
        def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
            super().deliver(rows)
            return {}

    breaks: ClassVar[set[str]] = {
        "test_tells_what_it_can_never_keep",
    }


class TestDoesNotSayWhy(Staged):
    class Made(Book):
        def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
            return dict.fromkeys(super().deliver(rows), "")

    breaks: ClassVar[set[str]] = {
        "test_tells_what_it_can_never_keep",
    }


class TestIsCutOff(Staged):
    class Made(Book):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            return iter(list(super().rows(since=since))[:CUT])

    breaks: ClassVar[set[str]] = {
        "test_yields_more_rows_than_an_answer_has",
        "test_does_not_hold_all_rows_at_once",
    }


class TestTurnsPagesByTheTimeAlone(Staged):
    class Made(Book):
        def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
            yielded: list[UsageRow] = []
            for row in super().rows(since=since):
                last = yielded[-1].created_at if yielded else None
                if len(yielded) % CUT or row.created_at != last:
                    yielded.append(row)
                    yield row

    breaks: ClassVar[set[str]] = {
        "test_yields_more_rows_than_an_answer_has",
    }


class TestIsClosedForGood(Staged):
    class Made(Book):
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


class TestSaysNoSentence(Staged):
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
    class Made(Book):
        def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
            return {} if self.trouble is CLOSED else super().deliver(rows)

    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_closed",
    }
