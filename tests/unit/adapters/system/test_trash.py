"""What only the trash in a folder can show; the rest is in its contract."""

import errno
import os
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from tests.contract_internal.samples import NON_UTF8_NAME, sample_entry

from imagen.adapters.system import trash as adapter
from imagen.adapters.system.trash import LARGEST_SIDECAR, RETENTION, FolderTrash
from imagen.domain.call import FileVersion
from imagen.domain.errors import StorageError
from imagen.domain.history import HistoryEntry

CONTENT = b"a picture"
MEMORY = Path("/dev/shm")


@pytest.fixture
def trash(tmp_path: Path) -> FolderTrash:
    return FolderTrash(lambda: tmp_path / "bin", now=lambda: datetime.now(UTC))


@pytest.fixture
def entry(tmp_path: Path) -> HistoryEntry:
    return entry_at(tmp_path / "images" / "a.png")


def entry_at(file: Path) -> HistoryEntry:
    """Write an image with its sidecar, and return its history entry."""
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(CONTENT)
    sample = sample_entry()
    digest = sha256(CONTENT).hexdigest()
    note = msgspec.structs.replace(sample.sidecar, sha256=digest, bytes=len(CONTENT))
    Path(f"{file}.json").write_bytes(msgspec.json.encode(note))
    return msgspec.structs.replace(sample, location=str(file), sidecar=note)


def put(trash: FolderTrash, entry: HistoryEntry) -> str | None:
    """Move an image to the trash, as the gallery does."""
    version = trash.examine(entry.location, image=entry)
    return version and trash.put(entry.location, version, entry=entry)


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "images").iterdir())


def test_only_the_owner_can_read_it(
    trash: FolderTrash, entry: HistoryEntry, tmp_path: Path
) -> None:
    put(trash, entry)

    assert (tmp_path / "bin").stat().st_mode & 0o777 == 0o700


def test_an_image_may_be_moved_again(trash: FolderTrash, entry: HistoryEntry) -> None:
    for _ in range(3):
        trash_id = put(trash, entry)
        assert trash_id == entry.sidecar.id
        restored = trash.restore(trash_id)
        assert restored is not None
        assert restored.entry == entry


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_a_name_need_not_be_utf_8(
    trash: FolderTrash, entry: HistoryEntry, tmp_path: Path
) -> None:
    entry = entry_at(tmp_path / "images" / NON_UTF8_NAME)

    put(trash, entry)

    restored = trash.restore(entry.sidecar.id)
    assert restored is not None
    assert (restored.location, restored.entry) == (entry.location, entry)
    assert Path(entry.location).read_bytes() == CONTENT


def test_a_name_may_be_too_long_for_a_sidecar(
    trash: FolderTrash, tmp_path: Path
) -> None:
    file = tmp_path / ("x" * 251 + ".png")
    assert trash.examine(str(file)) is None
    file.write_bytes(CONTENT)

    version = trash.examine(str(file))
    moved = version and trash.put(str(file), version)

    assert moved is not None
    assert not file.exists()
    assert trash.restore(moved) is not None
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_another_thing_is_not_the_image(
    trash: FolderTrash, entry: HistoryEntry, what: str
) -> None:
    file = Path(entry.location)
    file.unlink()
    file.mkdir() if what == "folder" else os.mkfifo(file)

    assert put(trash, entry) is None

    assert file.exists()
    assert Path(f"{entry.location}.json").exists()


def test_a_file_of_another_size_is_not_read(
    trash: FolderTrash, entry: HistoryEntry
) -> None:
    with Path(entry.location).open("ab") as file:
        file.truncate(2**40)  # it would take minutes

    assert put(trash, entry) is None


@pytest.mark.parametrize("what", ["pipe", "folder", "too large", "too deep"])
def test_the_gallery_leaves_what_is_not_the_sidecar(
    trash: FolderTrash, entry: HistoryEntry, tmp_path: Path, what: str
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

    assert put(trash, entry)

    assert names(tmp_path) == ["a.png.json"]


def test_a_restore_that_was_killed_is_completed(
    trash: FolderTrash, entry: HistoryEntry, tmp_path: Path
) -> None:
    put(trash, entry)
    os.link(tmp_path / "bin" / entry.sidecar.id / "image", entry.location)

    assert trash.restore(entry.sidecar.id) is not None

    assert names(tmp_path) == ["a.png", "a.png.json"]
    assert trash.find(entry.sidecar.id) is None


def test_an_image_whose_restore_was_killed_can_be_moved(
    trash: FolderTrash, entry: HistoryEntry, tmp_path: Path
) -> None:
    put(trash, entry)
    os.link(tmp_path / "bin" / entry.sidecar.id / "image", entry.location)

    assert put(trash, entry) == entry.sidecar.id

    assert names(tmp_path) == []
    assert trash.restore(entry.sidecar.id) is not None
    assert Path(entry.location).read_bytes() == CONTENT


@pytest.mark.skipif(not MEMORY.is_dir(), reason="needs a second file system")
def test_files_are_copied_to_another_file_system(
    entry: HistoryEntry, tmp_path: Path
) -> None:
    (tmp_path / "images" / "link.png").symlink_to("a.png")
    with TemporaryDirectory(dir=MEMORY) as folder:
        trash = FolderTrash(lambda: Path(folder), now=lambda: datetime.now(UTC))
        link = str(tmp_path / "images" / "link.png")
        version = trash.examine(link)
        assert version is not None
        moved = trash.put(link, version)
        assert moved is not None
        assert put(trash, entry)
        assert names(tmp_path) == []

        assert trash.restore(moved) is not None
        assert trash.restore(entry.sidecar.id) is not None
    assert names(tmp_path) == ["a.png", "a.png.json", "link.png"]
    assert Path(link).read_bytes() == CONTENT


def test_if_the_sidecar_cannot_be_moved_the_image_stays(
    trash: FolderTrash,
    entry: HistoryEntry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = adapter._take

    def full(source: Path, target: Path, version: str) -> bool:
        if target.name == "sidecar":
            raise OSError(errno.ENOSPC, "No space left on device")
        return take(source, target, version)

    monkeypatch.setattr(adapter, "_take", full)

    with pytest.raises(StorageError, match="No space left"):
        put(trash, entry)

    assert names(tmp_path) == ["a.png", "a.png.json"]
    assert trash.find(entry.sidecar.id) is None


def test_a_file_that_appears_at_the_last_moment_is_put_back(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(CONTENT)
    asked = 0

    def now() -> datetime:
        nonlocal asked
        asked += 1
        return replace(file) if asked == 2 else datetime.now(UTC)  # it was compared

    trash = FolderTrash(lambda: tmp_path / "bin", now=now)
    version = trash.examine(str(file))
    assert version is not None

    assert trash.put(str(file), version) is None

    assert asked >= 2
    assert file.read_bytes() == b"another picture"
    assert trash.list_files() == []


def replace(file: Path) -> datetime:
    """Replace a file as editors do, and return the time."""
    draft = file.with_name("draft")
    draft.write_bytes(b"another picture")
    draft.replace(file)
    return datetime.now(UTC)


def test_after_a_month_a_file_is_deleted_for_good(
    entry: HistoryEntry, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    put(FolderTrash(lambda: tmp_path / "bin", now=lambda: now), entry)
    later = FolderTrash(
        lambda: tmp_path / "bin", now=lambda: now + RETENTION + timedelta(minutes=1)
    )

    later.put("/gone.png", FileVersion(file="1"))

    assert later.restore(entry.sidecar.id) is None


def test_an_image_without_a_record_can_be_restored(
    trash: FolderTrash, entry: HistoryEntry, tmp_path: Path
) -> None:
    kept = tmp_path / "bin" / entry.sidecar.id
    kept.mkdir(parents=True)
    (kept / "entry").write_bytes(msgspec.json.encode(entry))
    Path(entry.location).rename(kept / "image")

    (found,) = trash.list_files()

    assert found.entry == entry
    assert trash.restore(found.id) == found
    assert Path(entry.location).read_bytes() == CONTENT
