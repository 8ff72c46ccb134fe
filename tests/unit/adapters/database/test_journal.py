import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection

import msgspec
import pytest
from tests.contract_internal.samples import sample_call, sample_received

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.journal import SqliteJournal
from imagen.domain.call import (
    CallAccepted,
    CallClosed,
    CallLeftOpen,
    CallReceived,
    CallSending,
    CallUpdate,
    OpenCall,
)
from imagen.domain.errors import JournalError
from imagen.testing.samples import sample_id, sample_row


class Watched(Database):
    """Remembers for each write whether it was to last."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.writes: list[bool] = []

    @contextmanager
    def writing(self, *, durable: bool) -> Generator[Connection]:
        self.writes.append(durable)
        with super().writing(durable=durable) as connection:
            yield connection


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    return SqliteJournal(Database(tmp_path))


@pytest.mark.parametrize("may_cost", [True, False])
def test_what_may_cost_outlives_a_power_cut(tmp_path: Path, may_cost: bool) -> None:
    database = Watched(tmp_path)
    journal = SqliteJournal(database)

    journal.begin([sample_call(1, may_cost=may_cost)])
    for note in (
        CallSending(),
        CallAccepted(reference="job-1"),
        CallLeftOpen(reason=""),
    ):
        journal.record(sample_id(1), note)
    journal.record(sample_id(1), CallClosed())

    assert database.writes == [may_cost] * 5


def test_usage_outlives_a_power_cut(tmp_path: Path) -> None:
    database = Watched(tmp_path)
    journal = SqliteJournal(database)
    journal.begin([sample_call(1, may_cost=False)])

    journal.record(sample_id(1), CallClosed(usage=sample_row()))

    assert database.writes == [False, True]


def test_one_that_may_cost_takes_the_others_along(tmp_path: Path) -> None:
    database = Watched(tmp_path)

    SqliteJournal(database).begin([sample_call(1, may_cost=False), sample_call(2)])

    assert database.writes == [True]


def test_the_file_is_gone_with_the_call(tmp_path: Path, journal: SqliteJournal) -> None:
    journal.begin([sample_call()])
    journal.record(sample_id(1), CallReceived(received=sample_received()))
    assert len(list((tmp_path / "spool").iterdir())) == 1

    journal.record(sample_id(1), CallClosed())

    assert list((tmp_path / "spool").iterdir()) == []


def test_files_of_calls_that_are_over_are_tidied_away(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    journal.begin([sample_call(1)])
    journal.record(sample_id(1), CallReceived(received=sample_received()))
    journal.record(sample_id(2), CallClosed(usage=sample_row(2)))
    for name in (f"{sample_id(2)}.received", f"{sample_id(2)}.0123.part"):
        (tmp_path / "spool" / name).write_bytes(b"left by a process that was killed")
    being_written = tmp_path / "spool" / f"{sample_id(1)}.0123.part"
    being_written.write_bytes(b"half")

    [left] = journal.list_open()

    assert left.state == "received"
    assert sorted((tmp_path / "spool").iterdir()) == [
        being_written,
        tmp_path / "spool" / f"{sample_id(1)}.received",
    ]


def test_images_outlive_a_database_that_was_moved_away(tmp_path: Path) -> None:
    journal = SqliteJournal(Database(tmp_path))
    journal.begin([sample_call()])
    journal.record(sample_id(1), CallReceived(received=sample_received()))
    journal.close()
    (tmp_path / FILE).unlink()

    assert SqliteJournal(Database(tmp_path)).list_open() == ()

    assert len(list((tmp_path / "spool").iterdir())) == 1


def test_a_damaged_file_is_named_and_left_alone(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    journal.begin([sample_call()])
    journal.record(sample_id(1), CallReceived(received=sample_received()))
    journal.record(sample_id(1), CallLeftOpen(reason="The disk is full."))
    [path] = (tmp_path / "spool").iterdir()
    path.write_bytes(path.read_bytes()[:50])

    with pytest.raises(JournalError, match=r"\.received is damaged"):
        journal.claim(sample_id(1))

    assert len(path.read_bytes()) == 50
    assert not journal.list_open()[0].live
    path.unlink()
    assert journal.claim(sample_id(1)) is not None


def test_images_of_a_newer_imagen_are_understood(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    journal.begin([sample_call()])
    journal.record(sample_id(1), CallReceived(received=sample_received()))
    journal.record(sample_id(1), CallLeftOpen(reason="The disk is full."))
    [path] = (tmp_path / "spool").iterdir()
    kept = msgspec.msgpack.decode(path.read_bytes())
    path.write_bytes(msgspec.msgpack.encode({**kept, "new": [1]}))

    claim = journal.claim(sample_id(1))

    assert claim is not None
    assert claim.received == sample_received()


def test_a_read_only_spool_is_a_sentence(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    journal.begin([sample_call()])
    (tmp_path / "spool").write_bytes(b"a file where the folder should be")

    with pytest.raises(JournalError, match="spool cannot be used"):
        journal.record(sample_id(1), CallReceived(received=sample_received()))


def test_a_file_that_cannot_be_removed_does_not_keep_the_call_open(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    journal.begin([sample_call()])
    (tmp_path / "spool" / f"{sample_id(1)}.received").mkdir(parents=True)

    journal.record(sample_id(1), CallClosed(usage=sample_row()))

    assert journal.list_open() == ()


def test_what_is_said_of_a_call_may_be_no_text(journal: SqliteJournal) -> None:
    journal.begin([sample_call()])

    journal.record(sample_id(1), CallAccepted(reference="job-\udcff"))
    journal.record(
        sample_id(1), CallLeftOpen(reason="no-utf-8-\udcff.png cannot be written.")
    )

    [left] = journal.list_open()
    assert (left.reference, left.reason) == (
        "job-?",
        "no-utf-8-?.png cannot be written.",
    )


# Who is alive


def locks(folder: Path) -> list[Path]:
    return sorted((folder / "locks").iterdir())


def test_a_lock_is_taken_when_it_is_needed(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    journal.list_open()
    journal.record(sample_id(1), CallSending())
    assert not (tmp_path / "locks").exists()

    journal.begin([sample_call(1)])
    journal.begin([sample_call(2)])

    [lock] = locks(tmp_path)
    with lock.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_is_gone_with_its_journal(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    journal.begin([sample_call()])

    journal.close()

    assert locks(tmp_path) == []
    assert not SqliteJournal(Database(tmp_path)).list_open()[0].live


def test_a_journal_can_be_used_after_it_was_closed(journal: SqliteJournal) -> None:
    journal.begin([sample_call()])
    journal.close()

    assert journal.claim(sample_id(1)) is not None
    assert journal.list_open()[0].live


def test_locks_of_the_dead_are_tidied_away(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    journal.begin([sample_call()])
    [ours] = locks(tmp_path)
    (tmp_path / "locks" / "0123.lock").write_bytes(b"")

    journal.list_open()

    assert locks(tmp_path) == [ours]


def test_somebody_who_looks_too_is_not_taken_for_the_owner(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    journal.begin([sample_call()])
    [ours] = locks(tmp_path)
    journal.close()
    ours.write_bytes(b"")  # as after a kill, when nobody removes it
    handle = os.open(ours, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)

    other = SqliteJournal(Database(tmp_path))

    assert other.list_open() == (OpenCall(call=sample_call(), state="planned"),)
    os.close(handle)


@pytest.mark.parametrize("note", [CallSending(), CallClosed()])
def test_who_only_takes_notes_needs_no_lock(
    tmp_path: Path, journal: SqliteJournal, note: CallUpdate
) -> None:
    journal.begin([sample_call()])

    SqliteJournal(Database(tmp_path)).record(sample_id(1), note)

    assert len(locks(tmp_path)) == 1
