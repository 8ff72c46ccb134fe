"""The note in files of every kind: put there, read back, taken out."""

import struct
import zlib
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from PIL.PngImagePlugin import PngInfo
from tests.unit.domain.notes import INSIDE, NOTE, described, noted, sentences
from tests.unit.domain.pictures import (
    EXIF,
    FILES,
    JPEG,
    JPEGS,
    LOSSY_ALPHA,
    SIGNED,
    WEBPS,
    XMP,
    encoded,
    frames,
    jpeg_parts,
    noise,
    opened,
    parts,
    picture,
    png_parts,
    raw_png,
    riff,
    segment,
    text,
    webp_parts,
    with_chunks,
    with_segments,
)

from imagen.domain.errors import Unsupported
from imagen.domain.metadata.infotext import write_infotext
from imagen.domain.metadata.reader import read_embedded_metadata
from imagen.domain.metadata.writer import strip_metadata
from imagen.domain.sidecar import write_embedded_sidecar
from imagen.formats.container import NotAnImage, read_facts

WITH_XMP = {"jpeg with xmp", "jpeg with both", "webp with xmp", "webp with both"}
WITH_BOTH = {"jpeg with both", "webp with both"}
ONE_OF_EACH = ["png 2/8", "jpeg", "webp lossy", "webp lossless, clear"]
AI_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def comment(content: bytes) -> str:
    """The EXIF comment, as Pillow reads it."""
    raw = opened(content).getexif().get_ifd(0x8769)[0x9286]
    assert raw.startswith(b"UNICODE\0")
    return str(raw[8:].decode("utf-16-be"))


def xmp_properties(content: bytes) -> dict[str, str | None]:
    """What the XMP packet says, as Python's own parser of XML reads it."""
    info = opened(content).info
    packet = info.get("xmp") or info["XML:com.adobe.xmp"].encode()
    return {
        each.tag: each.text
        for each in ET.fromstring(packet).find(f".//{RDF}Description")
    }


def assert_nothing_else_changed(before: bytes, after: bytes) -> None:
    """What was there is there, bit for bit and in its order."""
    old, new = parts(before), parts(after)
    added = [one for one in new if one not in old]
    assert [one for one in new if one in old] == old
    assert len(added) <= 4
    assert frames(after) == frames(before)
    assert read_facts(after) == read_facts(before)


@pytest.mark.parametrize("name", FILES)
def test_puts_the_note_there_and_changes_nothing_else(name: str) -> None:
    after = described(FILES[name])

    assert_nothing_else_changed(FILES[name], after)
    assert (after == FILES[name]) == (name in WITH_BOTH)


@pytest.mark.parametrize("name", [name for name in FILES if "tail" in name])
def test_keeps_what_follows_the_end(name: str) -> None:
    assert described(FILES[name]).endswith(FILES[name][-4:])


@pytest.mark.parametrize("name", sorted(FILES.keys() - WITH_XMP))
def test_reads_the_note_back(name: str) -> None:
    making = read_embedded_metadata(described(FILES[name]))

    assert making.recipe is not None
    assert making.recipe.tool == "imagen"
    assert making.recipe.sidecar == INSIDE
    assert (making.recipe.prompt, making.recipe.seed) == ("a cat", 42)
    assert making.source_type == "trainedAlgorithmicMedia"
    assert making.warnings == ()


@pytest.mark.parametrize("name", sorted(WITH_XMP - WITH_BOTH))
def test_beside_the_xmp_of_another_tool_the_infotext_can_be_read(name: str) -> None:
    recipe = read_embedded_metadata(described(FILES[name])).recipe

    assert recipe is not None
    assert (recipe.tool, recipe.sidecar) == ("imagen", None)
    assert (recipe.prompt, recipe.seed, recipe.steps) == ("a cat, wide", 42, 20)
    assert XMP in described(FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_a_second_note_changes_nothing(name: str) -> None:
    once = described(FILES[name])

    assert described(once, noted(prompt="another")) == once


@pytest.mark.parametrize("name", SIGNED)
def test_leaves_what_is_signed(name: str) -> None:
    assert described(SIGNED[name]) == SIGNED[name]
    assert read_embedded_metadata(SIGNED[name]).facts.signed


@pytest.mark.parametrize("name", sorted(JPEGS.keys() | WEBPS.keys()))
def test_pillow_reads_the_comment(name: str) -> None:
    if FILES[name] is described(FILES[name]) or b"Chalk" in FILES[name]:
        assert opened(FILES[name]).getexif()[0x010F] == "Chalk"
        return

    assert comment(described(FILES[name])) == write_infotext(NOTE)


@pytest.mark.parametrize("name", sorted(FILES.keys() - WITH_XMP))
def test_the_packet_is_xml_that_says_who_made_the_image(name: str) -> None:
    said = xmp_properties(described(FILES[name]))

    assert said[IPTC + "DigitalSourceType"] == AI_MADE
    assert said[IPTC + "AIPromptInformation"] == "a cat, wide"
    assert said[IPTC + "AISystemUsed"] == "flux"
    assert said["{http://ns.adobe.com/xap/1.0/}CreatorTool"] == "imagen 1.0"


@pytest.mark.parametrize("name", ["png 2/8", "png spoken", "png animated"])
def test_pillow_reads_the_texts_of_a_png(name: str) -> None:
    texts = opened(described(FILES[name])).text  # type: ignore[attr-defined]

    assert texts["imagen"] == write_embedded_sidecar(NOTE)
    assert texts["parameters"] == write_infotext(NOTE)


@pytest.mark.parametrize("name", ONE_OF_EACH)
@given(sentences)
def test_any_prompt_can_be_read_back(name: str, prompt: str) -> None:
    note = noted(prompt=prompt, prompt_sent=prompt, negative=prompt)

    after = described(FILES[name], note)

    making = read_embedded_metadata(after)
    assert making.recipe is not None
    assert making.recipe.prompt == prompt
    assert making.recipe.negative == prompt
    assert making.warnings == ()
    if name.startswith("png"):
        assert opened(after).text["parameters"] == write_infotext(note)  # type: ignore[attr-defined]
    else:
        assert comment(after) == write_infotext(note)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_zero_does_not_end_a_text(name: str) -> None:
    after = described(FILES[name], noted(prompt="a\0b", prompt_sent="a\0b"))

    making = read_embedded_metadata(after)
    assert making.recipe is not None
    assert making.recipe.prompt == "a\0b"
    if "png" not in name:
        assert comment(after).startswith("a\ufffdb")


@pytest.mark.parametrize(
    ("prompt", "kind"), [("a cat", b"tEXt"), ("café", b"iTXt"), ("猫", b"iTXt")]
)
def test_a_plain_text_of_a_png_is_ascii(prompt: str, kind: bytes) -> None:
    after = described(raw_png(2, 8), noted(prompt=prompt, prompt_sent=prompt))

    ours = [one[4:8] for one in png_parts(after) if b"imagen\0" in one]
    assert ours == [kind]


@pytest.mark.parametrize("how", ["tEXt", "iTXt", "zTXt"])
def test_keeps_the_parameters_of_the_backend(how: str) -> None:
    bodies = {
        "tEXt": b"parameters\0theirs",
        "iTXt": b"parameters\0\0\0\0\0theirs",
        "zTXt": b"parameters\0\0" + zlib.compress(b"theirs"),
    }
    info = PngInfo()
    info.add(how.encode(), bodies[how])

    making = read_embedded_metadata(described(encoded(picture(), "PNG", pnginfo=info)))

    assert making.texts["parameters"] == "theirs"
    assert [recipe.tool for recipe in making.recipes] == ["imagen", "AUTOMATIC1111"]


# A segment of a JPEG takes 65,533 bytes; each letter has one, or three.
@pytest.mark.parametrize(
    ("letter", "length"),
    [("a", 20_000), ("猫", 40_000), ("a", 70_000), ("猫", 300_000)],
)
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_long_prompts_fit_as_well(name: str, letter: str, length: int) -> None:
    long = letter * length

    after = described(FILES[name], noted(prompt=long, prompt_sent=long))

    assert frames(after) == frames(FILES[name])
    making = read_embedded_metadata(after)
    assert making.recipe is not None
    assert making.recipe.prompt == long
    assert making.recipe.sidecar is not None
    assert making.source_type == "trainedAlgorithmicMedia"


def test_a_comment_too_long_for_a_jpeg_is_left_out() -> None:
    after = described(JPEG, noted(prompt_sent="x" * 40_000))

    assert 0x8769 not in opened(after).getexif()


def test_a_jpeg_begins_with_jfif_then_exif_then_xmp() -> None:
    beginnings = [part[2:12] for part in jpeg_parts(described(JPEG))[:3]]

    assert [each[2:6] for each in beginnings] == [b"JFIF", b"Exif", b"http"]


def test_leaves_a_jpeg_of_several_pictures() -> None:
    several = with_segments(JPEG, segment(0xE2, b"MPF\0MM\0*" + noise(40)))

    assert described(several) == several


@pytest.mark.parametrize("name", sorted(WEBPS))
def test_the_flags_of_a_webp_say_what_is_there(name: str) -> None:
    (kind, header), *rest = webp_parts(described(WEBPS[name]))

    kinds = {kind for kind, _ in rest}
    expected = {
        0x20: b"ICCP" in kinds,
        0x10: frames(WEBPS[name])[0][0] == "RGBA",
        0x08: b"EXIF" in kinds,
        0x04: b"XMP " in kinds,
        0x02: b"ANIM" in kinds,
    }
    assert kind == b"VP8X"
    assert {bit: bool(header[0] & bit) for bit in expected} == expected
    assert header[4:] == struct.pack("<HBHB", 23, 0, 16, 0)


@pytest.mark.parametrize("name", sorted(WEBPS.keys() - {"webp with more"}))
def test_the_chunks_of_a_webp_stand_in_their_order(name: str) -> None:
    order = [b"VP8X", b"ICCP", b"ANIM", b"ALPH", b"VP8L", b"VP8 ", b"ANMF"]
    order += [b"EXIF", b"XMP "]

    kinds = [kind for kind, _ in webp_parts(described(WEBPS[name]))]

    assert all(order.index(a) <= order.index(b) for a, b in pairwise(kinds))


def test_a_forgotten_last_byte_of_a_webp_is_put_there() -> None:
    odd = with_chunks(LOSSY_ALPHA, (b"XMP ", b"odd"), flags=0x04)
    forgotten = odd[:4] + struct.pack("<I", len(odd) - 9) + odd[8:-1]

    after = described(forgotten)

    assert frames(after) == frames(odd)
    assert parts(after)[: len(parts(odd)) - 1] == parts(odd)[:-1]
    assert parts(odd)[-1] in parts(after)


def test_leaves_a_webp_that_is_built_otherwise() -> None:
    parts_of_one = webp_parts(WEBPS["webp lossy"])
    for webp in (
        riff((b"more", b"odd"), *parts_of_one),
        riff(*parts_of_one, (b"VP8X", bytes(10))),
        riff((b"VP8X", bytes(9)), *parts_of_one),
    ):
        assert described(webp) == webp


def test_a_gif_says_nothing_and_cannot_be_stripped() -> None:
    gif = encoded(picture(), "GIF")

    assert described(gif) == gif
    assert read_embedded_metadata(gif).recipe is None
    with pytest.raises(Unsupported, match="image/gif"):
        strip_metadata(gif)


@pytest.mark.parametrize("act", [read_embedded_metadata, strip_metadata])
def test_refuses_content_that_is_not_an_image(act) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NotAnImage, match="it is JSON"):
        act(b"{}")


def test_texts_of_others_stay_beside_ours() -> None:
    content = raw_png(2, 8, extra=text("prompt", b"{}") + text("mood", b"caf\xe9"))

    making = read_embedded_metadata(described(content))

    assert making.texts["mood"] == "café"
    assert making.texts["prompt"] == "{}"
    assert list(making.texts)[:2] == ["prompt", "mood"]


def test_a_jpeg_of_exif_alone_keeps_it() -> None:
    content = encoded(picture(), "JPEG", exif=EXIF)

    assert dict(opened(described(content)).getexif()) == dict(EXIF)
