import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.unit.domain.notes import sentences

from imagen.formats.exif import (
    build_exif,
    build_orientation_exif,
    read_exif,
    read_orientation,
)
from imagen.formats.texts import MAX_TEXT, Texts


def found(block: bytes) -> dict[str, str]:
    texts = Texts()
    read_exif(block, texts)
    return texts.found


def block(*entries: tuple[int, int, int, int], order: str = ">") -> bytes:
    head = struct.pack(order + "2sHI", b"MM" if order == ">" else b"II", 42, 8)
    body = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return head + struct.pack(order + "H", len(entries)) + body + bytes(4)


@given(sentences)
def test_reads_back_what_it_writes(words: str) -> None:
    read = found(build_exif("x" + words, software="imagen 1.0"))

    assert read == {"UserComment": "x" + words, "Software": "imagen 1.0"}


def test_pillow_reads_what_it_writes() -> None:
    exif = Image.Exif()
    exif.load(build_exif("狐", software="imagen 1.0"))

    assert exif[0x0131] == "imagen 1.0"
    assert exif.get_ifd(0x8769) == {0x9286: b"UNICODE\0" + "狐".encode("utf-16-be")}


@pytest.mark.parametrize("turned", range(2, 9))
def test_says_how_the_picture_is_turned(turned: int) -> None:
    exif = Image.Exif()
    exif.load(build_orientation_exif(turned))

    assert dict(exif) == {0x0112: turned}
    assert read_orientation(build_orientation_exif(turned)) == turned
    assert read_orientation(b"Exif\0\0" + build_orientation_exif(turned)) == turned
    assert read_orientation(block((0x0112, 3, 1, turned), order="<")) == turned


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"MM",
        b"PNG\0" * 9,
        block((0x0112, 3, 1, 9 << 16)),
        block((0x0112, 3, 0, 0)),
        block((0x8769, 4, 1, 8)),  # the inner directory is the outer one
        block((0x8769, 4, 1, 2**32 - 1)),
        block((0x010E, 2, 2**32 - 1, 0)),
        block((0x010E, 2, 9, 2**32 - 1)),
        block((0x010E, 99, 9, 8)),
        block()[:9],
        b"MM\0*\xff\xff\xff\xff",
    ],
)
def test_what_is_broken_says_nothing(broken: bytes) -> None:
    assert read_orientation(broken) == 0
    assert found(broken) == {}


def test_a_directory_may_claim_more_than_there_is() -> None:
    claims = bytearray(block((0x010E, 2, 3, int.from_bytes(b"fox\0"))))
    claims[8:10] = b"\xff\xff"

    assert found(bytes(claims[:-4])) == {"ImageDescription": "fox"}


def test_a_value_too_long_is_not_read() -> None:
    length = MAX_TEXT + 2
    texts = Texts()

    read_exif(block((0x9286, 7, length + 8, 26)) + b"UNICODE\0" + bytes(length), texts)

    assert texts.found == {}
    assert texts.warnings == ["the text 'UserComment' is too long"]


@given(st.binary(max_size=200))
def test_anything_is_survived(rest: bytes) -> None:
    for start in (b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0"):
        assert 0 <= read_orientation(start + rest) <= 8
        found(start + rest)
