"""The journal: what it adds to an image that cost money, and to one that did not."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.common import ROOT, Verdicts, arguments
from msgspec.structs import replace
from tests.contract_internal.samples import sample_call, sample_entry, sample_received

from imagen.adapters.storage.local import LocalStorage
from imagen.domain.call import CallAccepted, CallClosed, CallReceived, CallSending
from imagen.domain.idempotency import UNKEYED_COMMANDS, RequestKey
from imagen.testing.samples import sample_id, sample_row

PAID_LIMIT_MS = 6.0
FREE_LIMIT_MS = 2.0
WAIT_LIMIT_MS = 1000.0
ROUNDS = 60
IMAGE = os.urandom(1_500_000)
CROWD = ROOT / "tests" / "integration" / "sqlite_drills.py"


def main(argv: Sequence[str] | None = None) -> int:
    smoke = arguments(__doc__).parse_args(argv).smoke
    rounds = 2 if smoke else ROUNDS
    verdicts = Verdicts(smoke=smoke)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        time_paid_call(folder, rounds, verdicts)
        time_free_image(folder, rounds // 2, verdicts)
        time_crowd(folder / "crowd", verdicts)
    return verdicts.exit_code()


def time_paid_call(folder: Path, rounds: int, verdicts: Verdicts) -> None:
    """Time all that is written of a paid call, beside saving its image."""
    from imagen.adapters.database.connection import Database
    from imagen.adapters.database.history import SqliteHistory
    from imagen.adapters.database.idempotency import SqliteRequestKeys
    from imagen.adapters.database.journal import SqliteJournal

    database = Database(folder)
    journal, history = SqliteJournal(database), SqliteHistory(database)
    keys = SqliteRequestKeys(database, journal.process_lock)
    storage, received = LocalStorage(folder / "images"), sample_received(IMAGE)
    without: list[float] = []
    added: list[float] = []

    def save(number: int) -> None:
        storage.save(f"{number}.png", IMAGE, media_type="image/png", sidecar=b"{}")

    def account(number: int) -> None:
        call_id, call = sample_id(number), sample_call(number)
        key = RequestKey(caller=UNKEYED_COMMANDS, key=call_id, fingerprint="ab" * 32)
        keys.list_requests(UNKEYED_COMMANDS)
        keys.claim(key, at=call.created_at, calls=[call])
        journal.begin([call])
        journal.record(call_id, CallSending())
        journal.record(call_id, CallAccepted(reference=f"job-{number}"))
        journal.record(call_id, CallReceived(received=received))
        history.add([sample_entry(number)])
        journal.record(call_id, CallClosed(usage=sample_row(number)))
        keys.release(key)

    for number in range(rounds):
        without.append(milliseconds(lambda number=number: save(number)))
        added.append(milliseconds(lambda number=number: account(number)))
    journal.close()
    both = statistics.median(map(sum, zip(without, added, strict=True)))
    print(
        f"paid image of 1.5 MB: {statistics.median(without):.1f} ms to save without "
        f"the journal, {both:.1f} ms with it"
    )
    what = "added by the journal to a paid image"
    verdicts.at_most(what, statistics.median(added), PAID_LIMIT_MS, " ms")


def time_free_image(folder: Path, rounds: int, verdicts: Verdicts) -> None:
    """Time the one row of a free image in processes that have not yet opened it."""
    module = ["-m", "benchmarks.bench_journal", "one-free-image", str(folder)]
    command = [sys.executable, *module]
    seen = [
        tuple(map(float, subprocess.check_output(command, cwd=ROOT).split()))
        for _ in range(rounds)
    ]
    loading, adding, closing = (
        statistics.median(each) for each in zip(*seen, strict=True)
    )
    print(f"free image: {loading:.1f} ms to load SQLite, {closing:.1f} ms to close it")
    what = "to open SQLite and add the row of a free image"
    verdicts.at_most(what, adding, FREE_LIMIT_MS, " ms")


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


def time_crowd(folder: Path, verdicts: Verdicts) -> None:
    """Have 50 processes make a paid call at the same moment, the first of all."""
    done = subprocess.check_output([sys.executable, str(CROWD), "crowd", str(folder)])
    seen = json.loads(done)
    verdicts.promise("50 processes at once: none fails", holds=not seen["failed"])
    wait = seen["longest_wait"] * 1000
    verdicts.at_most("the longest wait among 50 processes", wait, WAIT_LIMIT_MS, " ms")


def milliseconds(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    if sys.argv[1:2] == ["one-free-image"]:
        record_free_image(Path(sys.argv[2]))
    else:
        sys.exit(main())
