"""What is thrown away is in the bin or where it was, whatever fails in between."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from tests.contract_internal.databases import temporary_database, temporary_spool
from tests.contract_internal.samples import sample_entry

from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.system.trash import FolderTrash
from imagen.domain.errors import InvalidRequest, JournalError, StorageError
from imagen.domain.history import HistoryEntry
from imagen.usecases.trash import TrashImages

CONTENT = b"a picture"


class Album(SqliteHistory):
    """Cannot always be written, and has pages that cannot be read."""

    def __init__(self) -> None:
        super().__init__(temporary_database())
        self.is_full = False
        self.torn: set[str] = set()

    def add(self, entries: Sequence[HistoryEntry]) -> None:
        self._write()
        super().add(entries)

    def get(self, name: str) -> HistoryEntry | None:
        if name in self.torn:
            raise JournalError("The page is torn.")
        return super().get(name)

    def find(self, *, limit: int | None = None, **_: object) -> Iterator[HistoryEntry]:
        if "all" in self.torn:
            raise JournalError("All of its pages are torn.")
        return super().find(limit=limit)

    def forget(self, image_id: str) -> bool:
        self._write()
        return super().forget(image_id)

    def _write(self) -> None:
        if self.is_full:
            raise JournalError("The album is full.")


class Table:
    """An image on the disk, in the history, and a bin beside it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "images" / "a.png"
        self.file.parent.mkdir()
        self.file.write_bytes(CONTENT)
        sample = sample_entry()
        note = msgspec.structs.replace(
            sample.sidecar, sha256=sha256(CONTENT).hexdigest(), bytes=len(CONTENT)
        )
        self.entry = HistoryEntry(location=str(self.file), sidecar=note)
        self.id = note.id
        self.history = Album()
        self.history.add([self.entry])
        self.spool = temporary_spool()
        self.bin = FolderTrash(lambda: folder / "bin", now=lambda: datetime.now(UTC))
        self.throw_away = TrashImages(
            history=self.history, spool=self.spool, trash=self.bin
        )


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def test_what_is_thrown_away_is_forgotten_until_it_is_undone(table: Table) -> None:
    assert table.throw_away.run(table.id) is True
    assert not table.file.exists()
    assert table.history.get(table.id) is None

    assert table.throw_away.undo(table.id).entry == table.entry
    assert table.file.read_bytes() == CONTENT
    assert table.history.get(table.id) == table.entry


@pytest.mark.parametrize("name", ["last", "", "019a", "nothing"])
def test_only_a_whole_id_is_thrown_away(table: Table, name: str) -> None:
    with pytest.raises(InvalidRequest):
        table.throw_away.run(name)

    assert table.file.exists()
    assert table.history.get(table.id) == table.entry


def test_what_cannot_be_forgotten_is_where_it_was(table: Table) -> None:
    table.history.is_full = True

    with pytest.raises(JournalError):
        table.throw_away.run(table.id)

    assert table.file.read_bytes() == CONTENT
    assert table.bin.find(table.id) is None
    assert table.history.get(table.id) == table.entry
    table.history.is_full = False
    assert table.throw_away.run(table.id) is True


def test_what_is_in_the_bin_already_can_be_undone(table: Table) -> None:
    version = table.bin.examine(str(table.file), image=table.entry)
    assert version is not None
    table.bin.put(str(table.file), version, entry=table.entry)  # and then it was killed

    assert table.throw_away.run(table.id) is True
    assert table.throw_away.undo(table.id).entry == table.entry
    assert table.file.read_bytes() == CONTENT


def test_what_cannot_be_remembered_stays_in_the_bin(table: Table) -> None:
    table.throw_away.run(table.id)
    table.history.is_full = True

    with pytest.raises(JournalError):
        table.throw_away.undo(table.id)

    assert not table.file.exists()
    table.history.is_full = False
    assert table.throw_away.undo(table.id).entry == table.entry
    assert table.file.read_bytes() == CONTENT


def test_what_cannot_be_put_back_is_not_remembered(table: Table) -> None:
    table.throw_away.run(table.id)
    table.file.write_bytes(b"somebody's")

    with pytest.raises(StorageError):
        table.throw_away.undo(table.id)

    assert table.history.get(table.id) is None
    table.file.unlink()
    assert table.throw_away.undo(table.id).entry == table.entry


def test_what_was_remembered_and_not_put_back_can_still_be(table: Table) -> None:
    table.throw_away.run(table.id)
    table.history.add([table.entry])  # and then it was killed

    assert table.throw_away.undo(table.id).entry == table.entry
    assert table.file.read_bytes() == CONTENT


def test_what_cannot_be_read_is_forgotten_and_stays(table: Table) -> None:
    table.history.torn.add(table.id)
    table.spool.write(table.id, CONTENT)

    assert table.throw_away.run(table.id) is False

    assert list(table.history.find()) == []
    assert table.spool.read(table.id) is None
    assert table.file.read_bytes() == CONTENT


def test_nothing_is_forgotten_while_nothing_can_be_read(table: Table) -> None:
    table.history.torn |= {table.id, "all"}

    with pytest.raises(JournalError):
        table.throw_away.run(table.id)

    table.history.torn.clear()
    assert list(table.history.find()) == [table.entry]


def test_what_cannot_be_read_and_is_not_there_is_unknown(table: Table) -> None:
    table.history.torn.add("nothing")

    with pytest.raises(InvalidRequest):
        table.throw_away.run("nothing")


@pytest.mark.parametrize("name", ["last", "{id}", "{prefix}"])
def test_a_file_in_the_trash_is_named_by_its_id(table: Table, name: str) -> None:
    table.throw_away.run(table.id)

    named = name.format(id=table.id, prefix=table.id[:13].upper())
    (found,) = table.throw_away.select([named, named])

    assert found.id == table.id


@pytest.mark.parametrize("name", ["", "last", "019f", "x"])
def test_nothing_in_an_empty_trash_has_a_name(table: Table, name: str) -> None:
    with pytest.raises(InvalidRequest, match="has no file"):
        table.throw_away.select([name])


def test_a_prefix_of_two_ids_is_ambiguous(table: Table) -> None:
    table.throw_away.run(table.id)
    table.file.write_bytes(b"not an image")
    version = table.bin.examine(str(table.file))
    assert version is not None
    table.bin.put(str(table.file), version)

    with pytest.raises(InvalidRequest, match="2 files"):
        table.throw_away.select(["01"])


def test_a_file_without_a_history_entry_is_restored(table: Table) -> None:
    other = table.file.with_name("b.png")
    other.write_bytes(b"not an image")
    version = table.bin.examine(str(other))
    assert version is not None
    moved = table.bin.put(str(other), version)
    assert moved is not None

    assert table.throw_away.undo(moved).location == str(other)
    assert list(table.history.find()) == [table.entry]
