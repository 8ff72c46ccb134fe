"""Let the cloud and the command die at random; afterwards both sides have the same.

    python -m benchmarks.drill_cloud --runs 200 [--drill kill] [--seed N]

A Supabase project of our own (a real PostgreSQL and PostgREST), and the installed
command. Each drill makes images while something goes wrong; then all is mended, and
one `imagen sync` later local rows = remote rows, images = rows in imagen.images =
objects in the bucket, nothing twice.
"""

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import Verdicts, arguments, skip
from tests.integration.supabase.machine import Machine, missing_or_twice
from tests.integration.supabase.project import SupabaseProject, missing_parts

AT_ONCE = 50

Drill = Callable[[Machine, random.Random, int], object]


def main(argv: Sequence[str] | None = None) -> int:
    words = arguments(__doc__)
    words.add_argument("--runs", type=int, default=200)
    words.add_argument("--drill", choices=DRILLS, default=None)
    words.add_argument("--seed", type=int, default=None)
    given = words.parse_args(argv)
    if given.smoke:
        given.runs, given.drill = 1, given.drill or "line"
    if missing := missing_parts():
        return skip(missing)
    verdicts = Verdicts(smoke=given.smoke)
    with SupabaseProject() as project:
        for name in [given.drill] if given.drill else DRILLS:
            whole = _run(name, project, given.runs, given.seed)
            what = f"{name}: both sides have the same, nothing twice"
            verdicts.promise(what, holds=whole)
    return verdicts.exit_code()


def _run(name: str, project: SupabaseProject, runs: int, seed: int | None) -> bool:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder, "machine"), project)
        ends = DRILLS[name](machine, random.Random(seed), runs)
        project.heal()
        project.calm()
        pending = machine.pending
        done = machine.run("sync")
        wrong = missing_or_twice(machine)
        with machine.accounts() as (ledger, history, _):
            rows, images = len(list(ledger.rows())), len(list(history.find()))
        print(
            f"{name}: {ends}; {rows} rows and {images} images made, {pending[0]} and "
            f"{pending[1]} of them pending before the sync, which exited {done.code}; "
            f"{time.perf_counter() - began:.0f} s"
        )
        print(*wrong, sep="\n", end="\n" if wrong else "")
        project.reset()
        return not wrong and done.code == 0


def kill_command(machine: Machine, dice: random.Random, runs: int) -> object:
    """The command is killed at random moments."""
    began = time.perf_counter()
    machine.generate()
    usual = time.perf_counter() - began
    ends: Counter[str] = Counter()
    for number in range(runs):
        words = ("sync",) if number % 4 == 3 else ("generate", f"fox {number}")
        ends[machine.killed(*words, after=dice.uniform(0.1, usual * 1.05))] += 1
    return dict(ends)


def kill_postgres(machine: Machine, dice: random.Random, runs: int) -> object:
    """PostgreSQL is killed in the middle, and comes back."""
    return _strike_during_sync(
        machine, dice, runs, lambda: machine.project.kill("postgres")
    )


def freeze_postgrest(machine: Machine, dice: random.Random, runs: int) -> object:
    """PostgREST is frozen in the middle, and thaws."""
    return _strike_during_sync(
        machine, dice, runs, lambda: machine.project.freeze("postgrest")
    )


def fail_storage(machine: Machine, dice: random.Random, runs: int) -> object:
    """Storage answers 500, 502, 503 or 504, now and then after it has done it."""

    def strike() -> None:
        machine.project.trouble(
            "/storage/v1",
            status=dice.choice([500, 502, 503, 504]),
            done=dice.random() < 0.5,
            times=1,
        )

    return _strike_during_sync(machine, dice, runs, strike, early=True)


def cut_connection(machine: Machine, dice: random.Random, runs: int) -> object:
    """The line is cut before or after a request, between bytes and row as well."""

    def strike() -> None:
        path = dice.choice(["/rest/v1/imagen_usage", "/storage/v1", "/rest/v1/images"])
        machine.project.trouble(path, cut=True, done=dice.random() < 0.5, times=1)

    return _strike_during_sync(machine, dice, runs, strike, early=True)


def sync_at_once(machine: Machine, _: random.Random, runs: int) -> object:
    """So many processes at once."""
    ends: Counter[int] = Counter()
    for number in range(max(1, runs // AT_ONCE)):
        words = ("generate", "fox {}", "-o", f"{number}-{{}}.png")
        ends.update(machine.crowd(AT_ONCE, *words))
    return f"{sum(ends.values())} processes, {AT_ONCE} at once, exits {dict(ends)}"


def _strike_during_sync(
    machine: Machine,
    dice: random.Random,
    runs: int,
    strike: Callable[[], None],
    *,
    early: bool = False,
) -> object:
    """Make images, and sync; strike in the middle of each, or right before it."""
    ends: Counter[str] = Counter()
    for number in range(runs):
        machine.generate(f"fox {number}", SUPABASE_URL="http://127.0.0.1:9")
        if early:
            strike()
        process = machine.start("sync")
        if not early:
            time.sleep(dice.uniform(0.2, 1.0))
            strike()
            time.sleep(dice.uniform(0, 0.3))
            machine.project.heal()
        ends[f"exit {process.wait(60)}"] += 1
        machine.project.calm()
    return dict(ends)


DRILLS: dict[str, Drill] = {
    "kill": kill_command,
    "postgres": kill_postgres,
    "postgrest": freeze_postgrest,
    "storage": fail_storage,
    "line": cut_connection,
    "crowd": sync_at_once,
}


if __name__ == "__main__":
    sys.exit(main())
