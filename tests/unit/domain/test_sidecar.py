import json
import re
import zlib
from io import BytesIO

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagen.domain.container import png_chunks, read_facts
from imagen.domain.sidecar import (
    Change,
    Reference,
    Sidecar,
    describe_inside,
    shared_parameters,
    write_sidecar,
)
from imagen.testing.fakes import tiny_png

KEYS = [
    "schema",
    "id",
    "usage_id",
    "created_at",
    "prompt",
    "negative",
    "style",
    "prompt_sent",
    "prompt_sha256",
    "backend",
    "adapter",
    "model",
    "seed",
    "steps",
    "width",
    "height",
    "requested_size",
    "mime_type",
    "bytes",
    "sha256",
    "source_sha256",
    "latency_ms",
    "cost_usd",
    "cost_source",
    "caller",
    "parameters",
    "applied",
    "ignored",
    "adjusted",
    "references",
    "warnings",
    "imagen_version",
]
NOT_INSIDE = {
    "bytes",
    "sha256",
    "caller",
    "cost_usd",
    "cost_source",
    "usage_id",
    "warnings",
}
PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""How AUTOMATIC1111's web UI reads the last line (modules/infotext_utils.py)."""

NOTE = Sidecar(
    id="0198",
    created_at="2026-05-08T12:30:15.000Z",
    prompt="a cat",
    negative="dogs",
    style=None,
    prompt_sent="a cat, wide",
    prompt_sha256="00",
    backend="mock",
    adapter="mock",
    model="flux",
    seed=42,
    steps=20,
    width=64,
    height=64,
    requested_size="64x64",
    mime_type="image/png",
    bytes=1,
    sha256="11",
    source_sha256="22",
    latency_ms=3,
    cost_usd=None,
    cost_source="unknown",
    caller="me",
    adjusted={"size": Change(requested="65x65", used="64x64", reason="grid")},
    references=(Reference(name="a.png", sha256="33"),),
    imagen_version="1.0",
)
sentences = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def noted(**changes: object) -> Sidecar:
    return msgspec.structs.replace(NOTE, **changes)


def opened(png: bytes) -> dict[str, str]:
    with Image.open(BytesIO(png)) as image:
        image.load()
        return {key: str(text) for key, text in image.text.items()}  # type: ignore[attr-defined]


def chunks(png: bytes) -> list[bytes]:
    return [png[start:end] for _, start, end in png_chunks(png)]


def backends_own(**texts: str) -> bytes:
    """A PNG such as ComfyUI would send it, with texts on both sides of the pixels."""
    texts_before = PngInfo()
    for key, text in texts.items():
        texts_before.add_text(key, text)
    texts_before.add_itxt("workflow", '{"猫": 1}')
    texts_before.add_text("zipped", "x" * 500, zip=True)
    texts_before.add(b"tEXt", b"late\0words", after_idat=True)
    texts_before.add(b"prVt", b"private")
    buffer = BytesIO()
    Image.new("RGB", (64, 64)).save(
        buffer, "PNG", pnginfo=texts_before, icc_profile=b"profile"
    )
    return buffer.getvalue()


def test_writes_the_keys_in_their_order() -> None:
    assert list(json.loads(write_sidecar(NOTE))) == KEYS


def test_writes_readable_utf8() -> None:
    written = write_sidecar(noted(prompt="猫"))

    assert '\n  "prompt": "猫",\n'.encode() in written
    assert written.endswith(b"}\n")


@given(sentences)
def test_reads_back_what_it_writes(prompt: str) -> None:
    note = noted(prompt=prompt)

    assert msgspec.json.decode(write_sidecar(note), type=Sidecar) == note


def test_writes_an_unknown_cost_as_null() -> None:
    assert json.loads(write_sidecar(NOTE))["cost_usd"] is None


def test_puts_the_note_inside() -> None:
    texts = opened(describe_inside(tiny_png(), NOTE))

    assert texts["parameters"] == shared_parameters(NOTE)
    assert list(json.loads(texts["imagen"])) == [
        key for key in KEYS if key not in NOT_INSIDE
    ]


def test_keeps_every_other_chunk_in_its_order() -> None:
    before = backends_own(prompt="{}")

    after = describe_inside(before, NOTE)

    new = [one for one in chunks(after) if one not in chunks(before)]
    assert [one for one in chunks(after) if one not in new] == chunks(before)
    assert [one[8:].split(b"\0")[0] for one in new] == [b"imagen", b"parameters"]


def test_keeps_every_pixel() -> None:
    before = backends_own()

    after = describe_inside(before, NOTE)

    pixels = [
        [one for one in chunks(png) if one[4:8] == b"IDAT"] for png in (before, after)
    ]
    assert pixels[0] == pixels[1]


def test_keeps_what_follows_the_end() -> None:
    assert describe_inside(tiny_png() + b"tail", NOTE).endswith(b"IEND\xaeB`\x82tail")


@given(sentences)
def test_any_prompt_can_be_read_back_from_the_file(prompt: str) -> None:
    note = noted(prompt=prompt, prompt_sent=prompt)

    described = describe_inside(tiny_png(), note)

    assert read_facts(described) == read_facts(tiny_png())
    texts = opened(described)
    assert json.loads(texts["imagen"])["prompt"] == prompt
    assert texts["parameters"] == shared_parameters(note)


@pytest.mark.parametrize(
    ("prompt", "kind"), [("a cat", b"tEXt"), ("café", b"tEXt"), ("猫", b"iTXt")]
)
def test_writes_latin_1_where_it_can(prompt: str, kind: bytes) -> None:
    described = describe_inside(tiny_png(), noted(prompt=prompt, prompt_sent=prompt))

    ours = [one[4:8] for one in chunks(described) if b"imagen\0" in one]
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
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)

    texts = opened(describe_inside(buffer.getvalue(), NOTE))

    assert texts["parameters"] == "theirs"
    assert json.loads(texts["imagen"])["prompt"] == "a cat"


def test_writes_the_lines_of_automatic1111() -> None:
    assert shared_parameters(NOTE).split("\n") == [
        "a cat, wide",
        "Negative prompt: dogs",
        "Steps: 20, Seed: 42, Size: 64x64, Model: flux, Version: imagen 1.0",
    ]


def test_leaves_out_what_is_not_known() -> None:
    note = noted(negative="", seed=None, steps=None)

    assert shared_parameters(note).split("\n") == [
        "a cat, wide",
        "Size: 64x64, Model: flux, Version: imagen 1.0",
    ]


@pytest.mark.parametrize(
    "note", [NOTE, noted(seed=None, steps=None, model="", backend="")]
)
def test_has_at_least_the_three_pairs_that_automatic1111_needs(note: Sidecar) -> None:
    assert len(PAIR.findall(shared_parameters(note).split("\n")[-1])) >= 3


@pytest.mark.parametrize(
    "model", ["a, b", "a: b", "a\nb", 'a, "b"', "a\\, b", "猫, b", "plain"]
)
def test_quotes_as_automatic1111_does(model: str) -> None:
    last = shared_parameters(noted(model=model)).split("\n")[-1]

    read = dict(PAIR.findall(last))
    shown = read["Model"]
    assert (json.loads(shown) if shown.startswith('"') else shown) == model
    assert read["Version"] == "imagen 1.0"
