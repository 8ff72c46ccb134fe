"""The contract of every `Trash`."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from tests.contract_internal.samples import sample_entry

from imagen.domain.call import FileVersion
from imagen.domain.errors import StorageError
from imagen.domain.history import HistoryEntry
from imagen.ports.trash import Trash
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, run_at_once

CONTENT = b"a picture"


class TrashContract(Contract):
    """Override `trash`; `another_trash` and `broken_trash` if they can be staged."""

    @pytest.fixture
    def trash(self) -> Trash:
        """An empty trash."""
        raise NotImplementedError("Override the fixture `trash` to return yours.")

    @pytest.fixture
    def another_trash(self) -> Trash:
        """A second instance of the same trash, as another process would have."""
        pytest.skip("`another_trash` is not overridden")

    @pytest.fixture
    def broken_trash(self) -> Trash:
        """A trash that can be neither read nor written."""
        pytest.skip("`broken_trash` is not overridden")

    @pytest.fixture
    def images(self, tmp_path: Path) -> Path:
        """The folder of the files."""
        folder = tmp_path / "images"
        folder.mkdir()
        return folder

    @pytest.fixture
    def file(self, images: Path) -> Path:
        """A file with a sidecar."""
        file = images / "a.png"
        file.write_bytes(CONTENT)
        sidecar_of(file).write_bytes(b"a sidecar")
        return file

    @pytest.fixture
    def entry(self, file: Path) -> HistoryEntry:
        """The history entry of the file, which is an image; its sidecar matches."""
        sample = sample_entry()
        note = msgspec.structs.replace(
            sample.sidecar, sha256=sha256(CONTENT).hexdigest(), bytes=len(CONTENT)
        )
        sidecar_of(file).write_bytes(msgspec.json.encode(note))
        return msgspec.structs.replace(sample, location=str(file), sidecar=note)

    def test_moves_a_file_with_its_sidecar_and_back(
        self, trash: Trash, file: Path, images: Path
    ) -> None:
        """Any file goes with what has the name of its sidecar, and comes back."""
        trash_id = put(trash, file)
        assert names(images) == []

        restored = trash.restore(trash_id)

        assert restored is not None
        assert (restored.id, restored.location) == (trash_id, str(file))
        assert (restored.size, restored.entry) == (len(CONTENT), None)
        assert file.read_bytes() == CONTENT
        assert sidecar_of(file).read_bytes() == b"a sidecar"

    def test_moves_a_sidecar_without_its_image(
        self, trash: Trash, file: Path, images: Path
    ) -> None:
        """A sidecar whose image was deleted goes, too."""
        file.unlink()

        trash_id = put(trash, file)

        assert names(images) == []
        assert trash.restore(trash_id) is not None
        assert names(images) == ["a.png.json"]

    def test_moves_a_link_and_not_its_target(self, trash: Trash, file: Path) -> None:
        """A symbolic link is moved and restored as a link."""
        link = file.with_name("link.png")
        link.symlink_to("a.png")

        trash_id = put(trash, link)

        assert not os.path.lexists(link)
        assert file.read_bytes() == CONTENT
        trash.restore(trash_id)
        assert os.readlink(link) == "a.png"  # noqa: PTH115 - the text of the link

    def test_keeps_the_history_entry_under_the_id_of_the_image(
        self, trash: Trash, entry: HistoryEntry
    ) -> None:
        """The history entry is returned by `find` and `restore`."""
        trash_id = put(trash, Path(entry.location), entry=entry)
        found = trash.find(trash_id)

        assert trash_id == entry.sidecar.id
        assert found is not None
        assert found.entry == entry
        assert trash.restore(trash_id) == found

    def test_keeps_two_files_of_one_image(
        self, trash: Trash, entry: HistoryEntry
    ) -> None:
        """A second file with the same entry does not replace the first one."""
        file = Path(entry.location)
        first = put(trash, file, entry=entry)
        file.write_bytes(b"an edited picture")
        second = put(trash, file, entry=entry)

        assert first != second
        assert len(trash.list_files()) == 2
        trash.restore(first)
        assert file.read_bytes() == CONTENT

    def test_examining_moves_nothing(
        self, trash: Trash, file: Path, images: Path
    ) -> None:
        """`examine` returns the same version until the file changes."""
        version = trash.examine(str(file))

        assert version == trash.examine(str(file))
        assert names(images) == ["a.png", "a.png.json"]
        assert trash.list_files() == []
        file.write_bytes(b"an edited picture")
        assert trash.examine(str(file)) != version

    def test_nothing_is_found_where_nothing_is(
        self, trash: Trash, images: Path
    ) -> None:
        """`examine` returns None for a missing file, also in a missing folder."""
        assert trash.examine(str(images / "none.png")) is None
        assert trash.examine(str(images / "none" / "none.png")) is None

    def test_examines_a_certain_image(
        self, trash: Trash, entry: HistoryEntry, images: Path
    ) -> None:
        """With `image`, other content does not count, nor another image's sidecar."""
        file = Path(entry.location)
        sidecar_of(file).write_bytes(b'{"id": "another"}')
        version = trash.examine(str(file), image=entry)
        assert version is not None
        trash_id = trash.put(str(file), version, entry=entry)
        assert names(images) == ["a.png.json"]
        assert trash_id == entry.sidecar.id

        file.write_bytes(b"another picture")
        assert trash.examine(str(file), image=entry) is None

    @pytest.mark.parametrize("kind", ["folder", "pipe"])
    def test_moves_only_files(self, trash: Trash, images: Path, kind: str) -> None:
        """A folder or a pipe raises `StorageError` and stays."""
        place = images / "x.png"
        place.mkdir() if kind == "folder" else os.mkfifo(place)

        with pytest.raises(StorageError):
            trash.examine(str(place))

        assert place.exists()

    @pytest.mark.parametrize("change", ["edited", "replaced", "deleted"])
    def test_leaves_a_file_that_was_changed(
        self, trash: Trash, file: Path, change: str
    ) -> None:
        """`put` returns None for a file that is not the one that was examined."""
        version = examine(trash, file)
        if change != "edited":
            file.unlink()
        if change != "deleted":
            file.write_bytes(b"another picture")

        assert trash.put(str(file), version) is None

        assert file.exists() == (change != "deleted")
        assert trash.list_files() == []

    def test_never_replaces_a_file(self, trash: Trash, file: Path) -> None:
        """`restore` raises `StorageError` while another file is at the location."""
        trash_id = put(trash, file)
        file.write_bytes(b"another picture")

        with pytest.raises(StorageError):
            trash.restore(trash_id)

        assert file.read_bytes() == b"another picture"
        file.unlink()
        sidecar_of(file).write_bytes(b"another sidecar")
        assert trash.restore(trash_id) is not None
        assert file.read_bytes() == CONTENT
        assert sidecar_of(file).read_bytes() == b"another sidecar"

    def test_restores_into_a_missing_folder(
        self, trash: Trash, file: Path, images: Path
    ) -> None:
        """The folder of the file is created if it is gone."""
        trash_id = put(trash, file)
        images.rmdir()

        assert trash.restore(trash_id) is not None
        assert file.read_bytes() == CONTENT

    def test_completes_an_interrupted_restore(self, trash: Trash, file: Path) -> None:
        """The same content at the location counts as restored."""
        trash_id = put(trash, file)
        file.write_bytes(CONTENT)

        assert trash.restore(trash_id) is not None
        assert trash.find(trash_id) is None

    def test_lists_the_oldest_first(self, trash: Trash, images: Path) -> None:
        """Files are listed in the order in which they were moved."""
        ids: list[str] = []
        for number in (2, 1, 3):
            file = images / f"{number}.png"
            file.write_bytes(CONTENT)
            ids.append(put(trash, file))

        files = trash.list_files()

        assert [each.id for each in files] == ids
        assert files == [trash.find(each) for each in ids]

    def test_deletes_for_good(self, trash: Trash, file: Path) -> None:
        """A deleted file cannot be restored; `delete` tells whether it was there."""
        trash_id = put(trash, file)

        assert trash.delete(trash_id) is True
        assert trash.delete(trash_id) is False
        assert trash.restore(trash_id) is None
        assert trash.list_files() == []

    @pytest.mark.parametrize("trash_id", ["", ".", "..", "nothing", "a/b"])
    def test_does_not_find_an_unknown_id(self, trash: Trash, trash_id: str) -> None:
        """An id that is not in the trash is found by no method."""
        assert trash.find(trash_id) is None
        assert trash.restore(trash_id) is None
        assert trash.delete(trash_id) is False

    def test_shares_files_between_instances(
        self, trash: Trash, another_trash: Trash, file: Path
    ) -> None:
        """Another instance lists and restores what this one has moved."""
        trash_id = put(trash, file)

        assert another_trash.list_files() == trash.list_files()
        assert another_trash.restore(trash_id) is not None
        assert trash.find(trash_id) is None
        assert file.read_bytes() == CONTENT

    def test_moves_a_file_once(
        self, trash: Trash, another_trash: Trash, file: Path
    ) -> None:
        """Of many that move one file at once, exactly one does."""
        version = examine(trash, file)
        moved: list[str | None] = []

        def move(number: int) -> None:
            mine = (trash, another_trash)[number % 2]
            moved.append(mine.put(str(file), version))

        assert run_at_once(move) == [None] * CROWD
        assert len([each for each in moved if each is not None]) == 1
        assert len(trash.list_files()) == 1

    def test_restores_a_file_once(
        self, trash: Trash, another_trash: Trash, file: Path
    ) -> None:
        """Of many that restore one file at once, exactly one does."""
        trash_id = put(trash, file)
        restored: list[object] = []

        def restore(number: int) -> None:
            mine = (trash, another_trash)[number % 2]
            restored.append(mine.restore(trash_id))

        assert run_at_once(restore) == [None] * CROWD
        assert len([each for each in restored if each is not None]) == 1
        assert file.read_bytes() == CONTENT

    @pytest.mark.parametrize(
        "use",
        [
            lambda trash, file: trash.examine(str(file)),
            lambda trash, file: trash.put(str(file), FileVersion(file="1")),
            lambda trash, file: trash.find("a"),
            lambda trash, file: trash.list_files(),
            lambda trash, file: trash.restore("a"),
            lambda trash, file: trash.delete("a"),
        ],
        ids=["examine", "put", "find", "list_files", "restore", "delete"],
    )
    def test_reports_that_it_cannot_be_used(
        self, broken_trash: Trash, file: Path, use: Callable[[Trash, Path], object]
    ) -> None:
        """Every method raises `StorageError`, and the file is where it was."""
        with pytest.raises(StorageError):
            use(broken_trash, file)

        assert file.read_bytes() == CONTENT


def sidecar_of(file: Path) -> Path:
    """Return the path of a file's sidecar."""
    return file.with_name(f"{file.name}.json")


def names(folder: Path) -> list[str]:
    """Return the names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())


def examine(trash: Trash, file: Path) -> FileVersion:
    """Return the version of an existing file."""
    version = trash.examine(str(file))
    assert version is not None
    return version


def put(trash: Trash, file: Path, *, entry: HistoryEntry | None = None) -> str:
    """Move an existing file to the trash."""
    trash_id = trash.put(str(file), examine(trash, file), entry=entry)
    assert trash_id is not None
    return trash_id
