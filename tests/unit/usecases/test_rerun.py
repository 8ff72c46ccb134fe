"""References are found by their content, wherever they are by now."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from tests.contract_internal.databases import temporary_database
from tests.unit.domain.notes import noted
from tests.unit.usecases.scenes import PaidScene

from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.imaging.convert import PillowEditor, compare_pixels
from imagen.domain.errors import InvalidRequest
from imagen.domain.history import HistoryEntry
from imagen.domain.instance import Instance
from imagen.domain.result import StoredImage
from imagen.domain.sidecar import Reference, write_sidecar
from imagen.formats.container import read_facts
from imagen.testing.fakes import tiny_png
from imagen.testing.samples import sample_id
from imagen.usecases.find import FindImage
from imagen.usecases.rerun import PrepareRerun, compare_images

MADE, REFERENCE, OTHER = (tiny_png(colour=(n, 0, 0)) for n in (1, 2, 3))


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


class Place:
    """An image that was made from another, in a folder."""

    def __init__(self) -> None:
        note = noted(
            backend="vendor",
            adapter="scripted",
            model="plain",
            sha256=digest(MADE),
            prompt="a cat",
            prompt_sent="a cat",
            references=(Reference(name="ref.png", sha256=digest(REFERENCE)),),
            applied={"images": ["ref.png"]},
            parameters={},
            adjusted={},
        )
        self.files = {"in/x.png": MADE, "in/x.png.json": write_sidecar(note)}
        self.history = SqliteHistory(temporary_database())
        self.maker = PaidScene().generate
        self.again = PrepareRerun(
            find=FindImage(read=self.files.get, history=self.history),
            read=self.files.get,
            images_in=lambda folder: [
                name for name in self.files if name.startswith(f"{folder}/")
            ],
            history=self.history,
            instances={"vendor": Instance(name="vendor", adapter="scripted")},
            default="vendor",
            folders=("out",),
        )

    def found(self, **wishes: object) -> list[str]:
        """Return the digests of what goes along."""
        request = self.again.build_request(
            self.again.find_source("in/x.png"),
            wishes,
            maker=self.maker,
        )
        return [digest(image.content) for image in request.images]


def beside(place: Place) -> None:
    place.files["in/ref.png"] = REFERENCE


def renamed(place: Place) -> None:
    place.files["in/ref.png"] = OTHER
    place.files["in/photo.jpg"] = REFERENCE


def among_the_images(place: Place) -> None:
    place.files["out/y.png"] = REFERENCE


def in_the_history(place: Place) -> None:
    place.files["far/y.png"] = REFERENCE
    note = noted(id=sample_id(3), sha256=digest(REFERENCE))
    place.history.add([HistoryEntry(location="far/y.png", sidecar=note)])


@pytest.mark.parametrize("put", [beside, renamed, among_the_images, in_the_history])
def test_a_reference_is_found_by_its_content(put: Callable[[Place], None]) -> None:
    place = Place()
    put(place)

    assert place.found() == [digest(REFERENCE)]


def test_a_reference_that_is_nowhere_is_an_error_that_names_it() -> None:
    place = Place()
    place.files["in/ref.png"] = OTHER

    with pytest.raises(InvalidRequest, match=r"made from ref\.png") as raised:
        place.found()

    assert "--image" in raised.value.hint


def test_another_reference_takes_its_place() -> None:
    place = Place()
    from imagen.bootstrap.requests import build_reference

    other = build_reference(OTHER, name="o.png")

    assert place.found(images=(other,)) == [digest(OTHER)]


def test_a_file_that_its_sidecar_is_not_about_is_doubted() -> None:
    place = Place()
    place.files["in/x.png"] = OTHER

    (note,) = place.again.find_source("in/x.png").notes

    assert note == "x.png is not the file that its sidecar describes"


def test_a_file_that_says_nothing_cannot_be_made_again() -> None:
    place = Place()
    place.files["bare.png"] = OTHER

    with pytest.raises(
        InvalidRequest, match=r"No metadata says how bare\.png was made"
    ):
        place.again.find_source("bare.png")


def test_an_image_is_compared_in_the_format_of_the_old_one() -> None:
    editor = PillowEditor()
    jpeg = editor.redraw(MADE, media_type="image/jpeg", fit=None, size=None)

    def made(content: bytes) -> StoredImage:
        return StoredImage(
            number=1,
            location="y.png",
            content=content,
            facts=read_facts(content),
            sidecar=noted(),
        )

    def difference(new: bytes) -> str:
        return compare_images(jpeg, made(new), compare=compare_pixels, editor=editor)

    assert difference(MADE) == ""
    assert difference(tiny_png(colour=(200, 0, 0))) != ""
