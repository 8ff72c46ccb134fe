"""What was spent is added up, and what may come on top is known."""

from datetime import date, timedelta

from tests.contract_internal.databases import temporary_database
from tests.contract_internal.samples import sample_call

from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.ledger import SqliteLedger
from imagen.domain.call import CallAccepted, CallClosed, CallSending
from imagen.domain.money.usage import DIMENSIONS, UsageTotal
from imagen.testing.samples import MONDAY, sample_row
from imagen.usecases.usage import ShowUsage


def show() -> tuple[ShowUsage, SqliteLedger, SqliteJournal]:
    database = temporary_database()
    ledger, journal = SqliteLedger(database), SqliteJournal(database)
    return ShowUsage(ledger=ledger, journal=journal, local=ledger), ledger, journal


def test_the_total_is_that_of_the_groups() -> None:
    usage, ledger, _ = show()
    ledger.record(
        [
            sample_row(1, cost=1, images=2),
            sample_row(2, cost=None, backend="other"),
            sample_row(3, cost=10**15, caller=""),
        ]
    )

    report = usage.run(DIMENSIONS)

    assert len(report.groups) == 3
    assert report.total == UsageTotal(
        calls=3, images=4, cost_micros=10**15 + 1, unknown=1
    )


def test_what_was_before_does_not_count() -> None:
    usage, ledger, _ = show()
    ledger.record([sample_row(1)])
    day = MONDAY.date()

    assert usage.run(["week"], since=day).total.calls == 1
    after = usage.run(["week"], since=date(day.year, day.month, day.day + 1))
    assert (after.groups, after.total.calls) == ((), 0)


def test_rows_after_today_are_found() -> None:
    usage, ledger, _ = show()
    today = MONDAY.date()
    ledger.record([sample_row(1, at=MONDAY)])

    assert usage.future(today) is None

    ledger.record([sample_row(2, at=MONDAY + timedelta(days=1), cost=7)])
    future = usage.future(today)
    assert future is not None
    assert (future.calls, future.cost_micros) == (1, 7)


def test_of_open_jobs_those_count_that_may_cost_and_may_have_been_sent() -> None:
    usage, _, journal = show()
    calls = {
        "unsent": sample_call(1),
        "sent": sample_call(2),
        "free": sample_call(3, may_cost=False),
        "unknown": sample_call(4, reserved=None),
        "over": sample_call(5),
    }
    journal.begin(list(calls.values()))
    journal.record(calls["sent"].id, CallSending())
    journal.record(calls["free"].id, CallSending())
    journal.record(calls["unknown"].id, CallAccepted(reference="x"))
    journal.record(calls["over"].id, CallClosed())
    while_it_lives = usage.pending()

    journal.close()

    assert while_it_lives.calls == 3  # the unsent one may be sent any moment
    assert usage.pending() == UsageTotal(
        calls=2, images=2, cost_micros=40_000, unknown=1
    )
