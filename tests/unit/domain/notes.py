"""A note as it might be."""

import msgspec
from hypothesis import strategies as st

from imagen.domain.metadata.writer import embed_metadata
from imagen.domain.sidecar import Change, Reference, Sidecar
from imagen.formats.container import read_facts

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
    cost_usd=0.25,
    cost_source="reported",
    caller="me",
    parameters={"guidance": 3.5},
    adjusted={"size": Change(requested="65x65", used="64x64", reason="grid")},
    references=(Reference(name="a.png", sha256="33"),),
    warnings=("careful",),
    imagen_version="1.0",
)
INSIDE = msgspec.structs.replace(
    NOTE,
    bytes=0,
    sha256="",
    cost_usd=None,
    cost_source="unknown",
    caller="",
    warnings=(),
)
"""What of it is inside the file."""

sentences = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def noted(**changes: object) -> Sidecar:
    return msgspec.structs.replace(NOTE, **changes)


def described(content: bytes, note: Sidecar = NOTE) -> bytes:
    return embed_metadata(content, read_facts(content), note)
