"""The journal: what it adds to an image that cost money, and to one that did not."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.contract_internal.samples import sample_call, sample_entry, sample_received

from imagen.adapters.storage.local import LocalStorage
from imagen.domain.call import CallAccepted, CallClosed, CallReceived, CallSending
from imagen.testing.samples import sample_id, sample_row

PAID_LIMIT_MS = 8.0
FREE_LIMIT_MS = 2.0
WAIT_LIMIT_MS = 1000.0
ROUNDS = 60
IMAGE = os.urandom(1_500_000)
CROWD = Path(__file__).parents[1] / "tests" / "integration" / "sqlite_drills.py"


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        holds = [
            time_paid_call(folder),
            time_free_image(folder),
            time_crowd(folder / "crowd"),
        ]
    return 0 if all(holds) else 1


def time_paid_call(folder: Path) -> bool:
    """Time all that is written of a paid call, beside saving its image."""
    from imagen.adapters.database.connection import Database
    from imagen.adapters.database.history import SqliteHistory
    from imagen.adapters.database.journal import SqliteJournal

    database = Database(folder)
    journal, history = SqliteJournal(database), SqliteHistory(database)
    storage, received = LocalStorage(folder / "images"), sample_received(IMAGE)
    without: list[float] = []
    added: list[float] = []

    def save(number: int) -> None:
        storage.save(f"{number}.png", IMAGE, media_type="image/png", sidecar=b"{}")

    def account(number: int) -> None:
        call_id = sample_id(number)
        journal.begin([sample_call(number)])
        journal.record(call_id, CallSending())
        journal.record(call_id, CallAccepted(reference=f"job-{number}"))
        journal.record(call_id, CallReceived(received=received))
        history.add([sample_entry(number)])
        journal.record(call_id, CallClosed(usage=sample_row(number)))

    for number in range(ROUNDS):
        without.append(milliseconds(lambda number=number: save(number)))
        added.append(milliseconds(lambda number=number: account(number)))
    journal.close()
    both = statistics.median(map(sum, zip(without, added, strict=True)))
    return report(
        f"paid image of 1.5 MB: {statistics.median(without):.1f} ms to save without "
        f"the journal, {both:.1f} ms with it; it adds",
        statistics.median(added),
        PAID_LIMIT_MS,
    )


def time_free_image(folder: Path) -> bool:
    """Time the one row of a free image in processes that have not yet opened it."""
    command = [sys.executable, __file__, "one-free-image", str(folder)]
    seen = [
        tuple(map(float, subprocess.check_output(command).split()))
        for _ in range(ROUNDS // 2)
    ]
    loading, adding, closing = (
        statistics.median(each) for each in zip(*seen, strict=True)
    )
    return report(
        f"free image: {loading:.1f} ms to load SQLite, {closing:.1f} ms to close it; "
        "to open it and add the row takes",
        adding,
        FREE_LIMIT_MS,
    )


def record_free_image(folder: Path) -> None:
    """Print the milliseconds of each step."""
    entry = replace(sample_entry(9000), location="/home/me/images/9000.png")
    entry = replace(entry, sidecar=replace(entry.sidecar, usage_id=None))
    loading = milliseconds(lambda: import_module("imagen.adapters.database.history"))
    from imagen.adapters.database.connection import Database
    from imagen.adapters.database.history import SqliteHistory

    database = Database(folder)
    adding = milliseconds(lambda: SqliteHistory(database).add([entry]))
    print(loading, adding, milliseconds(database.close))


def time_crowd(folder: Path) -> bool:
    """Have 50 processes make a paid call at the same moment, the first of all."""
    done = subprocess.check_output([sys.executable, str(CROWD), "crowd", str(folder)])
    seen = json.loads(done)
    wait = seen["longest_wait"] * 1000
    what = f"50 processes at once: {len(seen['failed'])} failed, the longest wait"
    return report(what, wait, WAIT_LIMIT_MS) and not seen["failed"]


def milliseconds(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return (time.perf_counter() - start) * 1000


def report(what: str, value: float, limit: float) -> bool:
    holds = value <= limit
    verdict = "holds" if holds else "EXCEEDED"
    print(f"{what} {value:.1f} ms, limit {limit:g} ms: {verdict}")
    return holds


if __name__ == "__main__":
    if sys.argv[1:2] == ["one-free-image"]:
        record_free_image(Path(sys.argv[2]))
    else:
        sys.exit(main())
