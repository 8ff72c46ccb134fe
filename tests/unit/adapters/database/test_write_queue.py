"""Writers of one process take turns and share commits."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from tests.contract_internal.samples import sample_call

from imagen.adapters.database.connection import Database
from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.write_queue import MAX_WRITERS
from imagen.domain.call import CallAccepted
from imagen.domain.errors import JournalError
from imagen.testing.samples import sample_id

ADD = "INSERT INTO refs VALUES ('a', ?, 'b')"
SOON = 0.001


class Counting(Database):
    """Counts its commits."""

    commits = 0

    def _commit(self, batch: object) -> None:
        self.commits += 1
        super()._commit(batch)  # type: ignore[arg-type]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Counting]:
    database = Counting(tmp_path)
    yield database
    database.close()


def kept(database: Database) -> list[str]:
    with database.reading() as connection:
        return [row[0] for row in connection.execute("SELECT reference FROM refs")]


def meanwhile(database: Database, *works: Callable[[], object]) -> list[Thread]:
    """Have others wait for their turn, in this order."""
    threads: list[Thread] = []
    for place, work in enumerate(works, start=1):
        threads.append(Thread(target=work, daemon=True))
        threads[-1].start()
        while len(database._queue._waiters) < place:
            Event().wait(SOON)
    return threads


def adding(
    database: Database, name: str, *, durable: bool = True
) -> Callable[[], object]:
    def add() -> None:
        with database.writing(durable=durable) as connection:
            connection.execute(ADD, [name])

    return add


def test_those_who_wait_for_each_other_share_a_commit(database: Counting) -> None:
    with database.writing(durable=True) as connection:
        connection.execute(ADD, ["first"])
        others = meanwhile(
            database, *(adding(database, name) for name in ("second", "third"))
        )
    for other in others:
        other.join()

    assert kept(database) == ["first", "second", "third"]
    assert database.commits == 1


def test_nobody_is_told_that_it_is_written_before_it_is(database: Counting) -> None:
    seen: list[list[str]] = []

    def second() -> None:
        with database.writing(durable=True) as connection:
            seen.append(kept(database))
            connection.execute(ADD, ["second"])
        seen.append(kept(database))

    with database.writing(durable=True) as connection:
        connection.execute(ADD, ["first"])
        [other] = meanwhile(database, second)
    seen.append(kept(database))
    other.join()

    assert seen[0] == []
    assert sorted(seen[1:]) == [["first", "second"]] * 2


def test_what_one_raises_undoes_nothing_of_the_others(database: Counting) -> None:
    raised: list[JournalError] = []

    def second() -> None:
        try:
            with database.writing(durable=True) as connection:
                connection.execute(ADD, ["second"])
                connection.execute("NONSENSE")
        except JournalError as error:
            raised.append(error)

    with database.writing(durable=True) as connection:
        connection.execute(ADD, ["first"])
        others = meanwhile(database, second, adding(database, "third"))
    for other in others:
        other.join()

    assert kept(database) == ["first", "third"]
    assert len(raised) == 1


def test_the_last_one_ends_it_whatever_it_raises(database: Counting) -> None:
    def second() -> None:
        with pytest.raises(ZeroDivisionError), database.writing(durable=True):
            raise ZeroDivisionError

    with database.writing(durable=True) as connection:
        connection.execute(ADD, ["first"])
        [other] = meanwhile(database, second)
    other.join()

    assert kept(database) == ["first"]


def test_what_the_disk_refuses_is_lost_for_all_and_said_to_all(
    database: Counting,
) -> None:
    raised: list[JournalError] = []

    def second() -> None:
        try:
            with database.writing(durable=True) as connection:
                connection.execute("ROLLBACK")  # as SQLite itself does then
                connection.execute("NONSENSE")
        except JournalError as error:
            raised.append(error)

    def first() -> None:
        try:
            with database.writing(durable=True) as connection:
                connection.execute(ADD, ["first"])
                others.extend(meanwhile(database, second))
        except JournalError as error:
            raised.append(error)

    others: list[Thread] = []
    first()
    others[0].join()

    assert kept(database) == []
    assert len(raised) == 2
    adding(database, "later")()
    assert kept(database) == ["later"]


def test_nobody_who_has_to_outlive_a_power_cut_shares_a_commit_that_does_not(
    database: Counting,
) -> None:
    with database.writing(durable=False) as connection:
        connection.execute(ADD, ["first"])
        others = meanwhile(
            database,
            adding(database, "second", durable=True),
            adding(database, "third", durable=False),
        )
    for other in others:
        other.join()

    assert database.commits == 2


def test_only_so_many_share_a_commit(database: Counting) -> None:
    with database.writing(durable=True):
        others = meanwhile(
            database, *(adding(database, f"{n:03}") for n in range(MAX_WRITERS))
        )
    for other in others:
        other.join()

    assert len(kept(database)) == MAX_WRITERS
    assert database.commits == 2


def test_who_waits_too_long_leaves_the_line(tmp_path: Path) -> None:
    database = Counting(tmp_path, patience=0.05)
    with database.writing(durable=True) as connection:
        connection.execute(ADD, ["first"])
        other = Thread(target=lambda: raised.append(outcome(database)))
        raised: list[BaseException | None] = []
        other.start()
        other.join()

    assert kept(database) == ["first"]
    assert isinstance(raised[0], JournalError)
    assert "locked" in raised[0].message
    database.close()


def test_a_journal_notes_what_comes_together_in_one_commit(tmp_path: Path) -> None:
    database = Counting(tmp_path)
    journal = SqliteJournal(database)
    journal.begin([sample_call(1), sample_call(2), sample_call(3)])
    before = database.commits

    with database.writing(durable=True):
        others = meanwhile(
            database,
            *(
                lambda n=n: journal.record(
                    sample_id(n), CallAccepted(reference=f"job-{n}")
                )
                for n in (1, 2, 3)
            ),
        )
    for other in others:
        other.join()

    assert database.commits == before + 1
    assert {each.state for each in journal.list_open()} == {"accepted"}
    journal.close()


def outcome(database: Database) -> BaseException | None:
    try:
        adding(database, "second")()
    except BaseException as error:  # noqa: BLE001 - it is looked at
        return error
    return None
