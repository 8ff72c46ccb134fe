"""Processes that use one database at once, and die.

    sqlite_drills.py DRILL FOLDER [COUNT]

A program of its own, without threads, so that it can fork. It prints JSON.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # it runs as a script

from tests.contract_internal.samples import sample_call, sample_entry, sample_received

from imagen.adapters.database.connection import Database
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.ledger import SqliteLedger
from imagen.domain.call import CallAccepted, CallClosed, CallReceived, CallSending
from imagen.domain.errors import JournalError, OverBudget
from imagen.domain.money.budget import BudgetLimit
from imagen.testing.samples import MONDAY, sample_id, sample_row

IMAGE = os.urandom(1_500_000)
STEPS = ("planned", "sent", "accepted", "received", "closed")


class Accounts:
    """The journal, ledger and history of one process."""

    def __init__(self, folder: Path, *, patience: float = 30) -> None:
        database = Database(folder, patience=patience)
        self.journal = SqliteJournal(database)
        self.ledger = SqliteLedger(database)
        self.history = SqliteHistory(database)

    def take(self, step: str, number: int, image: bytes = IMAGE) -> None:
        """Take one step of a paid call."""
        name = sample_id(number)
        match step:
            case "planned":
                self.journal.begin([sample_call(number)])
            case "sent":
                self.journal.record(name, CallSending())
            case "accepted":
                self.journal.record(name, CallAccepted(reference=f"job-{number}"))
            case "received":
                received = sample_received(image)
                self.journal.record(name, CallReceived(received=received))
            case _:
                self.history.add([sample_entry(number)])
                self.journal.record(name, CallClosed(usage=sample_row(number)))


def crowd(folder: Path, processes: int = 50) -> object:
    """Have each process make a paid call; say what failed and the longest wait."""

    def make(number: int) -> object:
        accounts, waits = Accounts(folder), list[float]()
        for step in STEPS:
            began = time.perf_counter()
            accounts.take(step, number)
            waits.append(time.perf_counter() - began)
        return max(waits)

    outcomes = _all_at_once(make, processes)
    accounts = Accounts(folder)
    return {
        "failed": [each for each in outcomes if isinstance(each, str)],
        "longest_wait": max(each for each in outcomes if isinstance(each, float)),
        "rows": len(list(accounts.ledger.rows())),
        "images": len(list(accounts.history.find())),
        "open": len(accounts.journal.list_open()),
    }


def race(folder: Path, processes: int = 40, *, room: int = 7) -> object:
    """Have each process ask for a budget that has room for a few."""
    limit = BudgetLimit(
        label="day_usd", backend="", since=MONDAY, until=MONDAY, micros=room * 40_000
    )

    def begin(number: int) -> object:
        accounts = Accounts(folder)
        try:
            accounts.journal.begin([sample_call(number)], limits=[limit])
        except OverBudget:
            return "over"
        accounts.take("sent", number)  # what it dies with before that takes no room
        return "begun"

    return {"outcomes": sorted(map(str, _all_at_once(begin, processes)))}


def kills(folder: Path, times: int = 20) -> object:
    """Kill a process at random moments; say where the account of it was wrong."""
    dice, wrong, number = random.Random(7), list[str](), 0
    for _ in range(times):
        reader, writer = os.pipe()
        first = number + 1
        child = os.fork()
        if child == 0:
            accounts = Accounts(folder)
            for number in range(first, first + 1000):
                for step in STEPS:
                    accounts.take(step, number, IMAGE[:400_000])
                    os.write(writer, f"{number} {step}\n".encode())
        os.close(writer)
        begun = os.read(reader, 100)  # so that it is at work
        time.sleep(dice.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(reader, 65536):
            begun += more
        os.close(reader)
        done = dict(line.split() for line in begun.decode().split("\n") if line)
        number = max(map(int, done))
        wrong += _faults(folder, done, first, number + 1)
        number += 1
    return {"wrong": wrong, "killed": times}


def _faults(folder: Path, done: dict[str, str], first: int, last: int) -> list[str]:
    """Compare what a process said that it had done with what is written down."""
    accounts, faults = Accounts(folder), list[str]()
    there = {each.call.id: each for each in accounts.journal.list_open()}
    rows = {row.id for row in accounts.ledger.rows()}
    images = {entry.sidecar.id for entry in accounts.history.find()}
    for number in range(first, last + 1):
        name = sample_id(number)
        said = STEPS.index(done[str(number)]) if str(number) in done else -1
        open_call = there.get(name)
        if open_call is None:
            found = len(STEPS) - 1 if name in rows else -1
        else:
            found = STEPS.index(open_call.state)
            if open_call.live:
                faults.append(f"{number} is live")
            claim = accounts.journal.claim(name)
            if claim is None:
                faults.append(f"{number} cannot be claimed")
            elif (claim.received is not None) != (open_call.state == "received"):
                faults.append(f"{number} has images, or not")
            accounts.take("closed", number)
        if found not in {said, said + 1}:
            faults.append(f"{number} said {said}, and is {found}")
        if found == len(STEPS) - 1 and name not in images:
            faults.append(f"{number} is not in the history")
    faults += [f"left: {path.name}" for path in (folder / "spool").glob("*.received")]
    accounts.journal.list_open()
    faults += [f"left: {path.name}" for path in (folder / "spool").glob("*")]
    accounts.journal.close()
    return faults + [f"left: {path.name}" for path in (folder / "locks").glob("*")]


def children(folder: Path) -> object:
    """Kill a process that has children of its own, forked and started."""
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        accounts = Accounts(folder)
        accounts.take("planned", 1)
        started = subprocess.Popen(["sleep", "60"], close_fds=False)
        forked = os.fork()
        if forked == 0:
            accounts.take("planned", 2)  # in hands of its own
            os.write(writer, f"{os.getpid()} {started.pid}\n".encode())
        time.sleep(60)
    line = os.read(reader, 100)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    live = {each.call.id: each.live for each in Accounts(folder).journal.list_open()}
    for pid in line.split():
        os.kill(int(pid), signal.SIGKILL)
    return {"parent": live[sample_id(1)], "child": live[sample_id(2)]}


def forbidden(folder: Path) -> object:
    """Say what one gets who may read the folder, and not write."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    return _everything(folder)


def full(folder: Path) -> object:
    """Fill the disk, and say what one gets; then make room, and say what is there."""
    accounts = Accounts(folder)
    accounts.take("planned", 1)
    block = folder / "block"
    with block.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    said = _everything(folder, number=2)
    said["spool"] = _said(lambda: accounts.take("received", 1))
    block.unlink()
    accounts.take("received", 1, b"image")
    said["after"] = accounts.journal.list_open()[0].state
    return said


def _everything(folder: Path, *, number: int = 1) -> dict[str, str]:
    accounts = Accounts(folder, patience=0.1)
    big = sample_entry(number, prompt="x" * 300_000)
    return {
        "begin": _said(lambda: accounts.take("planned", number)),
        "record": _said(lambda: accounts.ledger.record([sample_row(number)])),
        "add": _said(lambda: accounts.history.add([big])),
    }


def _said(do: Callable[[], None]) -> str:
    try:
        do()
    except JournalError as error:
        return f"{error.message} {error.hint}"
    return ""


def _all_at_once(do: Callable[[int], object], processes: int) -> list[object]:
    """Return what each process returned, or its exception in words."""
    gate, opening = os.pipe()
    readers = list[int]()
    for number in range(1, processes + 1):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(opening)
            os.read(gate, 1)  # until all are there
            try:
                outcome = do(number)
            except BaseException as error:  # noqa: BLE001 - it is told as it is
                outcome = repr(error)
            os.write(writer, json.dumps(outcome).encode())
            os._exit(0)
        os.close(writer)
        readers.append(reader)
    os.close(opening)
    outcomes = [json.loads(os.read(reader, 65536)) for reader in readers]
    for _ in range(processes):
        os.wait()
    return outcomes


DRILLS: dict[str, Callable[..., object]] = {
    "crowd": crowd,
    "race": race,
    "kills": kills,
    "children": children,
    "forbidden": forbidden,
    "full": full,
}

if __name__ == "__main__":
    drill, where, *count = sys.argv[1:]
    print(json.dumps(DRILLS[drill](Path(where), *map(int, count))))
