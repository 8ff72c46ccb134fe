"""Deleting and restoring an image moves both of its files and no others."""

import errno
import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Thread

import msgspec
import pytest
from tests.contract_internal.samples import sample_entry

from imagen.adapters.system import trash as adapter
from imagen.adapters.system.trash import LARGEST_SIDECAR, RETENTION, FolderTrash
from imagen.domain.errors import StorageError
from imagen.domain.history import HistoryEntry

CONTENT = b"a picture"
A_WHILE = 0.3


@pytest.fixture
def bin_(tmp_path: Path) -> FolderTrash:
    return FolderTrash(lambda: tmp_path / "bin", now=lambda: datetime.now(UTC))


@pytest.fixture
def entry(tmp_path: Path) -> HistoryEntry:
    file = tmp_path / "images" / "a.png"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    sample = sample_entry()
    digest = sha256(CONTENT).hexdigest()
    note = msgspec.structs.replace(sample.sidecar, sha256=digest, bytes=len(CONTENT))
    file.with_name("a.png.json").write_bytes(msgspec.json.encode(note))
    return msgspec.structs.replace(sample, location=str(file), sidecar=note)


def there(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "images").iterdir())


def test_both_files_go_and_come_back(
    bin_: FolderTrash, entry: HistoryEntry, tmp_path: Path
) -> None:
    assert bin_.put(entry)
    assert there(tmp_path) == []
    assert (tmp_path / "bin").stat().st_mode & 0o777 == 0o700

    assert bin_.restore(entry.sidecar.id) == entry
    assert there(tmp_path) == ["a.png", "a.png.json"]
    assert bin_.restore(entry.sidecar.id) is None


def test_the_folder_may_be_gone_by_then(
    bin_: FolderTrash, entry: HistoryEntry, tmp_path: Path
) -> None:
    bin_.put(entry)
    (tmp_path / "images").rmdir()

    assert bin_.restore(entry.sidecar.id) == entry
    assert Path(entry.location).read_bytes() == CONTENT


def test_it_may_be_thrown_away_again(bin_: FolderTrash, entry: HistoryEntry) -> None:
    for _ in range(3):
        assert bin_.put(entry)
        assert bin_.restore(entry.sidecar.id) == entry


def test_a_note_of_another_image_stays(
    bin_: FolderTrash, entry: HistoryEntry, tmp_path: Path
) -> None:
    other = msgspec.structs.replace(entry.sidecar, id="another")
    Path(f"{entry.location}.json").write_bytes(msgspec.json.encode(other))

    assert bin_.put(entry)

    assert there(tmp_path) == ["a.png.json"]


@pytest.mark.parametrize("what", ["another", "folder", "pipe", "nothing"])
def test_what_is_not_the_image_stays(
    bin_: FolderTrash, entry: HistoryEntry, what: str
) -> None:
    file = Path(entry.location)
    file.unlink()
    if what == "another":
        file.write_bytes(b"another picture")
    elif what == "folder":
        file.mkdir()
    elif what == "pipe":
        os.mkfifo(file)

    assert not bin_.put(entry)

    assert file.exists() == (what != "nothing")
    assert Path(f"{entry.location}.json").exists()


def test_what_has_another_size_is_not_even_read(
    bin_: FolderTrash, entry: HistoryEntry
) -> None:
    with Path(entry.location).open("ab") as file:
        file.truncate(2**40)  # it would take minutes

    assert not bin_.put(entry)


@pytest.mark.parametrize("what", ["pipe", "folder", "too large", "too deep"])
def test_what_is_no_sidecar_stays(
    bin_: FolderTrash, entry: HistoryEntry, tmp_path: Path, what: str
) -> None:
    file = Path(f"{entry.location}.json")
    note = file.read_bytes()
    file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    elif what == "too large":
        file.write_bytes(note + b" " * LARGEST_SIDECAR)
    else:
        file.write_bytes(note[:-1] + b',"x":' + b"[" * 10**5 + b"]" * 10**5 + b"}")

    assert bin_.put(entry)

    assert there(tmp_path) == ["a.png.json"]


def test_nothing_that_lies_there_by_now_is_replaced(
    bin_: FolderTrash, entry: HistoryEntry
) -> None:
    bin_.put(entry)
    Path(entry.location).write_bytes(b"somebody's")

    with pytest.raises(StorageError):
        bin_.restore(entry.sidecar.id)

    assert Path(entry.location).read_bytes() == b"somebody's"
    Path(entry.location).unlink()
    assert bin_.restore(entry.sidecar.id) == entry


def test_what_was_thrown_away_before_is_still_there(
    bin_: FolderTrash, entry: HistoryEntry
) -> None:
    assert bin_.find(entry.sidecar.id) is None

    assert bin_.put(entry)
    assert bin_.put(entry)

    assert bin_.find(entry.sidecar.id) == entry
    assert bin_.restore(entry.sidecar.id) == entry
    assert bin_.find(entry.sidecar.id) is None


def test_what_was_put_back_by_one_that_was_killed_is_put_back(
    bin_: FolderTrash, entry: HistoryEntry, tmp_path: Path
) -> None:
    bin_.put(entry)
    os.link(tmp_path / "bin" / entry.sidecar.id / "image", entry.location)

    assert bin_.restore(entry.sidecar.id) == entry

    assert there(tmp_path) == ["a.png", "a.png.json"]
    assert bin_.find(entry.sidecar.id) is None


def test_to_another_disk_it_is_copied(
    bin_: FolderTrash,
    entry: HistoryEntry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)

    assert bin_.put(entry)
    assert there(tmp_path) == []
    assert bin_.restore(entry.sidecar.id) == entry
    assert Path(entry.location).read_bytes() == CONTENT


def test_if_it_cannot_be_moved_both_are_where_they_were(
    bin_: FolderTrash,
    entry: HistoryEntry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    move = adapter._move

    def full(source: Path, target: Path) -> None:
        if target.name == "image":
            raise OSError(errno.ENOSPC, "No space left on device")
        move(source, target)

    monkeypatch.setattr(adapter, "_move", full)

    with pytest.raises(StorageError, match="No space left"):
        bin_.put(entry)

    assert there(tmp_path) == ["a.png", "a.png.json"]
    assert bin_.restore(entry.sidecar.id) is None


def test_after_a_month_it_is_deleted_for_good(
    entry: HistoryEntry, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    folder = tmp_path / "bin"
    FolderTrash(lambda: folder, now=lambda: now).put(entry)
    later = FolderTrash(
        lambda: folder, now=lambda: now + RETENTION + timedelta(minutes=1)
    )
    other = msgspec.structs.replace(entry, location=str(tmp_path / "gone.png"))

    later.put(other)

    assert later.restore(entry.sidecar.id) is None


@pytest.mark.parametrize("name", ["", ".", "..", "nothing", "a/b"])
def test_what_was_never_thrown_away_is_not_there(bin_: FolderTrash, name: str) -> None:
    assert bin_.restore(name) is None


def test_another_process_that_throws_the_same_away_destroys_nothing(
    entry: HistoryEntry, tmp_path: Path
) -> None:
    place = tmp_path / "bin"
    another = FolderTrash(lambda: place, now=lambda: datetime.now(UTC))
    other = Thread(target=lambda: another.put(entry))
    asked = 0

    def folder() -> Path:
        nonlocal asked
        asked += 1
        if asked == 3:  # it has seen that the image is there
            other.start()
            other.join(A_WHILE)
        return place

    thrown = FolderTrash(folder, now=lambda: datetime.now(UTC))

    thrown.put(entry)
    other.join()

    assert another.restore(entry.sidecar.id) == entry
    assert Path(entry.location).read_bytes() == CONTENT
