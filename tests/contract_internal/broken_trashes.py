"""A correct trash and broken ones; each lists the contract tests that must fail.

Not collected by itself: `test_broken.py` runs it and compares.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest
from msgspec.structs import replace as replaced
from tests.contract.broken import Rendezvous
from tests.contract_internal.contracts.trash import TrashContract

from imagen.adapters.system.trash import FolderTrash
from imagen.domain.call import FileVersion
from imagen.domain.errors import StorageError
from imagen.domain.history import HistoryEntry
from imagen.domain.trash import TrashedFile


class Staged(TrashContract):
    """Builds trashes of a class over one folder.

    Attributes:
        Made: The class.
        Broken: The class of the trash whose folder is a file.
        is_shared: Whether the second instance has the same files.
    """

    Made: ClassVar[type[FolderTrash]] = FolderTrash
    Broken: ClassVar[type[FolderTrash]] = FolderTrash
    is_shared: ClassVar[bool] = True
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def trash(self, tmp_path: Path) -> FolderTrash:
        return build_trash(self.Made, tmp_path / "bin")

    @pytest.fixture
    def another_trash(self, tmp_path: Path) -> FolderTrash:
        folder = tmp_path / ("bin" if self.is_shared else "other")
        return build_trash(self.Made, folder)

    @pytest.fixture
    def broken_trash(self, tmp_path: Path) -> FolderTrash:
        (tmp_path / "bin").write_text("This is a text.")
        return build_trash(self.Broken, tmp_path / "bin")


def build_trash(kind: type[FolderTrash], folder: Path) -> FolderTrash:
    return kind(lambda: folder, now=lambda: datetime.now(UTC))


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class NoSidecars(FolderTrash):
    def examine(
        self, location: str, *, image: HistoryEntry | None = None
    ) -> FileVersion | None:
        found = super().examine(location, image=image)
        return None if found is None or not found.file else replaced(found, sidecar="")


class TestLeavesSidecars(Staged):
    Made = NoSidecars
    breaks: ClassVar[set[str]] = {
        "test_moves_a_file_with_its_sidecar_and_back",
        "test_moves_a_sidecar_without_its_image",
        "test_restores_into_a_missing_folder",
    }


class Following(FolderTrash):
    def put(
        self, location: str, version: FileVersion, *, entry: HistoryEntry | None = None
    ) -> str | None:
        file = Path(location)
        if not file.is_symlink():
            return super().put(location, version, entry=entry)
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content)
        found = self.examine(location)
        return found and super().put(location, found, entry=entry)


class TestFollowsLinks(Staged):
    Made = Following
    breaks: ClassVar[set[str]] = {"test_moves_a_link_and_not_its_target"}


class Forgetful(FolderTrash):
    def put(
        self, location: str, version: FileVersion, *, entry: HistoryEntry | None = None
    ) -> str | None:
        return super().put(location, version)


class TestForgetsTheEntry(Staged):
    Made = Forgetful
    breaks: ClassVar[set[str]] = {
        "test_keeps_the_history_entry_under_the_id_of_the_image",
        "test_examines_a_certain_image",
    }


class OneEach(FolderTrash):
    def put(
        self, location: str, version: FileVersion, *, entry: HistoryEntry | None = None
    ) -> str | None:
        if entry is not None:
            self.delete(entry.sidecar.id)
        return super().put(location, version, entry=entry)


class TestKeepsOneFileOfAnImage(Staged):
    Made = OneEach
    breaks: ClassVar[set[str]] = {"test_keeps_two_files_of_one_image"}


class Eager(FolderTrash):
    def examine(
        self, location: str, *, image: HistoryEntry | None = None
    ) -> FileVersion | None:
        found = super().examine(location, image=image)
        if found is not None and image is None:
            self.put(location, found)
        return found


class TestMovesWhileExamining(Staged):
    Made = Eager
    breaks: ClassVar[set[str]] = {
        "test_moves_a_file_with_its_sidecar_and_back",
        "test_moves_a_sidecar_without_its_image",
        "test_moves_a_link_and_not_its_target",
        "test_keeps_the_history_entry_under_the_id_of_the_image",
        "test_keeps_two_files_of_one_image",
        "test_examining_moves_nothing",
        "test_leaves_a_file_that_was_changed",
        "test_never_replaces_a_file",
        "test_restores_into_a_missing_folder",
        "test_completes_an_interrupted_restore",
        "test_lists_the_oldest_first",
        "test_deletes_for_good",
        "test_shares_files_between_instances",
        "test_moves_a_file_once",
        "test_restores_a_file_once",
    }


class Strict(FolderTrash):
    def examine(
        self, location: str, *, image: HistoryEntry | None = None
    ) -> FileVersion | None:
        found = super().examine(location, image=image)
        if found is None and image is None:
            raise StorageError("There is nothing.")
        return found


class TestFindsNothingAnError(Staged):
    Made = Strict
    breaks: ClassVar[set[str]] = {"test_nothing_is_found_where_nothing_is"}


class Careless(FolderTrash):
    def examine(
        self, location: str, *, image: HistoryEntry | None = None
    ) -> FileVersion | None:
        return super().examine(location)


class TestTakesOtherImages(Staged):
    Made = Careless
    breaks: ClassVar[set[str]] = {"test_examines_a_certain_image"}


class Greedy(FolderTrash):
    def examine(
        self, location: str, *, image: HistoryEntry | None = None
    ) -> FileVersion | None:
        place = Path(location)
        if place.exists() and not place.is_file():
            return FileVersion(file="1")
        return super().examine(location, image=image)


class TestTakesFolders(Staged):
    Made = Greedy
    breaks: ClassVar[set[str]] = {"test_moves_only_files"}


class Hasty(FolderTrash):
    def put(
        self, location: str, version: FileVersion, *, entry: HistoryEntry | None = None
    ) -> str | None:
        found = self.examine(location)
        if found is None or not found.file or not version.file:
            return super().put(location, version, entry=entry)
        return super().put(location, replaced(version, file=found.file), entry=entry)


class TestTakesChangedFiles(Staged):
    Made = Hasty
    breaks: ClassVar[set[str]] = {"test_leaves_a_file_that_was_changed"}


class Forceful(FolderTrash):
    def restore(self, trash_id: str) -> TrashedFile | None:
        found = self.find(trash_id)
        if found is not None and Path(found.location).exists():
            Path(found.location).unlink()
        return super().restore(trash_id)


class TestReplacesFiles(Staged):
    Made = Forceful
    breaks: ClassVar[set[str]] = {"test_never_replaces_a_file"}


class Rigid(FolderTrash):
    def restore(self, trash_id: str) -> TrashedFile | None:
        found = self.find(trash_id)
        if found is not None and not Path(found.location).parent.exists():
            raise StorageError("The folder is gone.")
        return super().restore(trash_id)


class TestNeedsTheFolder(Staged):
    Made = Rigid
    breaks: ClassVar[set[str]] = {"test_restores_into_a_missing_folder"}


class Stubborn(FolderTrash):
    def restore(self, trash_id: str) -> TrashedFile | None:
        found = self.find(trash_id)
        if found is not None and os.path.lexists(found.location):
            raise StorageError("Something is there.")
        return super().restore(trash_id)


class TestNeverCompletesARestore(Staged):
    Made = Stubborn
    breaks: ClassVar[set[str]] = {"test_completes_an_interrupted_restore"}


class Backward(FolderTrash):
    def list_files(self) -> list[TrashedFile]:
        return super().list_files()[::-1]


class TestListsTheNewestFirst(Staged):
    Made = Backward
    breaks: ClassVar[set[str]] = {"test_lists_the_oldest_first"}


class Hoarding(FolderTrash):
    def delete(self, trash_id: str) -> bool:
        return self.find(trash_id) is not None


class TestDeletesNothing(Staged):
    Made = Hoarding
    breaks: ClassVar[set[str]] = {"test_deletes_for_good"}


class Gullible(FolderTrash):
    def find(self, trash_id: str) -> TrashedFile | None:
        found = super().find(trash_id)
        if found is None and trash_id == "nothing":
            return TrashedFile(id=trash_id, location="/x", at=datetime.now(UTC))
        return found


class TestFindsEverything(Staged):
    Made = Gullible
    breaks: ClassVar[set[str]] = {"test_does_not_find_an_unknown_id"}


class TestKeepsItsFilesToItself(Staged):
    is_shared = False
    breaks: ClassVar[set[str]] = {"test_shares_files_between_instances"}


class Racing(FolderTrash):
    """Several look before the first one of them moves the file."""

    gate: ClassVar[Rendezvous]

    def put(
        self, location: str, version: FileVersion, *, entry: HistoryEntry | None = None
    ) -> str | None:
        if self.examine(location) != version:
            return super().put(location, version, entry=entry)
        self.gate.wait()
        return super().put(location, version, entry=entry) or "somewhere"

    def restore(self, trash_id: str) -> TrashedFile | None:
        found = self.find(trash_id)
        self.gate.wait()
        super().restore(trash_id)
        return found


class TestMovesAFileSeveralTimes(Staged):
    breaks: ClassVar[set[str]] = {
        "test_moves_a_file_once",
        "test_restores_a_file_once",
    }

    @pytest.fixture(autouse=True)
    def race(self) -> None:
        Racing.gate = Rendezvous()

    Made = Racing


class Silent(FolderTrash):
    def list_files(self) -> list[TrashedFile]:
        try:
            return super().list_files()
        except StorageError:
            return []


class TestHidesThatItCannotBeRead(Staged):
    Broken = Silent
    breaks: ClassVar[set[str]] = {"test_reports_that_it_cannot_be_used"}
