"""The ledger: totals, rows and a budget over a million calls, in time and memory."""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.common import Verdicts, arguments
from tests.contract_internal.samples import sample_call

from imagen.adapters.database.connection import Database
from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.ledger import SqliteLedger
from imagen.adapters.database.schema import datetime_to_micros
from imagen.domain.money.budget import BudgetLimit
from imagen.domain.money.usage import DIMENSIONS, iso_week

ROWS = 1_000_000
NOW = datetime(2026, 11, 20, tzinfo=UTC)
MONDAY = NOW - timedelta(days=4)
LIMIT_MS = 1000.0
LIMIT_MIB = 16.0
"""Of memory, for all rows, whatever their number."""

FILL = """
    WITH RECURSIVE numbers (n) AS (
        SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count
    )
    INSERT INTO usage (
        id, created_at, week, caller, backend, adapter, model, status, latency_ms,
        images, cost_micros, cost_source, prompt_sha256, counted_micros
    )
    SELECT printf('019a%08x-%04x-7000-8000-%012x', :first + n, n % 65536, n * 7919),
        :start + n * :step, :week, 'caller-' || (n % 10), 'backend-' || (n / 7 % 4),
        'replicate', 'owner/model-' || (n / 3 % 8), 'ok', 4321, 1 + n % 2,
        CASE WHEN n % 50 THEN 25000 + n % 1000 END, 'reported',
        printf('%064x', n), 25000 + n % 1000
    FROM numbers
"""


def main(argv: Sequence[str] | None = None) -> int:
    smoke = arguments(__doc__).parse_args(argv).smoke
    rows = 1_000 if smoke else ROWS
    verdicts = Verdicts(smoke=smoke)
    with tempfile.TemporaryDirectory() as name:
        database = Database(Path(name))
        fill(database, rows)
        time_totals(database, rows, verdicts)
        time_rows(database, rows, verdicts)
        time_budget(database, rows // 10, verdicts)
        database.close()
    return verdicts.exit_code()


def fill(database: Database, rows: int) -> None:
    """Put a tenth of the rows into this week, and the others into the year before."""
    this_week = rows // 10
    weeks = [(this_week, MONDAY)]
    weeks += [
        ((rows - this_week) // 45, MONDAY - timedelta(weeks=n)) for n in range(1, 46)
    ]
    first = 0
    with database.writing(durable=False) as connection:
        for count, start in weeks:
            values = {
                "first": first,
                "count": count,
                "start": datetime_to_micros(start),
                "step": 3 * 86_400_000_000 // count,
                "week": iso_week(start),
            }
            connection.execute(FILL, values)
            first += count


def time_totals(database: Database, rows: int, verdicts: Verdicts) -> None:
    ledger = SqliteLedger(database)
    for by in (DIMENSIONS, DIMENSIONS[1:], DIMENSIONS[:1], ()):
        before, start = peak_memory(), time.perf_counter()
        found = ledger.totals(by)
        took, grown = (time.perf_counter() - start) * 1000, peak_memory() - before
        assert sum(total.calls for total in found) == rows
        what = f"{rows:,} rows by {', '.join(by) or 'nothing'}, {len(found):,} totals"
        verdicts.at_most(what, took, LIMIT_MS, " ms")
        verdicts.at_most(what, grown, LIMIT_MIB, " MiB more")


def time_rows(database: Database, rows: int, verdicts: Verdicts) -> None:
    before, start = peak_memory(), time.perf_counter()
    seen = sum(1 for _ in SqliteLedger(database).rows())
    took, grown = (time.perf_counter() - start) * 1000, peak_memory() - before
    assert seen == rows
    what = f"{rows:,} rows, one by one in {took / 1000:.1f} s"
    verdicts.at_most(what, grown, LIMIT_MIB, " MiB more")


def time_budget(database: Database, rows: int, verdicts: Verdicts) -> None:
    journal = SqliteJournal(database)
    week = BudgetLimit(
        label="week_usd", backend="", since=MONDAY, until=NOW, micros=10**12
    )
    journal.begin([sample_call(1)])
    start = time.perf_counter()
    journal.begin([sample_call(2)], limits=[week])
    took = (time.perf_counter() - start) * 1000
    journal.close()
    what = f"a call under a budget for a week of {rows:,} rows"
    verdicts.at_most(what, took, LIMIT_MS, " ms")


def peak_memory() -> float:
    """Return the most MiB that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
