"""The part of `JournalContract` about budget limits."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from tests.contract_internal.contracts.journal_calls import open_ids
from tests.contract_internal.samples import sample_call, sample_received

from imagen.domain.call import (
    Call,
    CallClosed,
    CallLeftOpen,
    CallReceived,
    CallSending,
)
from imagen.domain.errors import OverBudget
from imagen.domain.money.budget import BudgetLimit
from imagen.ports.journal import Journal
from imagen.ports.ledger import Ledger
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, run_at_once
from imagen.testing.samples import MONDAY, sample_id, sample_row


class BudgetsContract(Contract):
    """A part of `JournalContract`, which provides the fixtures."""

    def test_begins_what_a_limit_has_room_for(self, journal: Journal) -> None:
        """Calls that reserve exactly the limit are begun."""
        journal.begin([sample_call(reserved=40)], limits=[budget_limit(40)])

        assert open_ids(journal) == [sample_id(1)]

    def test_begins_none_of_what_is_over_a_limit(self, journal: Journal) -> None:
        """Calls that exceed one of the limits together are all refused."""
        calls = [sample_call(1, reserved=40), sample_call(2, reserved=40)]

        with pytest.raises(OverBudget):
            journal.begin(calls, limits=[budget_limit(1000), budget_limit(79)])

        assert journal.list_open() == ()

    def test_counts_what_is_reserved(self, journal: Journal) -> None:
        """The reservations of open calls count in every state."""
        journal.begin([sample_call(1, reserved=40), sample_call(2, reserved=40)])
        journal.record(sample_id(1), CallReceived(received=sample_received()))
        journal.record(sample_id(2), CallLeftOpen(reason="The network is down."))

        _check_remaining(journal, 20, of=budget_limit(100))

    def test_counts_nothing_for_what_a_dead_process_never_sent(
        self, journal: Journal, another: Journal, end: Callable[[], None]
    ) -> None:
        """Calls that a dead process only planned do not count."""
        # Otherwise each crash would reduce the budget for the rest of its period.
        journal.begin([sample_call(1, reserved=40), sample_call(2, reserved=40)])
        journal.record(sample_id(2), CallSending())
        end()

        _check_remaining(another, 60, of=budget_limit(100))

    def test_counts_what_was_spent(self, journal: Journal, ledger: Ledger) -> None:
        """A closed call counts with its cost instead of its reservation."""
        journal.begin([sample_call(1, reserved=40)])
        journal.record(sample_id(1), CallClosed(usage=sample_row(1, cost=30)))
        ledger.record([sample_row(2, cost=30)])

        _check_remaining(journal, 40, of=budget_limit(100))

    def test_counts_an_unknown_cost_as_reserved(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """A closed call with an unknown cost counts with its reservation."""
        # Counted as 0, unknown costs would exceed a budget without notice.
        journal.begin([sample_call(1, reserved=40)])
        journal.record(sample_id(1), CallClosed(usage=sample_row(1, cost=None)))
        ledger.record([sample_row(2, cost=None)])

        _check_remaining(journal, 60, of=budget_limit(100))

    def test_releases_what_cost_nothing(self, journal: Journal) -> None:
        """Closing a call without cost releases its reservation."""
        journal.begin([sample_call(1, reserved=40)])
        journal.record(sample_id(1), CallClosed())

        _check_remaining(journal, 100, of=budget_limit(100))

    def test_counts_from_when_the_limit_began(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """Costs count from the first moment of the limit's period."""
        ledger.record(
            [
                sample_row(1, at=MONDAY - timedelta(microseconds=1), cost=40),
                sample_row(2, at=MONDAY, cost=30),
            ]
        )

        _check_remaining(journal, 70, of=budget_limit(100))

    def test_counts_until_the_limit_ends(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """Costs that are dated after the limit's period do not count."""
        # A clock that was ahead for a moment would block the budget until that day.
        limit = budget_limit(100)
        ledger.record(
            [
                sample_row(1, at=limit.until, cost=40),
                sample_row(2, at=limit.until - timedelta(microseconds=1), cost=30),
            ]
        )

        _check_remaining(journal, 70, of=limit)

    def test_counts_what_the_limit_is_about(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """A limit of a backend counts only that backend's calls."""
        ledger.record([sample_row(101, cost=1), sample_row(102, backend="b", cost=2)])
        journal.begin(
            [sample_call(1, reserved=4), sample_call(2, backend="b", reserved=8)]
        )

        _check_remaining(journal, 95, of=budget_limit(100, backend="flux"))
        journal.begin(
            [sample_call(3, backend="b", reserved=96), sample_call(4, reserved=95)],
            limits=[budget_limit(100, backend="flux")],
        )

    def test_counts_whom_the_limit_is_about(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """A limit of a caller counts only that caller's calls."""
        ledger.record([sample_row(101, cost=1), sample_row(102, caller="b", cost=2)])
        journal.begin(
            [sample_call(1, reserved=4), sample_call(2, caller="b", reserved=8)]
        )

        _check_remaining(journal, 95, of=budget_limit(100, caller="writer"))
        journal.begin(
            [sample_call(3, caller="b", reserved=96), sample_call(4, reserved=95)],
            limits=[budget_limit(100, caller="writer")],
        )

    def test_counts_nothing_for_what_is_free(self, journal: Journal) -> None:
        """A call that cannot cost money needs no room in the budget."""
        free = [sample_call(n, may_cost=False, reserved=40) for n in (1, 2)]
        journal.begin(free[:1], limits=[budget_limit(0)])
        journal.begin(free[1:], limits=[budget_limit(0)])

        _check_remaining(journal, 10, of=budget_limit(10))

    def test_begins_as_many_as_there_is_room_for(
        self, journal: Journal, another: Journal
    ) -> None:
        """Simultaneous calls never exceed a limit together."""
        # Each process alone sees room, so check and reservation must be one
        # transaction.
        journals = [journal, another] * (CROWD // 2)

        def begin(n: int) -> None:
            journals[n].begin([sample_call(n, reserved=40)], limits=[budget_limit(100)])

        outcomes = run_at_once(begin)

        assert len(journal.list_open()) == outcomes.count(None) == 2
        assert sum(isinstance(one, OverBudget) for one in outcomes) == CROWD - 2


def budget_limit(micros: int, *, backend: str = "", caller: str = "") -> BudgetLimit:
    """Return a limit in micro-dollars for the week that begins at `MONDAY`."""
    return BudgetLimit(
        label="week_usd",
        backend=backend,
        caller=caller,
        since=MONDAY,
        until=MONDAY + timedelta(days=7),
        micros=micros,
    )


def _check_remaining(journal: Journal, micros: int, *, of: BudgetLimit) -> None:
    def begin(calls: Sequence[Call]) -> None:
        journal.begin(calls, limits=[of])

    with pytest.raises(OverBudget):
        begin([sample_call(900, reserved=micros + 1)])
    assert journal.committed_micros(of) == of.micros - micros
    begin([sample_call(901, reserved=micros)])
    journal.record(sample_id(901), CallClosed())
