"""The usage report over 1,000,000 rows, and the delivery of what 1,000 images owe.

A real PostgREST and PostgreSQL. The report is held against 3 s (a hosted project gives
up after 8 s), the ledger against 100 rows a second; not one row may be missing.

    python benchmarks/bench_supabase.py [--rows N] [--pending N]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

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


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pending", type=int, default=1_000)
    given = parser.parse_args()
    rows, pending = given.rows, given.pending
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.integration.supabase.machine import Machine, missing_or_twice
    from tests.integration.supabase.pending import add_pending
    from tests.integration.supabase.project import SupabaseProject, missing_parts
    from tests.integration.supabase.rows import Caller

    if missing := missing_parts():
        print(f"usage report: skipped, {missing}")
        return 0
    worst = 0.0
    with (
        SupabaseProject() as project,
        Caller(project, key=project.service_key) as service,
    ):
        project.sql(FILL.format(rows=rows).encode())
        for by in ([], ["week"], ["week", "backend", "model"], ["caller", "model"]):
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
            for what in ("rows", "images"):
                machine = Machine(Path(folder, what), project)
                add_pending(machine, **{what: pending})
                start = time.perf_counter()
                done = machine.run("sync")
                speeds.append(pending / (time.perf_counter() - start))
                assert done.code == 0, done.err
                assert missing_or_twice(machine) == []
                project.reset()
                print(f"sync of {pending:,} {what}: {speeds[-1]:.0f} a second")
    verdict = "holds" if speeds[0] >= LEAST else "NOT REACHED"
    print(f"the ledger takes {speeds[0]:.0f} rows/s, at least {LEAST:g}: {verdict}")
    failed = speeds[0] < LEAST
    verdict = "holds" if worst <= LIMIT else "EXCEEDED"
    print(f"the slowest report {worst:.2f} s, limit {LIMIT:g} s: {verdict}")
    return 1 if failed or worst > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
