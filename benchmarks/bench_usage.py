"""The ledger: totals, rows and a budget over a million calls, in time and memory."""

import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.contract_internal.samples import sample_call

from imagen.adapters.database.connection import Database
from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.ledger import SqliteLedger
from imagen.adapters.database.schema import datetime_to_micros
from imagen.domain.money.budget import BudgetLimit
from imagen.domain.money.usage import DIMENSIONS, iso_week

ROWS = 1_000_000
THIS_WEEK = 100_000
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


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        database = Database(Path(name))
        fill(database)
        holds = [time_totals(database), time_rows(database), time_budget(database)]
    return 0 if all(holds) else 1


def fill(database: Database) -> None:
    """Put a tenth of the rows into this week, and the others into the year before."""
    weeks = [(THIS_WEEK, MONDAY)]
    weeks += [
        ((ROWS - THIS_WEEK) // 45, MONDAY - timedelta(weeks=n)) for n in range(1, 46)
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


def time_totals(database: Database) -> bool:
    ledger = SqliteLedger(database)
    holds = True
    for by in (DIMENSIONS, DIMENSIONS[1:], DIMENSIONS[:1], ()):
        before, start = peak_memory(), time.perf_counter()
        found = ledger.totals(by)
        took, grown = (time.perf_counter() - start) * 1000, peak_memory() - before
        assert sum(total.calls for total in found) == ROWS
        holds &= report(
            f"{ROWS:,} rows by {', '.join(by) or 'nothing'}: {len(found):,} totals",
            took=took,
            grown=grown,
        )
    return holds


def time_rows(database: Database) -> bool:
    before, start = peak_memory(), time.perf_counter()
    seen = sum(1 for _ in SqliteLedger(database).rows())
    took, grown = (time.perf_counter() - start) * 1000, peak_memory() - before
    assert seen == ROWS
    return report(f"{ROWS:,} rows, one by one in {took / 1000:.1f} s", grown=grown)


def time_budget(database: Database) -> bool:
    journal = SqliteJournal(database)
    week = BudgetLimit(
        label="week_usd", backend="", since=MONDAY, until=NOW, micros=10**12
    )
    journal.begin([sample_call(1)])
    start = time.perf_counter()
    journal.begin([sample_call(2)], limits=[week])
    took = (time.perf_counter() - start) * 1000
    journal.close()
    return report(f"a call under a budget for a week of {THIS_WEEK:,} rows", took=took)


def peak_memory() -> float:
    """Return the most MiB that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(what: str, *, took: float = 0.0, grown: float = 0.0) -> bool:
    holds = took <= LIMIT_MS and grown <= LIMIT_MIB
    figures = [f"{took:.0f} ms, limit {LIMIT_MS:g} ms"] if took else []
    figures += (
        [f"{grown:.1f} MiB more, limit {LIMIT_MIB:g} MiB"] if not took or grown else []
    )
    print(f"{what}: {'; '.join(figures)}: {'holds' if holds else 'EXCEEDED'}")
    return holds


if __name__ == "__main__":
    sys.exit(main())
