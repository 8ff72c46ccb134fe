import zlib
from hashlib import sha256
from io import BytesIO
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.unit.domain.pictures import FILES, Files, chunk, encoded, riff, segment

from imagen.formats.container import (
    PNG_SIGNATURE,
    ImageFacts,
    NotAnImage,
    jpeg_segments,
    png_chunks,
    read_facts,
    webp_chunks,
)
from imagen.formats.png import mend_png_checksums


def picture(mode: str = "RGB", width: int = 24, height: int = 17) -> Image.Image:
    return Image.radial_gradient("L").resize((width, height)).convert(mode)


ANIMATED = {"save_all": True, "append_images": [picture("L").convert("RGB").rotate(9)]}
PNG = encoded(picture(), "PNG")
JPEG = encoded(picture(), "JPEG")
LOSSY = encoded(picture(), "WEBP", quality=50)
GIF = encoded(picture(), "GIF")
AVIF = encoded(picture(), "AVIF")
NOISE = Image.frombytes(
    "L", (48, 48), b"".join(sha256(bytes([n])).digest() for n in range(72))
)

WHOLE = Files(
    {
        "png": lambda: PNG,
        "png grey": lambda: encoded(picture("L"), "PNG"),
        "png palette": lambda: encoded(picture("P"), "PNG"),
        "png transparent": lambda: encoded(picture("RGBA"), "PNG"),
        "png animated": lambda: encoded(picture(), "PNG", **ANIMATED),
        "jpeg": lambda: JPEG,
        "jpeg progressive": lambda: encoded(
            picture(), "JPEG", progressive=True, quality=95
        ),
        "jpeg grey": lambda: encoded(picture("L"), "JPEG"),
        "jpeg cmyk": lambda: encoded(picture("CMYK"), "JPEG"),
        "jpeg with a thumbnail": lambda: (
            JPEG[:2] + segment(0xE1, b"Exif\0\0" + JPEG) + JPEG[2:]
        ),
        "jpeg with restarts": lambda: encoded(
            picture(), "JPEG", restart_marker_blocks=1
        ),
        "webp lossy": lambda: LOSSY,
        "webp lossless": lambda: encoded(picture(), "WEBP", lossless=True),
        "webp transparent": lambda: encoded(
            picture("LA").convert("RGBA"), "WEBP", quality=50
        ),
        "webp animated": lambda: encoded(picture(), "WEBP", **ANIMATED),
        "webp with exif": lambda: encoded(picture(), "WEBP", exif=b"Exif\0\0MM"),
        "avif": lambda: AVIF,
        "avif transparent": lambda: encoded(picture("RGBA"), "AVIF"),
        "avif animated": lambda: encoded(picture(), "AVIF", **ANIMATED),
        "gif": lambda: GIF,
        "gif animated": lambda: encoded(picture(), "GIF", **ANIMATED),
    }
)
WALKED = [name for name in WHOLE if "gif" not in name]


@pytest.mark.parametrize("name", WHOLE)
def test_reads_type_and_size(name: str) -> None:
    facts = read_facts(WHOLE[name])

    assert facts == ImageFacts(
        media_type="image/" + name.split(maxsplit=1)[0], width=24, height=17
    )


def test_reads_an_interlaced_png() -> None:
    header = pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0"))
    interlaced = PNG_SIGNATURE + body + chunk(b"IEND")

    assert (read_facts(interlaced).width, read_facts(interlaced).height) == (1, 1)
    Image.open(BytesIO(interlaced)).load()


@pytest.mark.parametrize("name", WHOLE)
def test_takes_what_follows_the_end(name: str) -> None:
    assert read_facts(WHOLE[name] + bytes(7)) == read_facts(WHOLE[name])


def test_takes_fill_bytes_between_segments() -> None:
    filled = JPEG[:2] + b"\xff\xff\xff" + JPEG[2:]

    assert read_facts(filled) == read_facts(JPEG)


@pytest.mark.parametrize("name", WALKED)
def test_notices_every_cut(name: str) -> None:
    content = WHOLE[name]

    taken = [end for end in range(len(content)) if is_image(content[:end])]

    assert taken == []


def test_notices_every_cut_of_a_gif() -> None:
    content = encoded(NOISE, "GIF")

    taken = [end for end in range(len(content)) if is_image(content[:end])]

    assert taken == []


def test_notices_a_gif_without_a_picture() -> None:
    assert not is_image(b"GIF89a" + pack("<HHBBB", 24, 17, 0, 0, 0) + b";")


def test_notices_every_flipped_bit_of_a_png() -> None:
    small = encoded(Image.new("L", (2, 2)), "PNG")

    taken = [bit for bit in range(len(small) * 8) if is_image(flipped(small, bit))]

    assert taken == []


@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_any_damage_is_an_image_or_a_sentence(name: str, data: st.DataObject) -> None:
    content = WHOLE[name]
    for bit in data.draw(st.lists(st.integers(0, len(content) * 8 - 1), max_size=4)):
        content = flipped(content, bit)

    assert is_image(content[: data.draw(st.integers(0, len(content)))]) in {True, False}


@given(
    st.sampled_from(
        [
            b"",
            PNG_SIGNATURE,
            PNG[:33],
            b"\xff\xd8\xff",
            JPEG[:20],
            b"RIFF\x40\0\0\0WEBP",
            b"RIFF\x40\0\0\0WEBPVP8 ",
            b"RIFF\x40\0\0\0WEBPVP8L",
            b"RIFF\x40\0\0\0WEBPVP8X",
            b"GIF87a",
            b"GIF89a",
            b"\0\0\0\x18ftypavif\0\0\0\0avif",
            AVIF[:60],
        ]
    ),
    st.binary(max_size=200),
)
def test_anything_is_an_image_or_a_sentence(magic: bytes, rest: bytes) -> None:
    assert is_image(magic + rest) in {True, False}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>502</title>", "HTML"),
        (b"\n  <HTML>", "HTML"),
        (b'{"error": "no"}', "JSON"),
        (b"[]", "JSON"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><g>', "SVG ends too early"),
        (b'<?xml version="1.0"?>\n<svg>', "SVG ends too early"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "AVIF ends too early"),
        (b"\0\0\0\x10ftypavis\0\0\0\0", "AVIF has no image data"),
        (b"\0\0\0\x10ftypavif\0\0\0\0\0\0\0\x09mdatx", "AVIF has no size"),
        (b"\0\0\0\x10ftypheic\0\0\0\0", "begins with"),
        (b"BM123456789", "42 4d 31"),
        (PNG_SIGNATURE, "ends too early"),
        (PNG_SIGNATURE + chunk(b"IEND"), "does not begin with its header"),
        (PNG_SIGNATURE + chunk(b"IHDR", bytes(13)) + chunk(b"IEND"), "no image data"),
        (PNG[:40] + b"x" + PNG[41:], "checksum"),
        (b"\xff\xd8\xff\xd9", "no image data"),
        (b"\xff\xd8\xff\xda\0\x02\xff\xd9", "no size"),
        (JPEG[:-2], "ends too early"),
        (JPEG[:2] + b"\xff\xe0\0\x02oops" + JPEG[2:], "between its segments"),
        (riff(), "no image data"),
        (riff((b"EXIF", b"MM")), "no image data"),
        (LOSSY[:-3], "ends too early"),
        (GIF[:-1], "ends too early"),
    ],
)
def test_says_what_it_is_instead(content: bytes, said: str) -> None:
    with pytest.raises(NotAnImage, match=said):
        read_facts(content)


def test_refuses_an_image_without_extent() -> None:
    header = chunk(b"IHDR", pack(">IIBBBBB", 0, 5, 8, 0, 0, 0, 0))

    with pytest.raises(NotAnImage, match="0x5 pixels"):
        read_facts(PNG_SIGNATURE + header + chunk(b"IDAT") + chunk(b"IEND"))


SIGNED = {
    "png": PNG[:33] + chunk(b"caBX", b"manifest") + PNG[33:],
    "jpeg": JPEG[:2]
    + segment(0xEB, b"JP\0\x01\0\0\0\x01\0\0\0\x40jumb" + bytes(52))
    + JPEG[2:],
    "webp": riff(
        (b"VP8X", b"\0\0\0\0\x17\0\0\x10\0\0"),
        (LOSSY[12:16], LOSSY[20:]),
        (b"C2PA", b"manifest!"),
    ),
}


@pytest.mark.parametrize("name", SIGNED)
def test_notices_a_c2pa_manifest(name: str) -> None:
    facts = read_facts(SIGNED[name])

    assert facts == ImageFacts(
        media_type=f"image/{name}", width=24, height=17, signed=True
    )


@pytest.mark.parametrize("name", SIGNED)
def test_the_signed_files_can_be_decoded(name: str) -> None:
    with Image.open(BytesIO(SIGNED[name])) as image:
        image.load()

    assert image.size == (24, 17)


def test_another_app11_segment_is_not_a_signature() -> None:
    other = JPEG[:2] + segment(0xEB, b"HDR_RI ver=11" + bytes(40)) + JPEG[2:]

    assert not read_facts(other).signed


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("png")])
def test_the_chunks_of_a_png_follow_each_other(name: str) -> None:
    places = list(png_chunks(FILES[name]))

    assert [start for _, start, _ in places] == [8, *(end for _, _, end in places)][:-1]
    assert [kind for kind, _, _ in places][:: len(places) - 1] == [b"IHDR", b"IEND"]


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("jpeg")])
def test_the_segments_of_a_jpeg_follow_each_other(name: str) -> None:
    places = list(jpeg_segments(FILES[name]))

    ends = [end for _, _, _, end in places]
    assert [start for _, start, _, _ in places] == [2, *ends][:-1]
    assert places[-1][0] == 0xD9
    markers = [marker for marker, *_ in places]
    assert markers.count(0) == markers.count(0xDA) > 0


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("webp")])
def test_the_chunks_of_a_webp_follow_each_other(name: str) -> None:
    places = list(webp_chunks(FILES[name]))

    ends = [end + (end - body) % 2 for _, _, body, end in places]
    assert [start for _, start, _, _ in places] == [12, *ends][:-1]


def test_a_segment_shorter_than_its_length_is_broken() -> None:
    with pytest.raises(NotAnImage, match="impossible length"):
        read_facts(JPEG[:2] + b"\xff\xe0\0\1" + JPEG[2:])


def is_image(content: bytes) -> bool:
    try:
        facts = read_facts(content)
    except NotAnImage as why:
        assert str(why)  # noqa: PT017 - both outcomes are fine, another error is not
        return False
    assert facts.width > 0
    assert facts.height > 0
    return True


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# AVIF


def test_a_rotated_avif_has_the_size_before_the_rotation() -> None:
    rotated = encoded(picture(), "AVIF", exif=orientation(6))

    assert (read_facts(rotated).width, read_facts(rotated).height) == (24, 17)
    assert Image.open(BytesIO(rotated)).size == (24, 17)


def test_the_size_of_an_avif_is_that_of_its_primary_item() -> None:
    # The picture of the transparency is an item of its own, and comes in any order.
    sides = [(1, 1), (640, 480), (9, 9)]
    ispe = [box(b"ispe", bytes(4) + pack(">II", *each)) for each in sides]
    links = pack(">IHBB", 1, 7, 1, 0x80 | 2)
    iprp = box(b"iprp", box(b"ipco", b"".join(ispe)) + box(b"ipma", bytes(4) + links))
    meta = box(b"meta", bytes(4) + box(b"pitm", bytes(4) + b"\0\7") + iprp)
    whole = box(b"ftyp", b"mif1\0\0\0\0avif") + meta + box(b"mdat", b"x")

    facts = read_facts(whole)

    assert (facts.media_type, facts.width, facts.height) == ("image/avif", 640, 480)
    assert not facts.signed
    assert read_facts(whole + box(b"uuid", C2PA_BOX)).signed


C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def box(kind: bytes, body: bytes) -> bytes:
    return pack(">I", len(body) + 8) + kind + body


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


# SVG


@pytest.mark.parametrize(
    ("attributes", "sides"),
    [
        ('width="640" height="480"', (640, 480)),
        ("width='6.4e2px' height='480.4'", (640, 480)),
        ('width="1in" height="25.4mm"', (96, 96)),
        ('viewBox="0 0 64 32"', (64, 32)),
        ('width="100%" height="100%" viewBox="-1,-1 64.0,32"', (64, 32)),
        ('width="5" viewBox="0 0 64 32"', (64, 32)),
        ('data-width="5" stroke-width="5"', (8, 9)),
        ('width="0" height="0" viewBox="0 0 0 0"', (8, 9)),
        ('width="-5" height="x" viewBox="1 2"', (8, 9)),
        ('title="a > b" width="7" height="8"', (7, 8)),
    ],
)
def test_reads_the_size_of_an_svg(attributes: str, sides: tuple[int, int]) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}><g/></svg>'

    facts = read_facts(svg.encode(), svg_sides=(8, 9))

    assert facts == ImageFacts(
        media_type="image/svg+xml", width=sides[0], height=sides[1]
    )


@pytest.mark.parametrize(
    "svg",
    [
        b"<svg/>",
        b"\xef\xbb\xbf\n<svg/>",
        b'<?xml version="1.0"?><!-- <html> --><svg></svg>',
        b"<!DOCTYPE svg PUBLIC 'x' [ <!ENTITY a 'b'> ]>\n<svg></svg>\n<!-- end -->",
        b'<svg:svg xmlns:svg="http://www.w3.org/2000/svg"></svg:svg>',
    ],
)
def test_an_svg_without_a_size_has_that_of_a_browser(svg: bytes) -> None:
    assert read_facts(svg) == ImageFacts(
        media_type="image/svg+xml", width=300, height=150
    )


@pytest.mark.parametrize(
    "text",
    [b"<html><svg/></html>", b"<svgx/>", b"<!-- <svg/> -->", b"<?a?>" * 5000 + b"x"],
)
def test_what_only_mentions_an_svg_is_none(text: bytes) -> None:
    assert not is_image(text)


# Checksums


def test_a_wrong_checksum_outside_the_pixels_is_a_warning() -> None:
    at = PNG.index(b"IDAT") - 4
    text = chunk(b"tEXt", b"workflow\0{}")[:-4] + b"oops"
    stale = PNG[:at] + text + text + PNG[at:]

    facts = read_facts(stale)

    assert facts.warnings == ("the checksum of its chunk tEXt is wrong",)
    assert (facts.width, facts.height) == (24, 17)
    mended = mend_png_checksums(stale)
    assert read_facts(mended).warnings == ()
    Image.open(BytesIO(mended)).load()


def test_pixels_under_another_name_are_damage() -> None:
    damaged = PNG.replace(b"IDAT", b"iDAT") if PNG.count(b"IDAT") == 1 else b""

    with pytest.raises(NotAnImage, match="checksum"):
        read_facts(damaged)
