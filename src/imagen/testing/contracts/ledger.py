"""The contract of `Ledger`, and the part that a shared ledger has, too."""

import tracemalloc
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import permutations

import pytest

from imagen.domain.errors import JournalError
from imagen.domain.money.usage import DIMENSIONS, Dimension, UsageRow, UsageTotal
from imagen.ports.ledger import Ledger
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, run_at_once
from imagen.testing.samples import MONDAY, sample_row

MIDNIGHT = datetime(2026, 11, 16, tzinfo=UTC)
# 5,000 rows take about 2 MB of memory when they are all held at once.
FEW, MANY = 1000, 5000


class RowsContract(Contract):
    """A part of `LedgerContract` and `SharedLedgerContract`: rows and totals."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        """A ledger without rows."""
        raise NotImplementedError("Override the fixture `ledger`.")

    @pytest.fixture
    def another(self) -> Ledger:
        """A second instance on the same rows, as in another process."""
        pytest.skip("the fixture `another` is not provided")

    def test_has_nothing_at_first(self, ledger: Ledger) -> None:
        """An empty ledger has no rows and no totals."""
        assert list(ledger.rows()) == []
        assert ledger.totals([]) == ()
        assert ledger.totals(DIMENSIONS) == ()

    def test_returns_what_was_recorded(self, ledger: Ledger) -> None:
        """A row comes back unchanged, to the microsecond."""
        unknown, free = sample_row(1, cost=None), sample_row(2, cost=0)
        ledger.record([unknown, free])

        assert list(ledger.rows()) == [free, unknown]

    def test_keeps_each_row_once(self, ledger: Ledger) -> None:
        """A row that is recorded several times is stored once."""
        # A row is delivered again when the first delivery was not acknowledged.
        ledger.record([sample_row(1), sample_row(1)])
        ledger.record([sample_row(2), sample_row(1)])

        assert list(ledger.rows()) == [sample_row(2), sample_row(1)]

    def test_keeps_each_row_once_whoever_records_it(
        self, ledger: Ledger, another: Ledger
    ) -> None:
        """Rows that are recorded at once are stored once each."""
        ledgers = [ledger, another] * (CROWD // 2)

        def record(n: int) -> None:
            ledgers[n].record([sample_row(0), sample_row(1 + n)])

        assert run_at_once(record) == [None] * CROWD
        assert list(ledger.rows()) == [sample_row(n) for n in range(CROWD, -1, -1)]

    def test_is_seen_by_another(self, ledger: Ledger, another: Ledger) -> None:
        """A row that one instance records is visible to another."""
        ledger.record([sample_row()])

        assert list(another.rows()) == [sample_row()]
        assert another.totals([]) == ledger.totals([])

    def test_yields_the_newest_first(self, ledger: Ledger) -> None:
        """Rows are sorted by their creation, the newest first."""
        ledger.record([sample_row(2), sample_row(3)])
        ledger.record([sample_row(1)])

        assert list(ledger.rows()) == [sample_row(n) for n in (3, 2, 1)]

    def test_yields_rows_since_a_date(self, ledger: Ledger) -> None:
        """`since` includes rows from the first moment of the UTC date."""
        first, before = sample_row(2, at=MIDNIGHT), _just_before(1)
        ledger.record([before, first])

        assert list(ledger.rows(since=MIDNIGHT.date())) == [first]
        assert list(ledger.rows(since=date(2026, 11, 15))) == [first, before]
        assert list(ledger.rows(since=date(2026, 11, 17))) == []

    def test_does_not_hold_all_rows_at_once(self, ledger: Ledger) -> None:
        """The memory of an iteration does not grow with the number of rows."""
        ledger.record([sample_row(n) for n in range(FEW)])
        # The first iteration imports modules and fills caches, which is not measured.
        assert sum(1 for _ in ledger.rows()) == FEW
        _, few = _measure_iteration(ledger)
        ledger.record([sample_row(n) for n in range(FEW, MANY)])
        seen, many = _measure_iteration(ledger)

        assert seen == MANY
        assert many < 2 * few + 60 * MANY

    def test_adds_everything_up(self, ledger: Ledger) -> None:
        """Without dimensions there is one total; unknown costs are counted apart."""
        # A sum alone would present unknown costs as 0.
        ledger.record(
            [
                sample_row(1, images=1, cost=25_000),
                sample_row(2, images=4, cost=35),
                sample_row(3, images=0, cost=None),
                sample_row(4, images=1, cost=0),
            ]
        )

        total = UsageTotal(calls=4, images=6, cost_micros=25_035, unknown=1)
        assert ledger.totals([]) == (total,)

    def test_adds_up_what_is_unknown(self, ledger: Ledger) -> None:
        """A total of unknown costs only is 0, with their count."""
        ledger.record([sample_row(cost=None)])

        total = UsageTotal(calls=1, images=1, cost_micros=0, unknown=1)
        assert ledger.totals([]) == (total,)

    def test_adds_up_each_group(self, ledger: Ledger) -> None:
        """Totals are grouped by the given dimensions only."""
        ledger.record(
            [
                sample_row(1, backend="b", caller="x", cost=1),
                sample_row(2, backend="b", caller="", cost=2),
                sample_row(3, backend="b", caller="x", model="m", cost=4),
                sample_row(4, backend="a", caller="x", cost=8),
            ]
        )

        assert [
            (total.backend, total.caller, total.model, total.week, total.cost_micros)
            for total in ledger.totals(["backend", "caller"])
        ] == [
            ("a", "x", None, None, 8),
            ("b", "", None, None, 2),
            ("b", "x", None, None, 5),
        ]

    @pytest.mark.parametrize(
        "by", [*permutations(DIMENSIONS, 1), *permutations(DIMENSIONS)]
    )
    def test_orders_by_the_dimensions_as_given(
        self, ledger: Ledger, by: tuple[Dimension, ...]
    ) -> None:
        """Totals are sorted by the dimensions, the newest week first."""
        rows = [
            sample_row(
                number,
                at=MONDAY + timedelta(weeks=number % 2),
                backend="ab"[number // 2 % 2],
                model="Zz"[number // 4 % 2],
                caller="öz"[number // 8],
            )
            for number in range(16)
        ]
        ledger.record(rows)

        totals = ledger.totals(by)

        keys = [tuple(str(getattr(total, name)) for name in by) for total in totals]
        expected = sorted({tuple(getattr(row, name) for name in by) for row in rows})
        if "week" in by:
            weeks = by.index("week")
            expected.sort(key=lambda key: key[weeks], reverse=True)
            expected.sort(key=lambda key: key[:weeks])
        assert keys == expected
        assert sum(total.calls for total in totals) == len(rows)

    def test_counts_iso_weeks_of_utc(self, ledger: Ledger) -> None:
        """A week is the ISO week of the row's time in UTC."""
        # 3 January 2027 is a Sunday, in the last ISO week of 2026.
        east = timezone(timedelta(hours=9))
        ledger.record(
            [
                sample_row(1, at=datetime(2027, 1, 3, 23, 59, tzinfo=UTC)),
                sample_row(2, at=datetime(2027, 1, 4, 8, 59, tzinfo=east)),
                sample_row(3, at=datetime(2027, 1, 4, 9, 0, tzinfo=east)),
            ]
        )

        weeks = [(total.week, total.calls) for total in ledger.totals(["week"])]
        assert weeks == [("2027-W01", 1), ("2026-W53", 2)]

    def test_adds_up_since_a_date(self, ledger: Ledger) -> None:
        """`since` limits totals to rows from the first moment of the UTC date."""
        ledger.record([_just_before(1), sample_row(2, at=MIDNIGHT, backend="b")])

        [total] = ledger.totals(["backend"], since=MIDNIGHT.date())
        assert (total.backend, total.calls) == ("b", 1)
        assert ledger.totals([], since=date(2026, 11, 17)) == ()


class LedgerContract(RowsContract, Contract):
    """The tests that every `Ledger` must pass.

    Override `ledger`, and `another` and `broken_ledger` as far as possible.
    """

    @pytest.fixture
    def broken_ledger(self) -> Ledger:
        """A ledger that can be neither read nor written."""
        pytest.skip("the fixture `broken_ledger` is not provided")

    @pytest.mark.parametrize("method", ["record", "rows", "totals"])
    def test_says_that_it_is_broken(self, broken_ledger: Ledger, method: str) -> None:
        """A ledger that cannot be read or written raises JournalError."""
        calls: dict[str, Callable[[], object]] = {
            "record": lambda: broken_ledger.record([sample_row()]),
            "rows": lambda: list(broken_ledger.rows()),
            "totals": lambda: broken_ledger.totals(DIMENSIONS),
        }

        with pytest.raises(JournalError) as failed:
            calls[method]()

        assert failed.value.message.endswith(".")


def _measure_iteration(ledger: Ledger) -> tuple[int, int]:
    """Return the number of rows and the peak memory in bytes of iterating them."""
    tracemalloc.start()
    try:
        seen = sum(1 for _ in ledger.rows())
        return seen, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _just_before(number: int) -> UsageRow:
    return sample_row(number, at=MIDNIGHT - timedelta(microseconds=1))
