from datetime import timedelta
from pathlib import Path

import pytest
from tests.contract_internal.samples import sample_call

from imagen.adapters.database.connection import Database
from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.ledger import SqliteLedger
from imagen.domain.errors import OverBudget
from imagen.domain.money.budget import BudgetLimit
from imagen.domain.money.usage import DIMENSIONS
from imagen.testing.samples import MONDAY, sample_row


def test_a_row_of_unknown_cost_counts_as_its_open_call_does(tmp_path: Path) -> None:
    database = Database(tmp_path)
    journal = SqliteJournal(database)
    journal.begin([sample_call(1, reserved=40)])
    SqliteLedger(database).record([sample_row(1, cost=None)])
    until = MONDAY + timedelta(days=7)
    limit = BudgetLimit(label="", backend="", since=MONDAY, until=until, micros=100)

    with pytest.raises(OverBudget):
        journal.begin([sample_call(2, reserved=21)], limits=[limit])


def test_names_may_be_no_text(tmp_path: Path) -> None:
    ledger = SqliteLedger(Database(tmp_path))
    ledger.record([sample_row(1, caller="no-utf-8-\udcff")])

    [row] = ledger.rows()

    assert row.caller == "no-utf-8-?"


def test_stops_reading_when_nobody_wants_more(tmp_path: Path) -> None:
    ledger = SqliteLedger(Database(tmp_path))
    ledger.record([sample_row(number) for number in range(500)])
    rows = ledger.rows()

    assert next(rows) == sample_row(499)
    ledger.record([sample_row(500)])
    assert next(rows) == sample_row(498)
    del rows

    assert ledger.totals([])[0].calls == 501


@pytest.mark.parametrize("since", [None, (MONDAY - timedelta(days=1)).date()])
def test_a_dimension_that_is_given_twice_counts_once(
    tmp_path: Path, since: None
) -> None:
    ledger = SqliteLedger(Database(tmp_path))
    ledger.record([sample_row()])

    twice = ledger.totals([*DIMENSIONS, "week"], since=since)

    assert twice == ledger.totals(DIMENSIONS, since=since)
