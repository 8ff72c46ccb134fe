"""The usage report over 1,000,000 rows, and the delivery of what 1,000 images owe.

A real PostgREST and PostgreSQL. The report is held against 3 s (a hosted project gives
up after 8 s), the ledger against 100 rows a second; not one row may be missing.

    python -m benchmarks.bench_supabase [--rows N] [--pending N]
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import Verdicts, arguments, skip
from tests.integration.supabase.machine import Machine, missing_or_twice
from tests.integration.supabase.pending import add_pending
from tests.integration.supabase.project import SupabaseProject, missing_parts
from tests.integration.supabase.rows import Caller

LIMIT = 3.0
LEAST = 100.0
"""Rows a second."""

FILL = """
    insert into mai.imagen_usage
    select gen_random_uuid(), now() - n * interval '1 minute', 'caller-' || n % 7,
           'backend-' || n % 5, 'adapter', 'vendor/model-' || n % 11, 'ok', 1234, 2,
           nullif(n % 10, 0) / 1000.0, 'reported', repeat('0', 64)
      from generate_series(1, {rows}) as n
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pending", type=int, default=1_000)
    given = parser.parse_args(argv)
    rows, pending = (500, 4) if given.smoke else (given.rows, given.pending)
    if missing := missing_parts():
        return skip(missing)
    verdicts = Verdicts(smoke=given.smoke)
    worst = 0.0
    with (
        SupabaseProject() as project,
        Caller(project, key=project.service_key) as service,
    ):
        project.sql(FILL.format(rows=rows).encode())
        groups = [["caller", "model"], [], ["week"], ["week", "backend", "model"]]
        for by in groups[:1] if given.smoke else groups:
            start = time.perf_counter()
            totals = service.report(by=by).json()
            seconds = time.perf_counter() - start
            worst = max(worst, seconds)
            assert sum(total["calls"] for total in totals) == rows
            assert sum(total["images"] for total in totals) == 2 * rows
            print(
                f"usage report over {rows:,} rows by {', '.join(by) or 'nothing'}: "
                f"{len(totals):,} totals in {seconds:.2f} s"
            )
        project.reset()
        speeds = []
        with tempfile.TemporaryDirectory() as folder:
            for what in ("rows",) if given.smoke else ("rows", "images"):
                machine = Machine(Path(folder, what), project)
                add_pending(machine, **{what: pending})
                start = time.perf_counter()
                done = machine.run("sync")
                speeds.append(pending / (time.perf_counter() - start))
                assert done.code == 0, done.err
                assert missing_or_twice(machine) == []
                project.reset()
                print(f"sync of {pending:,} {what}: {speeds[-1]:.0f} a second")
    verdicts.at_least("delivery to the ledger", speeds[0], LEAST, " rows/s")
    verdicts.at_most("the slowest report", worst, LIMIT, " s")
    return verdicts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
