import json

import msgspec
import pytest
from hypothesis import given
from tests.unit.domain.notes import INSIDE, NOTE, noted, sentences

from imagen.domain.sidecar import (
    Sidecar,
    read_embedded_sidecar,
    write_embedded_sidecar,
    write_sidecar,
)

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
    "extra",
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
    assert json.loads(write_sidecar(noted(cost_usd=None)))["cost_usd"] is None


def test_some_of_it_never_goes_inside() -> None:
    assert list(json.loads(write_embedded_sidecar(NOTE))) == [
        key for key in KEYS if key not in NOT_INSIDE
    ]


def test_what_never_goes_inside_is_empty_when_read() -> None:
    assert read_embedded_sidecar(json.loads(write_embedded_sidecar(NOTE))) == INSIDE


@given(sentences)
def test_any_prompt_is_read_back_from_the_note_inside(prompt: str) -> None:
    written = write_embedded_sidecar(noted(prompt=prompt))

    assert read_embedded_sidecar(json.loads(written)).prompt == prompt
    assert "\ufffe" not in written


def test_a_note_of_another_kind_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        read_embedded_sidecar({"prompt": "a cat"})


def test_a_note_of_a_later_kind_may_say_more() -> None:
    said = {**json.loads(write_embedded_sidecar(NOTE)), "schema": 2, "mood": "calm"}

    assert read_embedded_sidecar(said) == msgspec.structs.replace(INSIDE, schema=2)
