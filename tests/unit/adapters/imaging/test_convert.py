from io import BytesIO
from struct import pack
from typing import Any
from zlib import compress, crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from imagen.adapters.imaging.convert import PillowEditor, compare_pixels
from imagen.adapters.imaging.thumbnails import render_thumbnail
from imagen.domain.errors import StorageError
from imagen.domain.fit import Fit
from imagen.domain.size import Size
from imagen.formats.container import PNG_SIGNATURE, read_facts
from imagen.formats.texts import MAX_TEXT

FORMATS = ["image/png", "image/jpeg", "image/webp"]
LOSSLESS = ["image/png", "image/webp"]
RED, BLUE, WHITE, BLACK = (200, 30, 30), (30, 30, 200), (255, 255, 255), (0, 0, 0)


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def halves() -> Image.Image:
    """Return an image that is red on the left and blue on the right."""
    image = Image.new("RGB", (64, 32), RED)
    image.paste(BLUE, (32, 0, 64, 32))
    return image


def redrawn(
    content: bytes,
    media_type: str = "image/png",
    *,
    fit: Fit | None = None,
    size: Size | None = None,
) -> Image.Image:
    written = PillowEditor().redraw(content, media_type=media_type, fit=fit, size=size)
    assert read_facts(written).media_type == media_type
    with Image.open(BytesIO(written)) as image:
        image.load()
    return image


def near(image: Image.Image, at: tuple[int, int], colour: tuple[int, ...]) -> bool:
    pixel = image.convert("RGBA").crop((*at, at[0] + 1, at[1] + 1)).tobytes()
    return all(abs(a - b) <= 12 for a, b in zip(pixel, colour, strict=False))


def with_alpha(kind: str) -> bytes:
    """Return an image that is red on the left and transparent on the right."""
    image = halves().convert("RGBA")
    image.paste((0, 0, 0, 0), (32, 0, 64, 32))
    if kind == "palette":
        palette = Image.new("P", (64, 32), 0)
        palette.putpalette([*RED, 1, 2, 3])
        palette.paste(1, (32, 0, 64, 32))
        return encoded(palette, transparency=1)
    if kind == "grey":
        image = image.convert("LA")
    if kind == "gif":
        return encoded(image, "GIF")
    if kind == "colour key":
        keyed = halves()
        return encoded(keyed, transparency=BLUE)
    return encoded(image)


@pytest.mark.parametrize("media_type", FORMATS)
@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize(
    "size", [Size(16, 16), Size(33, 77), Size(64, 32), Size(200, 50)], ids=str
)
def test_reaches_the_size_exactly(fit: Fit, media_type: str, size: Size) -> None:
    assert redrawn(encoded(halves()), media_type, fit=fit, size=size).size == size.sides


@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize("sides", [(1000, 16), (16, 1000), (1, 1), (3, 500)], ids=str)
def test_reaches_it_from_any_shape(fit: Fit, sides: tuple[int, int]) -> None:
    narrow = encoded(Image.new("RGB", sides))

    assert redrawn(narrow, fit=fit, size=Size(16, 16)).size == (16, 16)


@pytest.mark.parametrize("fit", list(Fit))
def test_needs_a_fit_and_a_size_to_change_the_size(fit: Fit) -> None:
    content = encoded(halves())

    assert redrawn(content, fit=fit).size == (64, 32)
    assert redrawn(content, size=Size(16, 16)).size == (64, 32)


def test_crops_from_the_middle() -> None:
    square = redrawn(encoded(halves()), fit=Fit.CROP, size=Size(32, 32))

    assert near(square, (2, 16), RED)
    assert near(square, (29, 16), BLUE)


def test_resizes_the_whole() -> None:
    tall = redrawn(encoded(halves()), fit=Fit.RESIZE, size=Size(32, 64))

    assert near(tall, (2, 2), RED)
    assert near(tall, (29, 61), BLUE)


@pytest.mark.parametrize("media_type", LOSSLESS)
def test_pads_with_nothing_where_it_can(media_type: str) -> None:
    square = redrawn(encoded(halves()), media_type, fit=Fit.PAD, size=Size(64, 64))

    assert near(square, (5, 5), (0, 0, 0, 0))
    assert near(square, (5, 32), (*RED, 255))


def test_pads_a_jpeg_with_black() -> None:
    square = redrawn(encoded(halves()), "image/jpeg", fit=Fit.PAD, size=Size(64, 64))

    assert near(square, (5, 5), BLACK)
    assert near(square, (5, 32), RED)


@pytest.mark.parametrize("kind", ["full", "palette", "grey", "gif"])
def test_puts_a_jpeg_on_white(kind: str) -> None:
    assert near(redrawn(with_alpha(kind), "image/jpeg"), (48, 16), WHITE)


@pytest.mark.parametrize("kind", ["full", "palette", "grey", "gif"])
@pytest.mark.parametrize("media_type", LOSSLESS)
def test_keeps_what_is_transparent(kind: str, media_type: str) -> None:
    image = redrawn(with_alpha(kind), media_type).convert("RGBA")

    assert image.getchannel("A").getpixel((48, 16)) == 0
    assert image.getchannel("A").getpixel((8, 16)) == 255


@pytest.mark.parametrize(
    ("media_type", "seen"), [("image/jpeg", WHITE), ("image/webp", (*BLUE, 0))]
)
def test_knows_a_transparent_colour(media_type: str, seen: tuple[int, ...]) -> None:
    assert near(redrawn(with_alpha("colour key"), media_type), (48, 16), seen)


@pytest.mark.parametrize("media_type", LOSSLESS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1", "P", "LA"])
def test_loses_nothing(media_type: str, mode: str) -> None:
    picture = Image.radial_gradient("L").resize((40, 24)).convert(mode)

    again = redrawn(encoded(picture), media_type)

    assert again.convert("RGBA").tobytes() == picture.convert("RGBA").tobytes()


def sixteen_bits(
    *, colour_type: int = 0, key: bytes = b"", **texts: tuple[bytes, bytes]
) -> bytes:
    """Return a 16-bit PNG of a third of white.

    Args:
        colour_type: 0 for grey, 2 for RGB.
        key: The transparent colour.
        texts: Chunks `before` or `after` the pixels.
    """
    header = pack(">IIBBBBB", 8, 8, 16, colour_type, 0, 0, 0)
    pixels = 8 * (3 if colour_type else 1)
    rows = (b"\0" + pack(">H", 65535 // 3) * pixels) * 8
    chunks = [
        (b"IHDR", header),
        *([(b"tRNS", key)] if key else []),
        *([texts["before"]] if "before" in texts else []),
        (b"IDAT", compress(rows)),
        *([texts["after"]] if "after" in texts else []),
        (b"IEND", b""),
    ]
    return PNG_SIGNATURE + b"".join(
        pack(">I", len(body)) + kind + body + pack(">I", crc32(kind + body))
        for kind, body in chunks
    )


@pytest.mark.parametrize("media_type", FORMATS)
def test_keeps_the_greys_of_sixteen_bits(media_type: str) -> None:
    assert near(redrawn(sixteen_bits(), media_type), (4, 4), (85, 85, 85))


@pytest.mark.parametrize("colour_type", [0, 2])
def test_knows_a_transparent_colour_of_sixteen_bits(colour_type: int) -> None:
    key = pack(">H", 65535 // 3) * (3 if colour_type else 1)
    keyed = sixteen_bits(colour_type=colour_type, key=key)

    assert near(redrawn(keyed), (4, 4), (85, 85, 85, 0))


def compressed(kind: bytes, size: int) -> tuple[bytes, bytes]:
    return kind, b"name\0\0" + compress(bytes(size))


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    "chunk",
    [
        compressed(b"zTXt", 2 * MAX_TEXT),
        compressed(b"zTXt", MAX_TEXT // 2),
        compressed(b"iCCP", 2 * MAX_TEXT),
        compressed(b"iCCP", MAX_TEXT // 2),
        (b"tEXt", b"name\0" + b"a" * 2 * MAX_TEXT),
    ],
    ids=["bomb", "long text", "huge profile", "large profile", "plain text"],
)
def test_takes_the_texts_and_profiles_that_inspect_takes(
    chunk: tuple[bytes, bytes], place: str
) -> None:
    content = sixteen_bits(**{place: chunk})

    assert near(redrawn(content, "image/jpeg"), (4, 4), (85, 85, 85))
    assert redrawn(content, fit=Fit.CROP, size=Size(16, 16)).size == (16, 16)
    assert compare_pixels(content, content) == ""
    assert render_thumbnail(content)


def test_leaves_the_limits_of_pillow_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK

    redrawn(sixteen_bits(before=compressed(b"iCCP", MAX_TEXT // 2)))

    assert before == (Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK)


@pytest.mark.parametrize("media_type", FORMATS)
def test_redraws_cmyk(media_type: str) -> None:
    cmyk = encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG")

    assert near(redrawn(cmyk, media_type), (8, 8), (0, 255, 255))


def profile(space: bytes) -> bytes:
    """Return the header of an ICC profile, with the colour space at byte 16."""
    return pack(">I12x4s108x", 128, space)


@pytest.mark.parametrize("media_type", FORMATS)
def test_keeps_the_colour_profile(media_type: str) -> None:
    content = encoded(halves(), icc_profile=profile(b"RGB "))

    assert redrawn(content, media_type).info["icc_profile"] == profile(b"RGB ")


@pytest.mark.parametrize(("mode", "space"), [("CMYK", b"CMYK"), ("L", b"GRAY")])
@pytest.mark.parametrize("media_type", FORMATS)
def test_keeps_no_profile_of_other_colours(
    media_type: str, mode: str, space: bytes
) -> None:
    content = encoded(Image.new(mode, (16, 16)), "JPEG", icc_profile=profile(space))

    again = redrawn(content, media_type)

    assert again.info.get("icc_profile", b"")[16:20] in {b"", b"RGB "} or (
        again.mode == mode
    )


@pytest.mark.parametrize("media_type", FORMATS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_turns_the_picture_as_the_camera_was_turned(kind: str, media_type: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is on its right
    how = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(halves(), kind, exif=exif, **how)

    upright = redrawn(content, media_type)

    assert upright.size == (32, 64)
    assert near(upright, (16, 4), RED)
    assert upright.getexif().get(0x0112, 1) == 1


def test_writes_a_jpeg_of_quality_95() -> None:
    reference = encoded(halves(), "JPEG", quality=95)

    with Image.open(BytesIO(reference)) as image:
        tables = vars(image)["quantization"]
    assert vars(redrawn(encoded(halves()), "image/jpeg"))["quantization"] == tables


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        encoded(halves())[:60],
        encoded(halves().resize((400, 400)), "JPEG")[:900],
        encoded(halves(), "WEBP")[:-9],
        PNG_SIGNATURE,
    ],
    ids=["nothing", "a page", "png", "jpeg", "webp", "signature"],
)
@pytest.mark.parametrize("media_type", FORMATS)
def test_what_cannot_be_decoded_is_a_storage_error(
    content: bytes, media_type: str
) -> None:
    with pytest.raises(StorageError, match=f"could not be converted to {media_type}"):
        PillowEditor().redraw(content, media_type=media_type, fit=None, size=None)


def test_what_cannot_be_written_is_a_storage_error() -> None:
    wide = encoded(Image.new("1", (16384, 16)))

    with pytest.raises(StorageError, match="image/webp"):
        PillowEditor().redraw(wide, media_type="image/webp", fit=None, size=None)


def test_redraws_more_pixels_than_pillow_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)

    assert redrawn(encoded(halves()), fit=Fit.RESIZE, size=Size(16, 16)).width == 16
    assert Image.MAX_IMAGE_PIXELS == 500


@pytest.mark.nightly
@pytest.mark.parametrize("side", [10_000, 16_384])
def test_redraws_the_largest_sizes_that_can_be_requested(side: int) -> None:
    large = encoded(Image.new("1", (side, side)), compress_level=1)

    assert redrawn(large, fit=Fit.RESIZE, size=Size(16, 16)).size == (16, 16)


SAMPLES = [
    encoded(halves(), kind, **how)
    for kind, how in (
        ("PNG", {}),
        ("JPEG", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
        ("WEBP", {}),
        ("GIF", {}),
    )
]


@given(st.sampled_from(SAMPLES), st.data())
@pytest.mark.filterwarnings("ignore")
def test_damage_is_redrawn_or_a_storage_error(
    content: bytes, data: st.DataObject
) -> None:
    changed = bytearray(content)
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        changed[at] = data.draw(st.integers(0, 255))

    try:
        PillowEditor().redraw(
            bytes(changed), media_type="image/jpeg", fit=Fit.CROP, size=Size(16, 16)
        )
    except StorageError as error:
        assert error.message.endswith(".")  # noqa: PT017 - both outcomes are fine


def test_pillow_is_strict_about_files_that_are_cut_off() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_same_pixels_are_equal_however_they_are_packed(kind: str) -> None:
    first = encoded(halves(), "PNG", compress_level=0)
    how = {"lossless": True} if kind == "WEBP" else {"optimize": True}

    assert compare_pixels(first, encoded(halves(), kind, **how)) == ""
    assert compare_pixels(first, encoded(halves().quantize(2))) == ""


def test_one_pixel_is_enough_to_differ() -> None:
    tall = Image.new("RGB", (3, 700), RED)
    other = tall.copy()
    other.putpixel((2, 699), (RED[0], RED[1], RED[2] + 7))

    said = compare_pixels(encoded(tall), encoded(other))

    assert said == "its pixels differ by up to 7 of 255"


def test_a_difference_in_the_lower_byte_of_16_bits_is_one() -> None:
    deep = Image.new("I;16", (4, 4), 1000)
    other = Image.new("I;16", (4, 4), 1001)

    assert compare_pixels(encoded(deep), encoded(deep, compress_level=0)) == ""
    assert compare_pixels(encoded(deep), encoded(other)) == "its pixels differ"


def test_sizes_and_frames_differ() -> None:
    small = Image.new("RGB", (2, 2), RED)
    two = encoded(small, save_all=True, append_images=[Image.new("RGB", (2, 2), BLUE)])

    assert (
        compare_pixels(encoded(small), encoded(halves()))
        == "its size is 64x32 instead of 2x2"
    )
    assert compare_pixels(two, encoded(small)) == "its frame count is 1 instead of 2"
    assert compare_pixels(two, two) == ""


def test_what_cannot_be_decoded_cannot_be_compared() -> None:
    whole = encoded(halves())

    with pytest.raises(StorageError, match="cannot be compared"):
        compare_pixels(whole, whole[:-20])
