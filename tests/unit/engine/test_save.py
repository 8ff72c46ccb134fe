"""A file gets the first free name, or the place of one that goes to the trash."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.unit.engine.test_old_files import Scene

from imagen.adapters.storage.local import LocalStorage
from imagen.adapters.system.trash import FolderTrash
from imagen.domain.call import FileVersion
from imagen.domain.errors import StorageError
from imagen.domain.history import HistoryEntry
from imagen.domain.naming import candidate_names
from imagen.engine.save import save_file


class SaveScene(Scene):
    """A folder in which `x.png` exists."""

    def save(
        self, content: bytes, *, sidecar: bytes | None = None, broken: bool = False
    ) -> str:
        storage = LocalStorage(self.file if broken else self.file.parent)
        return save_file(
            storage,
            candidate_names("x.png"),
            content,
            media_type="image/png",
            sidecar=sidecar,
            old_files=self.old_files,
        )

    @property
    def trashed(self) -> list[str]:
        return [each.location for each in self.trash.list_files()]


def test_a_file_is_replaced_by_way_of_the_trash(tmp_path: Path) -> None:
    scene = SaveScene(tmp_path)

    assert scene.save(b"new") == str(scene.file)

    assert scene.file.read_bytes() == b"new"
    assert scene.trashed == [str(scene.file)]


def test_a_file_with_the_same_content_stays(tmp_path: Path) -> None:
    scene = SaveScene(tmp_path)

    assert scene.save(b"old") == str(scene.file)

    assert scene.trashed == scene.heard == []


@pytest.mark.parametrize("existed", [True, False])
def test_a_sidecar_is_never_lost_nor_added_to_an_old_file(
    tmp_path: Path, existed: bool
) -> None:
    scene = SaveScene(tmp_path)
    sidecar = scene.file.with_name("x.png.json")
    if existed:
        sidecar.write_bytes(b"theirs")

    scene.save(b"old", sidecar=None if existed else b"{}")

    assert scene.trashed == [str(scene.file)]
    assert sidecar.exists() == (not existed)


def test_if_it_cannot_be_stored_the_old_file_is_where_it_was(tmp_path: Path) -> None:
    scene = SaveScene(tmp_path)

    with pytest.raises(StorageError):
        scene.save(b"new", broken=True)

    assert scene.file.read_bytes() == b"old"
    assert scene.trashed == []


def test_without_a_trash_the_next_name_is_used(tmp_path: Path) -> None:
    scene = SaveScene(tmp_path)

    location = save_file(
        LocalStorage(scene.file.parent),
        candidate_names("x.png"),
        b"new",
        media_type="image/png",
    )

    assert location == str(scene.file.with_name("x-2.png"))
    assert scene.file.read_bytes() == b"old"


class LateTrash(FolderTrash):
    """Sees no file, as if it appeared just afterwards."""

    def examine(
        self, location: str, *, image: HistoryEntry | None = None
    ) -> FileVersion | None:
        return None


@pytest.mark.parametrize(("content", "name"), [(b"old", "x.png"), (b"new", "x-2.png")])
def test_a_file_that_appears_meanwhile_stays(
    tmp_path: Path, content: bytes, name: str
) -> None:
    scene = SaveScene(tmp_path)
    late = LateTrash(lambda: tmp_path / "late", now=lambda: datetime.now(UTC))
    scene.old_files = msgspec.structs.replace(scene.old_files, trash=late)

    assert scene.save(content) == str(scene.file.with_name(name))

    assert scene.file.read_bytes() == b"old"
