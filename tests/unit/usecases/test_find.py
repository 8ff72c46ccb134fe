"""An image is found however it is called, and by no note that is not about it."""

from collections.abc import Mapping
from hashlib import sha256

import msgspec
import pytest
from tests.contract_internal.databases import temporary_database
from tests.unit.domain.notes import described, noted

from imagen.adapters.database.history import SqliteHistory
from imagen.domain.errors import InvalidRequest, JournalError
from imagen.domain.history import HistoryEntry
from imagen.domain.sidecar import Sidecar, write_sidecar
from imagen.testing.fakes import tiny_png
from imagen.testing.samples import sample_id
from imagen.usecases.find import FindImage

PNG, OTHER = tiny_png(), tiny_png(colour=(0, 0, 9))


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


class Place:
    """Images in a folder, and a history."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.history = SqliteHistory(temporary_database())
        self.find = FindImage(read=self.files.get, history=self.history)

    def put(
        self, name: str, content: bytes, *, beside: Sidecar | bytes | None = None
    ) -> None:
        self.files[name] = content
        if beside is not None:
            note = beside if isinstance(beside, bytes) else write_sidecar(beside)
            self.files[f"{name}.json"] = note

    def remember(self, number: int, content: bytes = PNG, at: str = "x.png") -> Sidecar:
        note = noted(
            id=sample_id(number),
            sha256=digest(content),
            created_at=f"2026-05-0{number}T12:00:00Z",
        )
        self.history.add([HistoryEntry(location=at, sidecar=note)])
        return note


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_path_has_the_file_with_the_notes_inside_beside_and_in_the_history(
    place: Place,
) -> None:
    inside = noted(id=sample_id(1))
    content = described(PNG, inside)
    place.put("x.png", content, beside=noted(id=sample_id(1), sha256=digest(content)))
    remembered = place.remember(1, content)

    found = place.find.run("x.png")

    assert (found.location, found.content) == ("x.png", content)
    assert found.sha256 == digest(content)
    assert found.embedded is not None
    assert found.embedded.id == inside.id
    assert found.sidecar is found.best_sidecar
    assert found.entry is not None
    assert found.entry.sidecar == remembered


@pytest.mark.parametrize("name", ["019a0002", sample_id(2).upper(), "last"])
def test_an_id_and_its_beginning_and_last_lead_to_the_file(
    place: Place, name: str
) -> None:
    place.remember(1, OTHER, at="other.png")
    note = place.remember(2)
    place.put("x.png", PNG)

    found = place.find.run(name)

    assert (found.location, found.content, found.best_sidecar) == ("x.png", PNG, note)


def test_a_file_goes_before_an_id_but_last_is_always_the_newest_image(
    place: Place,
) -> None:
    place.remember(1)
    place.put("x.png", PNG)
    place.put("019a", OTHER)
    place.put("last", OTHER)

    assert place.find.run("019a").content == OTHER
    assert place.find.run("last").content == PNG


def test_without_any_note_the_history_knows_it_by_its_bytes(place: Place) -> None:
    note = place.remember(1, at="elsewhere.png")
    place.remember(2, OTHER)
    place.put("copy.png", PNG)

    found = place.find.run("copy.png")

    assert found.entry is not None
    assert found.best_sidecar == note


def test_a_sidecar_that_is_about_another_image_is_not_believed(place: Place) -> None:
    content = described(PNG, noted(id=sample_id(1), prompt="what it shows"))
    place.put("x.png", content, beside=noted(id=sample_id(2), prompt="another"))

    found = place.find.run("x.png")

    assert found.best_sidecar is not None
    assert found.best_sidecar.prompt == "what it shows"
    assert found.sidecar is not None
    assert found.sidecar.prompt == "another"


def test_a_sidecar_that_does_not_fit_is_better_than_nothing(place: Place) -> None:
    place.put("x.png", PNG, beside=noted(sha256=digest(OTHER)))

    assert place.find.run("x.png").best_sidecar == noted(sha256=digest(OTHER))


GONE: Mapping[str, Mapping[str, bytes]] = {
    "x.png does not exist": {},
    "x.png is another image now": {"x.png": OTHER},
    "x.png is not an image any more": {"x.png": b"a letter"},
}


@pytest.mark.parametrize("why", GONE)
def test_of_an_image_whose_file_is_gone_the_note_is_still_there(
    place: Place, why: str
) -> None:
    note = place.remember(1)
    place.files.update(GONE[why])

    found = place.find.run("last")

    assert (found.content, found.best_sidecar) == (None, note)
    with pytest.raises(InvalidRequest, match=f"{note.id} is missing: {why}"):
        place.find.load("last")


def test_an_image_that_went_to_a_stream_is_not_looked_for(place: Place) -> None:
    place.remember(1, at="-")
    place.put("-", PNG)

    assert "standard output" in place.find.run("last").missing_reason


def test_an_image_that_was_changed_since_is_still_the_same_one(place: Place) -> None:
    place.remember(1)
    changed = described(OTHER, noted(id=sample_id(1)))
    place.put("x.png", changed)

    assert place.find.run("last").content == changed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "empty"),
        ("last", "No image was made on this machine yet"),
        ("nothing.png", "No such file: nothing.png"),
        ("cafe", "No such file: cafe, and no image with this id"),
        ("letter.txt", "letter.txt is not a complete image"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(
    place: Place, name: str, said: str
) -> None:
    place.put("letter.txt", b"Dear Sir,")

    with pytest.raises(InvalidRequest, match=said):
        place.find.run(name)


def test_several_of_that_beginning_are_none(place: Place) -> None:
    place.remember(1)
    place.remember(2)

    with pytest.raises(InvalidRequest, match="019a"):
        place.find.run("019a")


@pytest.mark.parametrize(
    "beside",
    [b"{}", b"[]", b"", b"\xff", b"[" * 100_000, b'{"prompt": "of another tool"}'],
)
def test_a_note_that_is_none_of_ours_is_a_warning(place: Place, beside: bytes) -> None:
    place.put("x.png", PNG, beside=beside)

    found = place.find.run("x.png")

    assert found.sidecar is None
    assert "x.png.json" in found.warnings[0]


@pytest.mark.parametrize("why", [None, "{} cannot be read: Permission denied."])
def test_a_warning_does_not_say_where_the_note_is(
    place: Place, why: str | None
) -> None:
    def read(name: str) -> bytes | None:
        if why is not None and name.endswith(".json"):
            raise InvalidRequest(why.format(name))
        return place.files.get(name)

    place.put("/home/me/x.png", PNG, beside=b"{}")
    find = msgspec.structs.replace(place.find, read=read)

    (warning,) = find.run("/home/me/x.png").warnings

    assert warning.startswith("x.png.json ")
    assert "/home" not in warning


def test_a_history_that_cannot_be_read_takes_no_file_away(place: Place) -> None:
    class Damaged(SqliteHistory):
        def get(self, name: str) -> HistoryEntry | None:
            raise JournalError("The database is damaged.")

    content = described(PNG)
    place.put("x.png", content)
    find = msgspec.structs.replace(place.find, history=Damaged(temporary_database()))

    assert find.run("x.png").content == content
    assert find.run("x.png").warnings == (
        "The history cannot be read; run `imagen history` to see why.",
    )
    with pytest.raises(JournalError):
        find.run("last")
