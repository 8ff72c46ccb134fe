import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from tests.contract_internal.samples import sample_call, sample_entry, sample_received

from imagen.adapters.database.connection import (
    FILE,
    Database,
    translate_errors,
)
from imagen.adapters.database.delivery_queue import SqliteImageQueue, SqliteUsageQueue
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.ledger import SqliteLedger
from imagen.adapters.database.schema import MIGRATIONS, to_json
from imagen.adapters.system.private_files import check_locks
from imagen.domain.call import CallReceived
from imagen.domain.errors import JournalError, Misconfigured
from imagen.testing.contracts.observation import run_at_once
from imagen.testing.samples import sample_id, sample_row

FULL, NORMAL = 2, 1


@pytest.fixture
def umask() -> Iterator[Callable[[int], object]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def fill(folder: Path, *, images: int = 1) -> None:
    """Write everything there is to write."""
    database = Database(folder)
    journal = SqliteJournal(database)
    journal.begin([sample_call()])
    journal.record(sample_id(1), CallReceived(received=sample_received()))
    SqliteLedger(database).record([sample_row()])
    SqliteHistory(database).add([sample_entry(number) for number in range(images)])
    journal.close()


def everything(folder: Path, *, patience: float = 30) -> list[Callable[[], object]]:
    """Return all that can be done with a database."""
    database = Database(folder, patience=patience)
    journal, ledger = SqliteJournal(database), SqliteLedger(database)
    history = SqliteHistory(database)
    return [
        lambda: journal.begin([sample_call(2)]),
        lambda: journal.record(sample_id(2), CallReceived(received=sample_received())),
        journal.list_open,
        lambda: journal.claim(sample_id(1)),
        lambda: ledger.record([sample_row(2)]),
        lambda: list(ledger.rows()),
        lambda: ledger.totals(["backend"]),
        lambda: history.add([sample_entry(2)]),
        lambda: list(history.find(words="fox")),
        lambda: history.get("last"),
        lambda: history.forget(sample_id(1)),
    ]


def said(do: Callable[[], object]) -> str:
    """Return the sentence that comes out, or "" if nothing does."""
    try:
        do()
    except JournalError as error:
        return error.message
    return ""


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o277, 0o777])
def test_nobody_else_can_read_anything(
    tmp_path: Path, umask: Callable[[int], object], mask: int
) -> None:
    umask(mask)

    database = Database(tmp_path / "data")
    journal = SqliteJournal(database)
    journal.begin([sample_call()])
    journal.record(sample_id(1), CallReceived(received=sample_received()))

    modes = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
    }
    assert {name for name, mode in modes.items() if mode == 0o700} == {
        "data",
        "data/locks",
        "data/spool",
    }
    assert {Path(name).name for name, mode in modes.items() if mode == 0o600} >= {
        FILE,
        f"{FILE}-wal",
        f"{FILE}-shm",
        f"{sample_id(1)}.received",
    }
    assert set(modes.values()) == {0o600, 0o700}


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    fill(tmp_path)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    def folder() -> Path:
        asked.append(1)
        return tmp_path / "new" / "data"

    asked: list[int] = []
    ledger = SqliteLedger(Database(folder))
    assert (asked, list(tmp_path.iterdir())) == ([], [])

    ledger.record([sample_row()])

    assert list(ledger.rows()) == [sample_row()]
    assert asked == [1]


def test_no_folder_is_found() -> None:
    def folder() -> Path:
        raise Misconfigured("The home folder is not known.", hint="Set $HOME.")

    with pytest.raises(JournalError, match=r"home folder is not known\.") as failed:
        SqliteLedger(Database(folder)).record([sample_row()])

    assert failed.value.hint == "Set $HOME."


@pytest.mark.parametrize(("durable", "level"), [(True, FULL), (False, NORMAL)])
def test_what_has_to_last_is_synced(tmp_path: Path, durable: bool, level: int) -> None:
    with Database(tmp_path).writing(durable=durable) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)


def test_all_that_is_written_together_is_kept_or_none(tmp_path: Path) -> None:
    database = Database(tmp_path)

    def fail_halfway() -> None:
        with database.writing(durable=True) as connection:
            connection.execute("CREATE TABLE more (x)")
            connection.execute("NONSENSE")

    assert "NONSENSE" in said(fail_halfway)
    with database.reading() as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert ("more",) not in tables


def test_readers_do_not_wait_for_writers(tmp_path: Path) -> None:
    database, other = Database(tmp_path), SqliteLedger(Database(tmp_path))

    with database.writing(durable=False):
        assert list(other.rows()) == []


def test_connections_are_used_again_and_closed(tmp_path: Path) -> None:
    database = Database(tmp_path)

    with database.reading() as first, database.reading() as second:
        assert first is not second
    with database.reading() as third:
        assert third in (first, second)
    database.close()

    assert not (tmp_path / f"{FILE}-wal").exists()


def test_the_first_use_by_many_threads(tmp_path: Path) -> None:
    ledgers = [SqliteLedger(Database(tmp_path)) for _ in range(8)]

    outcomes = run_at_once(lambda n: ledgers[n].record([sample_row(n)]))

    assert outcomes == [None] * 8
    assert len(list(ledgers[0].rows())) == 8
    assert {path.name.removeprefix(FILE) for path in tmp_path.iterdir()} == {
        "",
        "-shm",
        "-wal",
    }


# Upgrades


LATEST = len(MIGRATIONS)
MORE = ("CREATE TABLE more (x)", "INSERT INTO more VALUES (1)")


def test_an_older_database_is_brought_up_to_date(tmp_path: Path) -> None:
    fill(tmp_path)

    newer = Database(tmp_path, migrations=[*MIGRATIONS, MORE])

    with newer.reading() as connection:
        assert connection.execute("SELECT * FROM more").fetchall() == [(1,)]
    assert list(SqliteLedger(newer).rows()) == [sample_row()]


def test_rows_of_the_first_version_are_pending_in_the_second(
    tmp_path: Path,
) -> None:
    first = Database(tmp_path, migrations=MIGRATIONS[:1])
    row = (
        sample_id(1),
        1,
        "2026-W47",
        "",
        "flux",
        "mock",
        "m",
        "ok",
        1,
        1,
        5,
        "unknown",
    )
    with first.writing(durable=True) as connection:
        connection.execute(
            f"INSERT INTO usage VALUES ({', '.join('?' * 14)})", [*row, "0" * 64, 5]
        )
        connection.execute(
            "INSERT INTO images (id, created_at, backend, words, document) "
            "VALUES (?, 1, 'flux', 'a red fox', ?)",
            [sample_id(1), to_json(sample_entry(1))],
        )
    first.close()

    database = Database(tmp_path)

    history = SqliteHistory(database)
    pending = SqliteUsageQueue(database).pending(10)
    assert [row.id for row in pending] == [sample_id(1)]
    assert SqliteImageQueue(database).pending(10) == ()
    history.add([sample_entry(1, prompt="a badger")])
    assert list(history.find(words="red fox")) == []
    assert len(list(history.find(words="badger"))) == 1


def test_a_call_that_an_older_version_began_still_counts_for_its_caller(
    tmp_path: Path,
) -> None:
    older = Database(tmp_path, migrations=MIGRATIONS[:1])
    document = to_json(sample_call(caller="team"))
    with older.writing(durable=True) as connection:
        connection.execute(
            """
            INSERT INTO calls
            (id, created_at, adapter, backend, may_cost, reserved, state, document)
            VALUES ('x', 0, 'replicate', 'flux', 1, 40, 'sent', ?)
            """,
            [document],
        )
    older.close()

    with Database(tmp_path).reading() as connection:
        callers = connection.execute("SELECT caller FROM calls").fetchall()
    assert callers == [("team",)]


def test_prompts_of_an_older_version_are_found_without_accents(tmp_path: Path) -> None:
    older = Database(tmp_path, migrations=MIGRATIONS[:5])
    with older.writing(durable=True) as connection:
        connection.executemany(
            "INSERT INTO images (id, created_at, backend, words, document) "
            "VALUES (?, 1, 'flux', CAST(? AS TEXT), ?)",
            [
                (sample_id(1), "un café".encode(), to_json(sample_entry(1))),
                (sample_id(2), b"caf\xff", "{}"),
            ],
        )
    older.close()

    history = SqliteHistory(Database(tmp_path))

    assert len(list(history.find(words="cafe"))) == 1
    assert list(history.find(words="Café")) == list(history.find(words="cafe"))


def test_many_bring_it_up_to_date_once(tmp_path: Path) -> None:
    fill(tmp_path)
    newer = [Database(tmp_path, migrations=[*MIGRATIONS, MORE]) for _ in range(8)]

    outcomes = run_at_once(lambda n: list(SqliteLedger(newer[n]).rows()))

    assert outcomes == [[sample_row()]] * 8


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    newer = Database(tmp_path, migrations=[*MIGRATIONS, (*MORE, "NONSENSE")])

    assert "NONSENSE" in said(lambda: list(SqliteLedger(newer).rows()))

    with Database(tmp_path).reading() as connection:
        version = LATEST
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        assert ("more",) not in tables


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute(f"PRAGMA user_version = {LATEST + 1}")
    before = (tmp_path / FILE).read_bytes()

    for do in everything(tmp_path):
        words = f"(format {LATEST + 1}; this version supports up to {LATEST})"
        assert f"newer version of imagen {words}" in said(do)

    assert (tmp_path / FILE).read_bytes() == before


def test_what_a_newer_imagen_wrote_is_understood(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        for table in ("calls", "images"):
            connection.execute(
                f"UPDATE {table} SET document = json_set(document, '$.new', 1)"
            )
        connection.commit()
    database = Database(tmp_path)

    assert SqliteJournal(database).list_open()[0].call == sample_call()
    assert SqliteHistory(database).get("last") == sample_entry(0)


def test_a_restored_copy_is_used_like_the_original(tmp_path: Path) -> None:
    fill(tmp_path)
    copy = tmp_path / "copy"
    copy.mkdir()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("VACUUM INTO ?", [str(copy / FILE)])
    database = Database(copy)

    assert list(SqliteLedger(database).rows()) == [sample_row()]
    with database.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# What goes wrong


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:100],
        lambda content: b"",
        lambda content: b"This is a text.\n" * 1000,
        lambda content: b"\0" * len(content),
        lambda content: content[:20] + b"\xff" * 30 + content[50:],
        lambda content: content[:4096] + Random(1).randbytes(len(content) - 4096),
    ],
    ids=["half", "header", "empty", "text", "zeros", "header garbled", "all else"],
)
def test_a_damaged_file_is_named_and_left_alone(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    fill(tmp_path, images=400)
    damaged = damage((tmp_path / FILE).read_bytes())
    (tmp_path / FILE).write_bytes(damaged)

    for do in everything(tmp_path):
        assert said(do).startswith(f"{tmp_path / FILE} is damaged")

    assert (tmp_path / FILE).read_bytes() == damaged


@pytest.mark.parametrize("seed", [8, 10, 11, 25, 71, 172, 202, 218, 219, 239])
def test_nothing_but_a_sentence_comes_of_damage(tmp_path: Path, seed: int) -> None:
    fill(tmp_path, images=60)
    dice = Random(seed)
    content = bytearray((tmp_path / FILE).read_bytes())
    for _ in range(dice.choice([1, 5, 50, 500, 5000])):
        content[dice.randrange(100, len(content))] = dice.randrange(256)
    (tmp_path / FILE).write_bytes(content)

    for do in everything(tmp_path):
        said(do)


def test_a_new_database_takes_nothing_from_one_that_was_moved_away(
    tmp_path: Path,
) -> None:
    log = tmp_path / f"{FILE}-wal"
    database = Database(tmp_path)
    SqliteLedger(database).record([sample_row(1)])
    content = log.read_bytes()
    database.close()
    (tmp_path / FILE).unlink()
    log.write_bytes(content)

    SqliteLedger(database).record([sample_row(2)])

    assert list(SqliteLedger(database).rows()) == [sample_row(2)]
    assert [path.read_bytes() for path in tmp_path.glob(f"{FILE}-wal.*")] == [content]


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("CREATE TABLE notes (x)")
    before = (tmp_path / FILE).read_bytes()

    for do in everything(tmp_path):
        assert said(do) != ""

    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_something_else_has_its_name(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / FILE)

    for do in everything(tmp_path):
        assert said(do) == f"{tmp_path / FILE} is not a file."


def test_a_file_is_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")

    for do in everything(tmp_path / "data"):
        assert said(do) == f"{tmp_path / 'data'} cannot be used: a file has its name."


def test_somebody_else_writes_for_too_long(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")

        sentences = [said(do) for do in everything(tmp_path, patience=0.02)]

    locked = f"{tmp_path / FILE} is locked by another process."
    writers = {0, 3, 4, 7}  # to note, and to forget, what is not there writes nothing
    assert {n for n, each in enumerate(sentences) if each == locked} == writers
    assert set(sentences) == {locked, ""}


def test_somebody_else_has_it_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")

        for do in everything(tmp_path, patience=0.02):
            assert said(do) == f"{tmp_path / FILE} is locked by another process."


def test_a_thread_waits_for_another_no_longer_than_for_a_process(
    tmp_path: Path,
) -> None:
    database = Database(tmp_path, patience=0.05)

    with database.writing(durable=False):
        [outcome] = run_at_once(
            lambda _: said(lambda: SqliteLedger(database).record([])), crowd=1
        )

    assert outcome == f"{tmp_path / FILE} is locked by another process."


def test_a_number_that_no_column_can_hold(tmp_path: Path) -> None:
    rows = [sample_row(1), sample_row(2, cost=2**70)]

    assert "too large" in said(lambda: SqliteLedger(Database(tmp_path)).record(rows))
    assert list(SqliteLedger(Database(tmp_path)).rows()) == []


def test_a_file_system_without_locks_is_a_sentence(tmp_path: Path) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with (
        pytest.raises(JournalError, match=r"not support locks \(NFS without lockd"),
        translate_errors(tmp_path),
    ):
        check_locks(tmp_path, lock=refuse)

    assert list(tmp_path.iterdir()) == []


def test_locks_are_checked_before_waiting_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite answers "busy" where the file system has no locks."""
    SqliteLedger(Database(tmp_path)).record([sample_row(1)])
    module = "imagen.adapters.database.connection.check_locks"

    def refuse(_: Path) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(module, refuse)
        patient = Database(tmp_path, patience=3600)

        assert "does not support locks" in said(
            lambda: list(SqliteLedger(patient).rows())
        )
