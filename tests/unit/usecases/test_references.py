"""Masks and the orientation of reference images, decided before anything is sent."""

import struct
from hashlib import sha256
from io import BytesIO

import pytest
from PIL import Image

from imagen.adapters.imaging.convert import PillowEditor
from imagen.bootstrap.requests import build_reference
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest, Unsupported
from imagen.domain.reference import ReferenceImage, ReferenceLimits
from imagen.domain.request import GenerationRequest
from imagen.formats.container import PNG_SIGNATURE, png_chunk
from imagen.formats.details import read_details
from imagen.formats.exif import build_orientation_exif
from imagen.usecases.references import prepare_references


def reference(
    kind: str, width: int, height: int, *, orientation: int = 1, name: str = "a"
) -> ReferenceImage:
    buffer, exif = BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    picture = Image.new("RGB", (width, height), "red")
    picture.putpixel((0, 0), (0, 0, 255))
    picture.save(buffer, kind, exif=exif)
    return build_reference(buffer.getvalue(), name=f"{name}.{kind.lower()}")


def prepare(
    *images: ReferenceImage, mask: ReferenceImage | None = None, honours: bool = False
) -> GenerationRequest:
    return prepare_for(Capabilities(orientation=honours), *images, mask=mask)


def prepare_for(
    capabilities: Capabilities,
    *images: ReferenceImage,
    mask: ReferenceImage | None = None,
) -> GenerationRequest:
    return prepare_references(
        GenerationRequest(prompt="a cat", images=images, mask=mask),
        backend="box",
        capabilities=capabilities,
        load_editor=PillowEditor,
    )


KINDS = ("JPEG", "PNG", "WEBP")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_image_is_sent_upright_and_that_is_reported(
    kind: str, orientation: int
) -> None:
    image = reference(kind, 32, 16, orientation=orientation)

    request = prepare(image)

    (sent,) = request.images
    assert read_details(sent.content).orientation == 0
    with Image.open(BytesIO(sent.content)) as picture:
        assert picture.size == ((16, 32) if orientation > 4 else (32, 16))
        assert picture.format == kind
    # A rerun finds the file of the user by this.
    assert sent.sha256 == sha256(image.content).hexdigest()
    # A lost job is found at the backend by this.
    assert sent.content_sha256 == sha256(sent.content).hexdigest()
    change = request.dropped.adjusted["orientation"]
    assert (change.requested, change.used) == (
        f"{orientation} of {image.name}",
        "upright",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_backend_that_turns_images_gets_them_byte_for_byte(kind: str) -> None:
    turned, plain = reference(kind, 32, 16, orientation=6), reference(kind, 32, 16)

    assert prepare(turned, honours=True).images == (turned,)
    assert prepare(plain).images == (plain,)
    assert prepare(plain).dropped.adjusted == {}


def test_with_a_mask_both_are_sent_upright_to_any_backend() -> None:
    image = reference("JPEG", 32, 16, orientation=6)
    mask = reference("PNG", 32, 16, orientation=8, name="mask")

    request = prepare(image, mask=mask, honours=True)

    assert request.mask is not None
    for sent in (*request.images, request.mask):
        with Image.open(BytesIO(sent.content)) as picture:
            assert picture.size == (16, 32)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        (reference("PNG", 32, 16), reference("PNG", 16, 32, name="mask")),
        (reference("JPEG", 32, 16, orientation=6), reference("PNG", 32, 16)),
        (reference("PNG", 32, 16), reference("WEBP", 64, 32)),
    ],
)
def test_a_mask_of_another_displayed_size_is_refused(
    image: ReferenceImage, mask: ReferenceImage
) -> None:
    with pytest.raises(InvalidRequest, match=r"^The mask .* is \d+x\d+, and the image"):
        prepare(image, mask=mask)


def test_an_image_that_cannot_be_turned_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    chunks = {b"IHDR": header, b"eXIf": build_orientation_exif(6), b"IDAT": b"x"}
    parts = [png_chunk(*chunk) for chunk in (*chunks.items(), (b"IEND", b""))]
    broken = build_reference(b"".join((PNG_SIGNATURE, *parts)), name="a.png")

    with pytest.raises(InvalidRequest, match=r"^a\.png cannot be turned upright"):
        prepare(broken)


def test_a_mask_of_the_displayed_size_is_taken() -> None:
    image = reference("JPEG", 32, 16, orientation=6)

    assert prepare(image, mask=reference("PNG", 16, 32)).mask is not None


MODERN = ReferenceLimits(formats=("image/jpeg", "image/png"))


def test_an_image_of_another_format_is_converted_without_loss_and_reported() -> None:
    image = reference("WEBP", 32, 16)

    request = prepare_for(Capabilities(reference_limits=MODERN), image)

    (sent,) = request.images
    assert (sent.media_type, sent.sha256) == ("image/png", image.sha256)
    with Image.open(BytesIO(sent.content)) as picture:
        assert picture.format == "PNG"
    change = request.dropped.adjusted["format"]
    assert (change.requested, change.used) == ("a.webp", "image/png")


def test_an_image_of_a_format_that_is_taken_is_sent_byte_for_byte() -> None:
    image = reference("JPEG", 32, 16)

    request = prepare_for(Capabilities(reference_limits=MODERN), image)

    assert request.images == (image,)
    assert request.dropped.adjusted == {}


def test_an_animation_is_reported_with_its_frames() -> None:
    frames, buffer = (
        [Image.new("RGB", (8, 8), each) for each in ("red", "blue")],
        BytesIO(),
    )
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    image = build_reference(buffer.getvalue(), name="a.gif")

    request = prepare_for(Capabilities(reference_limits=MODERN), image)

    assert request.dropped.adjusted["format"].requested == "a.gif of 2 frames"


def test_the_mask_has_limits_of_its_own() -> None:
    limits = ReferenceLimits(formats=("image/png",))
    image, mask = reference("WEBP", 8, 8), reference("WEBP", 8, 8, name="mask")

    request = prepare_for(Capabilities(mask_limits=limits), image, mask=mask)

    assert request.images == (image,)
    assert request.mask is not None
    assert request.mask.media_type == "image/png"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_bytes": 20}, "box takes images of at most 2e-05 MB; a.png has 32x16"),
        ({"smallest": 17}, "box takes images with sides of at least 17 pixels; a.png"),
        ({"largest": 31}, "box takes images with sides of at most 31 pixels; a.png"),
        ({"max_pixels": 500}, "box takes images of at most 0.0005 megapixels; a.png"),
        ({"max_ratio": 1.5}, "box takes images with sides of at most 1 to 1.5; a.png"),
        ({"max_total_bytes": 99}, "box takes 9.9e-05 MB of images at most, not"),
    ],
)
def test_an_image_beyond_a_limit_is_refused_before_it_is_sent(
    limits: dict[str, int], message: str
) -> None:
    rule = ReferenceLimits(**limits)  # type: ignore[arg-type]

    with pytest.raises(Unsupported, match=f"^{message}"):
        prepare_for(Capabilities(reference_limits=rule), reference("PNG", 32, 16))


def test_an_image_within_the_limits_is_taken() -> None:
    image = reference("PNG", 32, 16)
    size = len(image.content)
    rule = ReferenceLimits(
        max_bytes=size,
        max_total_bytes=size,
        smallest=16,
        largest=32,
        max_pixels=512,
        max_ratio=2,
    )

    assert prepare_for(Capabilities(reference_limits=rule), image).images == (image,)
