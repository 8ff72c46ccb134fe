import json
import struct
import zlib
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO

import msgspec
import pytest
from PIL import Image
from tests.contract_internal.fakes.images import PlainEditor

from imagen.adapters.imaging.convert import PillowEditor
from imagen.domain.call import OutputTarget
from imagen.domain.errors import BackendError, StorageError
from imagen.domain.fit import Fit
from imagen.domain.metadata.reader import read_embedded_metadata
from imagen.domain.metadata.writer import strip_metadata
from imagen.domain.naming import Destination
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.sidecar import Sidecar
from imagen.domain.size import Size
from imagen.engine.store import FinishedImage, StoreImage
from imagen.formats.container import PNG_SIGNATURE, ImageFacts, png_chunk, read_facts
from imagen.ports.images import ImageEditor
from imagen.testing.fakes import MemoryStorage, tiny_png

AT = datetime(2026, 5, 8, 14, 30, 15, tzinfo=UTC)
NAME = "2026-05-08-143015-a-cat-42.png"
NOTE = Sidecar(
    id="0198",
    created_at="2026-05-08T14:30:15.000Z",
    prompt="a cat",
    negative="",
    style=None,
    prompt_sent="a cat",
    prompt_sha256="00",
    backend="mock",
    adapter="mock",
    model="plain",
    seed=42,
    steps=None,
    width=64,
    height=64,
    requested_size="64x64",
    mime_type="image/png",
    bytes=0,
    sha256="",
    source_sha256="22",
    latency_ms=3,
    cost_usd=None,
    cost_source="unknown",
    caller="me",
    imagen_version="1.0",
)


class FullStorage(MemoryStorage):
    """Has no room left."""

    def save(
        self,
        name: str,
        content: bytes,
        *,
        media_type: str,
        sidecar: bytes | None = None,
        again: bool = False,
    ) -> str:
        raise StorageError("The disk is full.", hint="Make room.")


class BrokenEditor:
    """Cannot redraw, for one reason or another."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def redraw(
        self, content: bytes, *, media_type: str, fit: Fit | None, size: Size | None
    ) -> bytes:
        raise self.error


class Scene:
    """A place for images, two others for rescues, and a way to put one there."""

    def __init__(
        self,
        *,
        storage: MemoryStorage | None = None,
        rescues: tuple[MemoryStorage, ...] | None = None,
        editor: ImageEditor | None = None,
        destination: Destination | None = None,
        sidecar: bool = True,
        metadata: bool = True,
    ) -> None:
        self.storage = storage or MemoryStorage()
        self.rescues = (
            (MemoryStorage(), MemoryStorage()) if rescues is None else rescues
        )
        self.store = StoreImage(
            storage=self.storage,
            rescues=self.rescues,
            load_editor=lambda: editor or PlainEditor(),
            place=OutputTarget(
                destination=destination or Destination(),
                sidecar=sidecar,
                metadata=metadata,
            ),
        )

    def put(
        self,
        content: bytes,
        *,
        fit: Fit | None = None,
        size: Size | None = None,
        number: int = 1,
        count: int = 1,
    ) -> StoredImage | FailedImage:
        finished = self.finish(content, fit=fit, size=size)
        note = msgspec.structs.replace(NOTE, mime_type=finished.facts.media_type)
        return self.store.save(finished, note, number=number, count=count, at=AT)

    def finish(
        self, content: bytes, *, fit: Fit | None = None, size: Size | None = None
    ) -> FinishedImage:
        facts = self.store.read_facts(content, backend="mock")
        return self.store.finish(content, facts, fit=fit, size=size or Size(64, 64))


def encoded(kind: str, mode: str = "RGB", **how: object) -> bytes:
    buffer = BytesIO()
    Image.new(mode, (64, 64)).save(buffer, kind, **how)
    return buffer.getvalue()


def signed_png() -> bytes:
    plain, body = tiny_png(), b"caBXmanifest"
    manifest = (
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    )
    return plain[:33] + manifest + plain[33:]


def kept_image(storage: MemoryStorage, name: str = NAME) -> bytes:
    return storage.kept[name]


def test_stores_the_image_and_its_note() -> None:
    scene = Scene()

    stored = scene.put(tiny_png())

    assert isinstance(stored, StoredImage)
    assert stored.location == f"memory:{NAME}"
    assert scene.storage.kept.keys() == {NAME, f"{NAME}.json"}
    assert scene.storage.media_types == {NAME: "image/png"}


def test_the_note_has_size_and_hash_of_the_file() -> None:
    scene = Scene()

    scene.put(tiny_png())

    file, note = (
        kept_image(scene.storage),
        json.loads(scene.storage.kept[f"{NAME}.json"]),
    )
    assert note["bytes"] == len(file)
    assert note["sha256"] == sha256(file).hexdigest()


def test_what_is_returned_is_what_was_stored() -> None:
    scene = Scene()

    stored = scene.put(tiny_png())

    assert isinstance(stored, StoredImage)
    assert stored.content == kept_image(scene.storage)
    assert stored.sidecar.sha256 == sha256(stored.content).hexdigest()
    assert stored.facts == read_facts(stored.content)


def test_takes_the_next_free_name() -> None:
    scene = Scene()

    for _ in range(3):
        scene.put(tiny_png())

    assert [name for name in scene.storage.kept if name.endswith("g")] == [
        NAME,
        NAME.replace(".png", "-2.png"),
        NAME.replace(".png", "-3.png"),
    ]


def test_leaves_a_sidecar_that_has_the_name() -> None:
    scene = Scene()
    scene.storage.kept[f"{NAME}.json"] = b"theirs"

    scene.put(tiny_png())

    assert scene.storage.kept[f"{NAME}.json"] == b"theirs"
    assert NAME.replace(".png", "-2.png") in scene.storage.kept


def test_a_file_that_appears_under_the_name_is_not_replaced() -> None:
    scene = Scene(destination=Destination(name="x.png"))
    scene.storage.kept |= {"x.png": b"theirs"}

    scene.put(tiny_png())

    assert scene.storage.kept["x.png"] == b"theirs"
    assert scene.storage.kept.keys() == {"x.png", "x-2.png", "x-2.png.json"}


def test_several_under_one_name_are_numbered() -> None:
    scene = Scene(destination=Destination(name="x.png"), sidecar=False)

    for number in (1, 2):
        scene.put(tiny_png(), number=number, count=2)

    assert scene.storage.kept.keys() == {"x-1.png", "x-2.png"}


def test_without_a_sidecar_the_image_lies_alone() -> None:
    scene = Scene(sidecar=False)

    scene.put(tiny_png())

    assert scene.storage.kept.keys() == {NAME}


def test_without_metadata_the_file_is_as_it_came() -> None:
    scene = Scene(metadata=False)

    scene.put(tiny_png())

    assert kept_image(scene.storage) == tiny_png()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (signed_png(), NAME),
        (encoded("GIF"), NAME.replace("png", "gif")),
    ],
    ids=["signed", "gif"],
)
def test_leaves_some_files_byte_for_byte(content: bytes, name: str) -> None:
    scene = Scene()

    scene.put(content)

    assert kept_image(scene.storage, name) == content


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_note_is_inside_as_well(kind: str) -> None:
    stored = Scene().put(encoded(kind))

    assert isinstance(stored, StoredImage)
    recipe = read_embedded_metadata(stored.content).recipe
    assert recipe is not None
    assert recipe.sidecar is not None
    assert recipe.sidecar.id == stored.sidecar.id


@pytest.mark.parametrize("name", ["x.webp", "x.jpg", "x.png", "x.JPEG"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_the_extension_decides_the_format(name: str, kind: str) -> None:
    destination = Destination(name=name)
    scene = Scene(destination=destination, editor=PillowEditor())

    stored = scene.put(encoded(kind))

    assert isinstance(stored, StoredImage)
    assert read_facts(scene.storage.kept[name]).media_type == destination.media_type


def test_a_conversion_is_noted() -> None:
    scene = Scene(destination=Destination(name="x.webp"), editor=PillowEditor())

    finished = scene.finish(signed_png())

    assert finished.notes[0] == "converted from image/png to image/webp"
    assert finished.losses == ("the C2PA provenance of the original is lost",)
    assert not finished.facts.signed


def animation(kind: str, **how: object) -> bytes:
    buffer = BytesIO()
    first, *others = (
        Image.new("RGB", (8, 8), each) for each in ("red", "blue", "lime")
    )
    first.save(buffer, kind, save_all=True, append_images=others, **how)
    return buffer.getvalue()


def deep_png(colour_type: int) -> bytes:
    """Return a PNG of one pixel with 16 bits per channel."""
    channels = {0: 1, 2: 3, 6: 4}[colour_type]
    header = struct.pack(">IIBBBBB", 1, 1, 16, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"\0" + b"\x12\x34" * channels)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(png_chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize(
    ("content", "lost"),
    [
        (animation("GIF"), "only the first of its 3 frames is kept"),
        (animation("PNG"), "only the first of its 3 frames is kept"),
        (animation("WEBP", lossless=True), "only the first of its 3 frames is kept"),
        (deep_png(0), "its 16 bits per channel became 8"),
        (deep_png(2), "its 16 bits per channel became 8"),
        (deep_png(6), "its 16 bits per channel became 8"),
    ],
)
def test_frames_and_bits_that_a_conversion_loses_are_named(
    content: bytes, lost: str
) -> None:
    scene = Scene(destination=Destination(name="x.jpg"), editor=PillowEditor())

    assert scene.finish(content).losses == (lost,)


@pytest.mark.parametrize(
    "content", [encoded("PNG"), encoded("WEBP"), encoded("GIF", "P"), encoded("AVIF")]
)
def test_a_conversion_of_plain_pixels_loses_nothing(content: bytes) -> None:
    scene = Scene(destination=Destination(name="x.jpg"), editor=PillowEditor())

    assert scene.finish(content).losses == ()


@pytest.mark.parametrize("fit", list(Fit))
def test_an_image_that_is_far_too_small_stays_as_it_came(fit: Fit) -> None:
    scene = Scene(editor=PillowEditor())
    facts, size = read_facts(tiny_png(16, 16)), Size(64, 64)

    finished = scene.finish(tiny_png(16, 16), fit=fit, size=size)
    enlarged = scene.store.finish(
        tiny_png(16, 16), facts, fit=fit, size=size, upscale=True
    )

    assert finished.content == tiny_png(16, 16)
    assert finished.unfitted.startswith("it would enlarge 16x16 to 64x64, more than 2")
    assert (enlarged.facts.width, enlarged.unfitted) == (64, "")


def test_what_needs_no_change_is_not_redrawn() -> None:
    editor = PlainEditor()
    scene = Scene(editor=editor, destination=Destination(name="x.png"))

    finished = scene.finish(tiny_png(), fit=Fit.CROP, size=Size(64, 64))

    assert (finished.content, finished.notes, editor.calls) == (tiny_png(), (), [])


@pytest.mark.parametrize("fit", list(Fit))
def test_fits_and_says_so(fit: Fit) -> None:
    scene = Scene()

    finished = scene.finish(tiny_png(64, 32), fit=fit, size=Size(32, 32))

    assert (finished.facts.width, finished.facts.height) == (32, 32)
    assert finished.notes[0] == f"{fit} from 64x32 to 32x32"


def test_a_gif_that_is_fitted_becomes_a_png() -> None:
    scene = Scene(editor=PillowEditor())

    stored = scene.put(encoded("GIF"), fit=Fit.CROP, size=Size(32, 32))

    assert isinstance(stored, StoredImage)
    assert stored.location.endswith(".png")
    assert stored.facts == ImageFacts(media_type="image/png", width=32, height=32)


def test_what_cannot_be_stored_is_rescued() -> None:
    scene = Scene(storage=FullStorage())

    failed = scene.put(tiny_png())

    assert isinstance(failed, FailedImage)
    assert failed.rescued is not None
    assert failed.rescued.location == f"memory:{NAME}"
    assert isinstance(failed.error, StorageError)
    assert failed.error.message == (
        f"The disk is full. The image is safe at memory:{NAME}."
    )
    assert failed.error.hint == "Make room."


def test_the_first_rescue_that_works_is_taken() -> None:
    places = FullStorage(), MemoryStorage(), MemoryStorage()

    Scene(storage=FullStorage(), rescues=places).put(tiny_png())

    assert [bool(place.kept) for place in places] == [False, True, False]


def test_says_when_no_place_takes_it() -> None:
    failed = Scene(storage=FullStorage(), rescues=(FullStorage(),)).put(tiny_png())

    assert isinstance(failed, FailedImage)
    assert failed.rescued is None
    assert "could not be stored in another place either" in str(failed.error)


def test_a_rescue_overwrites_nothing() -> None:
    named = Destination(name="x.png")
    scene = Scene(storage=FullStorage(), destination=named)

    for number in (1, 2):
        scene.put(tiny_png(), number=number, count=2)

    images = [name for name in scene.rescues[0].kept if name.endswith(".png")]
    assert images == [NAME, NAME.replace(".png", "-2.png")]


def test_what_cannot_be_redrawn_is_rescued_as_it_came() -> None:
    editor = BrokenEditor(StorageError("Not that one."))
    scene = Scene(destination=Destination(name="x.webp"), editor=editor)

    failed = scene.put(encoded("JPEG"))

    assert isinstance(failed, FailedImage)
    assert scene.storage.kept == {}
    name = NAME.replace("png", "jpg")
    assert strip_metadata(kept_image(scene.rescues[0], name)) == encoded("JPEG")
    assert str(failed.error).startswith("Not that one. The image is safe at ")


@pytest.mark.parametrize("error", [MemoryError(), IndexError(), OverflowError()])
def test_a_fault_of_the_editor_loses_nothing(error: Exception) -> None:
    scene = Scene(destination=Destination(name="x.webp"), editor=BrokenEditor(error))

    scene.put(tiny_png())

    assert scene.rescues[0].kept


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "mock returned 0 bytes that are not a complete image: it is empty"),
        (b"<html>Sorry", "it is an HTML page"),
        (tiny_png()[:-5], "the PNG ends too early"),
    ],
)
def test_what_is_no_image_is_the_backends_fault(content: bytes, said: str) -> None:
    with pytest.raises(BackendError, match=said):
        Scene().store.read_facts(content, backend="mock")


# AVIF and SVG

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="32"></svg>'


@pytest.mark.parametrize(
    ("content", "extension"), [(encoded("AVIF"), "avif"), (SVG, "svg")]
)
def test_avif_and_svg_are_stored_as_they_came(content: bytes, extension: str) -> None:
    scene = Scene(editor=BrokenEditor(AssertionError()))

    stored = scene.put(content)

    assert isinstance(stored, StoredImage)
    assert scene.storage.kept[NAME.replace("png", extension)] == content


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_avif_is_converted(extension: str) -> None:
    scene = Scene(destination=Destination(name=f"x.{extension}"), editor=PillowEditor())

    stored = scene.put(encoded("AVIF"))

    assert isinstance(stored, StoredImage)
    assert read_facts(stored.content) == stored.facts
    assert stored.location == f"memory:x.{extension}"


def test_avif_is_fitted() -> None:
    scene = Scene(editor=PillowEditor())

    finished = scene.finish(encoded("AVIF"), fit=Fit.CROP, size=Size(32, 16))

    assert (finished.facts.width, finished.facts.height) == (32, 16)


def test_svg_is_stored_under_a_template_in_place_of_another_format() -> None:
    scene = Scene(destination=Destination(format="image/webp"))

    finished = scene.finish(SVG, fit=Fit.CROP, size=Size(16, 16))
    stored = scene.put(SVG)

    assert isinstance(stored, StoredImage)
    assert scene.storage.kept[NAME.replace("png", "svg")] == SVG
    assert finished.notes == ("an SVG image cannot be converted or fitted",)


def test_svg_is_rescued_in_place_of_a_file_with_another_name() -> None:
    scene = Scene(destination=Destination(name="x.png"))

    failed = scene.put(SVG)

    assert isinstance(failed, FailedImage)
    assert scene.rescues[0].kept[NAME.replace("png", "svg")] == SVG
    assert scene.storage.kept == {}
