import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from tests.contract_internal.samples import sample_entry

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.schema import to_json
from imagen.domain.errors import JournalError
from imagen.domain.money.usage import Dimension
from imagen.testing.samples import MONDAY, sample_id

SECRET = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich"


@pytest.fixture
def history(tmp_path: Path) -> SqliteHistory:
    return SqliteHistory(Database(tmp_path))


def traces(folder: Path) -> set[str]:
    """Return the parts of the secret that are in any file, in any case."""
    content = b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )
    words = {*SECRET.split(), *SECRET.casefold().split(), sample_id(2)}
    return {word for word in words if len(word) > 4 and word.encode() in content}


@pytest.mark.parametrize(
    "forget",
    [
        lambda history: history.forget(sample_id(2)),
        lambda history: history.forget_older(MONDAY + timedelta(minutes=2.5)),
    ],
    ids=["forget", "forget_older"],
)
def test_nothing_is_left_of_what_is_forgotten(
    tmp_path: Path, history: SqliteHistory, forget: Callable[[SqliteHistory], object]
) -> None:
    history.add([sample_entry(number, prompt="a fox") for number in range(3, 300)])
    history.add([sample_entry(2, prompt=SECRET)])
    assert traces(tmp_path) != set()

    forget(history)

    assert traces(tmp_path) == set()
    assert len(list(history.find(words="fox"))) == 297
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute(
            "CREATE VIRTUAL TABLE temp.seen USING fts5vocab(main, image_words, row)"
        )
        terms = {term for (term,) in connection.execute("SELECT term FROM temp.seen")}
    assert terms == {"a f", " fo", "fox"}


def test_nothing_is_left_of_a_prompt_that_was_replaced(
    tmp_path: Path, history: SqliteHistory
) -> None:
    history.add([sample_entry(2, prompt=SECRET)])
    history.add([sample_entry(2, prompt="a fox")])

    history.forget(sample_id(2))

    assert traces(tmp_path) == set()


def test_something_is_forgotten_while_somebody_reads(
    tmp_path: Path, history: SqliteHistory
) -> None:
    history.add([sample_entry(number) for number in range(50)])
    reading = history.find()
    next(reading)

    assert history.forget(sample_id(0)) is True

    assert len(list(reading)) == 49  # as it was when it began
    assert len(list(history.find())) == 49


def test_forgetting_nothing_writes_nothing(
    tmp_path: Path, history: SqliteHistory
) -> None:
    history.add([sample_entry()])
    log = tmp_path / f"{FILE}-wal"
    before = log.stat().st_size

    history.forget(sample_id(7))
    history.forget_older(MONDAY)

    assert log.stat().st_size == before


def test_finds_accents_however_they_are_written(history: SqliteHistory) -> None:
    history.add([sample_entry(1, prompt="caf\N{LATIN SMALL LETTER E WITH ACUTE}")])

    found = history.find(words="CAFE\N{COMBINING ACUTE ACCENT}")

    assert len(list(found)) == 1


def test_finds_words_behind_a_nul(history: SqliteHistory) -> None:
    history.add([sample_entry(1, prompt="a\0fox in the snow")])

    assert len(list(history.find(words="snow"))) == 1


def test_stops_reading_when_nobody_wants_more(tmp_path: Path) -> None:
    history = SqliteHistory(Database(tmp_path))
    history.add([sample_entry(number) for number in range(500)])

    first = list(islice(history.find(words="fox"), 3))
    history.add([sample_entry(500)])

    assert [entry.sidecar.id for entry in first] == [
        sample_id(n) for n in (499, 498, 497)
    ]
    assert history.get("last") == sample_entry(500)


def test_an_image_without_an_offset_was_made_in_utc(history: SqliteHistory) -> None:
    entry = sample_entry(1)
    plain = msgspec.structs.replace(entry.sidecar, created_at="2026-11-16T00:00:00")
    history.add([msgspec.structs.replace(entry, sidecar=plain)])

    assert len(list(history.find(since=MONDAY.date()))) == 1


@pytest.mark.parametrize(
    "oddity", [{"created_at": "yesterday"}, {"parameters": {"odd": object()}}]
)
def test_what_cannot_be_written_down_is_a_sentence(
    history: SqliteHistory, oddity: dict[str, object]
) -> None:
    entry = sample_entry(2)
    odd = msgspec.structs.replace(
        entry, sidecar=msgspec.structs.replace(entry.sidecar, **oddity)
    )

    with pytest.raises(JournalError):
        history.add([sample_entry(1), odd])

    assert list(history.find()) == []


# Of a row that is damaged.

UNFIT = {
    "no number": '{"width": "wide"}',
    "no model": '{"model": null}',
    "no moment": '{"created_at": "yesterday"}',
    "of another image": '{"id": "019a0003"}',
}


def damage(folder: Path, number: int, document: str) -> None:
    """Write something else where the row has what is known of its image."""
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        connection.execute(
            "UPDATE images SET document = ? WHERE id = ?",
            [document, sample_id(number)],
        )


def unfit(number: int, change: str) -> str:
    entry = json.loads(to_json(sample_entry(number)))
    entry["sidecar"] |= json.loads(change)
    return json.dumps(entry)


def overwrite(folder: Path, number: int) -> None:
    """Do so behind the back of SQLite, as a disk does: it is no JSON, and no text."""
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = (folder / FILE).read_bytes()
    note = f'"id": "{sample_id(number)}"'.encode()
    begin = content.rindex(b'{"location"', 0, content.index(note))
    (folder / FILE).write_bytes(content[:begin] + b"\xff\xfe\0!" + content[begin + 4 :])


@pytest.fixture
def three(tmp_path: Path, history: SqliteHistory) -> SqliteHistory:
    history.add([sample_entry(n) for n in (1, 2, 3)])
    return history


@pytest.mark.parametrize(
    "document",
    [
        *(unfit(3, change) for change in UNFIT.values()),
        '"garbage"',
        "{}",
        "[" * 500 + "]" * 500,
    ],
    ids=[*UNFIT, "garbage", "nothing", "depths"],
)
def test_a_damaged_row_hides_no_other(
    tmp_path: Path,
    three: SqliteHistory,
    caplog: pytest.LogCaptureFixture,
    document: str,
) -> None:
    damage(tmp_path, 3, document)

    found = [entry.sidecar.id for entry in three.find(words="fox", limit=2)]

    assert found == [sample_id(2), sample_id(1)]
    last = three.get("last")
    assert last is not None
    assert last.sidecar.id == sample_id(2)
    with pytest.raises(JournalError):
        three.get(sample_id(3))
    [said] = caplog.records  # once
    assert said.levelno == logging.WARNING
    assert sample_id(3) in said.getMessage()
    assert str(tmp_path / FILE) in said.getMessage()
    assert three.forget(sample_id(3)) is True


def test_a_row_that_the_disk_overwrote_hides_no_other(
    tmp_path: Path, three: SqliteHistory
) -> None:
    overwrite(tmp_path, 2)

    found = [entry.sidecar.id for entry in three.find()]

    assert found == [sample_id(3), sample_id(1)]
    with pytest.raises(JournalError):
        three.get(sample_id(2))


@pytest.mark.parametrize(
    "forget",
    [
        lambda history: history.forget(sample_id(2)),
        lambda history: history.forget_older(MONDAY + timedelta(minutes=2.5)),
    ],
    ids=["forget", "forget_older"],
)
def test_rows_that_the_disk_overwrote_can_be_forgotten(
    tmp_path: Path, three: SqliteHistory, forget: Callable[[SqliteHistory], int]
) -> None:
    overwrite(tmp_path, 2)
    overwrite(tmp_path, 3)

    there = 3 - forget(three)

    three.add([sample_entry(4, model="other")])
    assert [entry.sidecar.id for entry in three.find(model="other")] == [sample_id(4)]
    assert sum(three.count("model").values()) == there + 1
    assert three.forget(sample_id(3)) is True
    assert three.forget(sample_id(3)) is False


@pytest.mark.parametrize("by", ["model", "caller"])
def test_what_a_damaged_row_does_not_say_is_counted_as_nothing(
    tmp_path: Path, three: SqliteHistory, by: Dimension
) -> None:
    three.add([sample_entry(4, model="", caller="")])
    damage(tmp_path, 3, "{}")

    assert list(three.count(by).values()) == [2, 2]
    assert next(iter(three.count(by))) == ""
