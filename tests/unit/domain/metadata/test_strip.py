"""What stays of a file when everything goes that does not show."""

import pytest
from PIL import Image
from tests.unit.domain.notes import described
from tests.unit.domain.pictures import (
    FILES,
    ICC,
    JPEGS,
    SIGNED,
    WEBPS,
    encoded,
    frames,
    jpeg_parts,
    opened,
    parts,
    picture,
    riff,
    segment,
    webp_parts,
)

from imagen.domain.metadata.reader import read_embedded_metadata
from imagen.domain.metadata.writer import strip_metadata
from imagen.formats.container import read_facts


@pytest.mark.parametrize("name", FILES)
def test_nothing_stays_but_what_shows(name: str) -> None:
    bare = strip_metadata(described(FILES[name]))

    assert frames(bare) == frames(FILES[name])
    assert read_facts(bare) == read_facts(FILES[name])
    making = read_embedded_metadata(bare)
    assert (making.recipes, making.source_type, making.texts) == ((), "", {})
    assert not any(word in bare for word in (b"tail", b"Chalk", b"words", b"theirs"))
    assert strip_metadata(bare) == bare


@pytest.mark.parametrize("name", FILES)
def test_what_shows_stays_bit_for_bit(name: str) -> None:
    old = parts(FILES[name])

    kept = parts(strip_metadata(FILES[name]))

    assert [one for one in kept if one in old] == [one for one in old if one in kept]
    assert len([one for one in kept if one not in old]) <= 1  # how it is turned


@pytest.mark.parametrize("name", SIGNED)
def test_a_signature_goes_as_well(name: str) -> None:
    bare = strip_metadata(SIGNED[name])

    assert frames(bare) == frames(SIGNED[name])
    assert not read_facts(bare).signed
    assert b"manifest" not in bare


@pytest.mark.parametrize(
    "name", ["png with icc and exif", "jpeg with icc", "webp with icc"]
)
def test_the_colour_profile_stays(name: str) -> None:
    assert opened(strip_metadata(FILES[name])).info["icc_profile"] == ICC


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_how_the_picture_is_turned_stays(kind: str) -> None:
    for turned in range(10):
        exif = Image.Exif()
        exif[0x0112] = turned
        exif[0x010F] = "Chalk"
        content = encoded(picture(), kind, exif=exif)

        left = opened(strip_metadata(content)).getexif()

        assert dict(left) == ({0x0112: turned} if 2 <= turned <= 8 else {})


def test_words_between_the_parts_of_a_frame_go_as_well() -> None:
    parts_before = webp_parts(WEBPS["webp animated"])
    spoken = [
        (kind, data + b"more\4\0\0\0word") if kind == b"ANMF" else (kind, data)
        for kind, data in parts_before
    ]

    assert webp_parts(strip_metadata(riff(*spoken))) == parts_before


def test_words_between_the_scans_of_a_jpeg_go_as_well() -> None:
    progressive = jpeg_parts(JPEGS["jpeg progressive"])
    spoken = b"".join(
        (segment(0xFE, b"hidden") + part if part[:2] == b"\xff\xda" else part)
        for part in progressive
    )

    assert strip_metadata(b"\xff\xd8" + spoken) == JPEGS["jpeg progressive"]
