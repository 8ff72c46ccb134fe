"""Damaged and made-up files: each is no image, or is described, read and stripped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.nightly import NIGHTLY
from tests.unit.domain.notes import NOTE, described, noted
from tests.unit.domain.pictures import (
    FILES,
    JPEG,
    LOSSY_ALPHA,
    SIGNED,
    chunk,
    jpeg_parts,
    parts,
    png_parts,
    raw_png,
    segment,
    with_chunks,
    with_segments,
)

from imagen.domain.metadata.reader import read_embedded_metadata
from imagen.domain.metadata.writer import embed_metadata, strip_metadata
from imagen.formats.container import NotAnImage, read_facts


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def assert_survived(content: bytes) -> None:
    """It is no image, or is described, read and stripped."""
    try:
        facts = read_facts(content)
    except NotAnImage:
        return
    assert read_facts(embed_metadata(content, facts, NOTE)) == facts
    read_embedded_metadata(content)
    try:
        bare = strip_metadata(content)
    except NotAnImage as why:
        assert str(why)  # noqa: PT017 - both outcomes are fine, another error is not
    else:
        assert not read_embedded_metadata(bare).texts


@given(st.sampled_from(sorted(FILES | SIGNED)), st.data())
def test_any_damage_is_survived(name: str, data: st.DataObject) -> None:
    content = described((FILES | SIGNED)[name])
    for bit in data.draw(st.lists(st.integers(0, len(content) * 8 - 1), max_size=4)):
        content = flipped(content, bit)

    assert_survived(content[: data.draw(st.integers(0, len(content)))])


@pytest.mark.parametrize("name", ["jpeg", "webp lossy", "webp animated"])
def test_flipped_bits_are_survived(name: str) -> None:
    content = described(FILES[name], noted(prompt="c", prompt_sent="c", negative=""))

    for bit in range(0, len(content) * 8, 3 if NIGHTLY else 29):
        assert_survived(flipped(content, bit))


words = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        ["parameters", "prompt", "imagen", "Comment", "UserComment"]
    ).flatmap(
        lambda key: st.binary(max_size=60).map(lambda rest: key.encode() + b"\0" + rest)
    ),
    st.binary(max_size=80).map(lambda rest: b"MM\0*\0\0\0\x08\0\2" + rest),
    st.binary(max_size=80).map(lambda rest: b"Exif\0\0II*\0\x08\0\0\0\3\0" + rest),
    st.binary(max_size=80).map(lambda rest: b"http://ns.adobe.com/xap/1.0/\0" + rest),
    st.binary(max_size=80).map(
        lambda rest: b"http://ns.adobe.com/xmp/extension/\0" + rest
    ),
)
PNG_KINDS = [b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"comf", b"prVt", b"tIME", b"iCCP"]
WEBP_KINDS = [b"EXIF", b"XMP ", b"more", b"ICCP", b"ANIM"]


@given(st.lists(st.tuples(st.sampled_from(PNG_KINDS), words), max_size=6))
def test_any_chunk_of_a_png_survives(chunks: list[tuple[bytes, bytes]]) -> None:
    content = raw_png(2, 8, extra=b"".join(chunk(*each) for each in chunks))

    old, new = png_parts(content), png_parts(described(content))

    assert [one for one in new if one in old] == old
    assert_survived(content)


@given(st.lists(st.tuples(st.integers(0xE0, 0xEF), words), max_size=6))
def test_any_segment_of_a_jpeg_survives(segments: list[tuple[int, bytes]]) -> None:
    content = with_segments(JPEG, *(segment(*each) for each in segments))

    old, new = jpeg_parts(content), jpeg_parts(described(content))

    assert [one for one in new if one in old] == old
    assert_survived(content)


@given(st.lists(st.tuples(st.sampled_from(WEBP_KINDS), words), max_size=6))
def test_any_chunk_of_a_webp_survives(chunks: list[tuple[bytes, bytes]]) -> None:
    content = with_chunks(LOSSY_ALPHA, *chunks)

    old, new = parts(content), parts(described(content))

    assert [one for one in new if one in old] == old
    assert_survived(content)
