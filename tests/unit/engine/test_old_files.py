"""The file that a new image replaces is in the trash or where it was."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.contract_internal.databases import temporary_database, temporary_spool
from tests.contract_internal.samples import sample_call, sample_entry

from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.system.trash import FolderTrash
from imagen.domain import events
from imagen.domain.call import OutputTarget
from imagen.domain.errors import JournalError, NameTaken, StorageError
from imagen.domain.history import HistoryEntry
from imagen.domain.naming import Destination
from imagen.engine.old_files import OldFiles


class LockedHistory(SqliteHistory):
    """Can be read only."""

    def forget(self, image_id: str) -> bool:
        raise JournalError("The history is read-only.")


class Scene:
    """An image of the history at `x.png`, and a call whose image gets that name."""

    def __init__(self, folder: Path, history: SqliteHistory | None = None) -> None:
        self.file = folder / "images" / "x.png"
        self.file.parent.mkdir()
        self.file.write_bytes(b"old")
        self.entry = msgspec.structs.replace(sample_entry(), location=str(self.file))
        self.history = history or SqliteHistory(temporary_database())
        self.history.add([self.entry])
        self.heard: list[events.Event] = []
        self.trash = FolderTrash(lambda: folder / "bin", now=lambda: datetime.now(UTC))
        self.old_files = OldFiles(
            folder=str(self.file.parent),
            trash=self.trash,
            history=self.history,
            spool=temporary_spool(),
            find_entry=self.find_entry,
            listen=self.heard.append,
        )
        target = OutputTarget(destination=Destination(name="x.png"))
        call = msgspec.structs.replace(sample_call(), target=target)
        self.version = self.old_files.examine(call).replaces[call.job.number]

    def replace(self, error: Exception) -> None:
        """Move the old file, and fail to store the new one."""
        with self.old_files.replacing("x.png", self.version):
            assert not self.file.exists()
            raise error

    def find_entry(self, location: str) -> HistoryEntry | None:
        return next(
            (each for each in self.history.find() if each.location == location), None
        )


@pytest.mark.parametrize("error", [StorageError("The disk is full."), OSError("bug")])
def test_if_the_new_image_cannot_be_stored_all_is_as_before(
    tmp_path: Path, error: Exception
) -> None:
    scene = Scene(tmp_path)

    with pytest.raises(type(error)):
        scene.replace(error)

    assert scene.file.read_bytes() == b"old"
    assert list(scene.history.find()) == [scene.entry]
    assert scene.trash.list_files() == []
    assert scene.heard == []


def test_if_a_third_file_takes_the_name_the_old_one_stays_in_the_trash(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)

    with pytest.raises(NameTaken):
        scene.replace(NameTaken("x.png already exists."))

    (kept,) = scene.trash.list_files()
    assert kept.entry == scene.entry
    assert scene.heard == [events.Trashed(id=kept.id, location=str(scene.file))]


def test_a_file_that_cannot_be_moved_any_more_stays(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    (tmp_path / "bin").rmdir()
    (tmp_path / "bin").write_bytes(b"not a folder")

    with scene.old_files.replacing("x.png", scene.version):
        assert scene.file.read_bytes() == b"old"

    (warning,) = scene.heard
    assert isinstance(warning, events.Warned)
    assert list(scene.history.find()) == [scene.entry]


def test_a_history_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    scene = Scene(tmp_path, LockedHistory(temporary_database()))

    with scene.old_files.replacing("x.png", scene.version):
        assert not scene.file.exists()

    (kept,) = scene.trash.list_files()
    assert kept.entry == scene.entry
