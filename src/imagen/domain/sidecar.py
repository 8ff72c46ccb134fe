"""The note beside every image, and inside it, that says how to make it again."""

import re
from collections.abc import Mapping

import msgspec

from imagen.domain.container import png_chunk, png_chunks

SCHEMA = 1
TEXT_KEY = "imagen"
"""The PNG text chunk that holds our JSON."""
SHARED_TEXT_KEY = "parameters"
"""The PNG text chunk of AUTOMATIC1111's web UI, which other tools read."""

_NOT_IN_THE_FILE = frozenset(
    {"bytes", "sha256", "caller", "cost_usd", "cost_source", "usage_id", "warnings"}
)
_NEEDS_QUOTES = re.compile(r"[,:\n]")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """An image that the request brought along, by name and content."""

    name: str
    sha256: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that did not stay as it was asked for."""

    requested: object
    used: object
    reason: str


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to understand one image, or to make it again.

    Times are UTC, sizes in pixels, `latency_ms` covers the whole call to the backend.
    `width`, `height`, `mime_type`, `bytes` and `sha256` are read from the stored file;
    `source_sha256` is that of the bytes as they came from the backend.
    """

    schema: int = SCHEMA
    id: str
    usage_id: str | None = None
    created_at: str
    prompt: str
    negative: str
    style: str | None
    prompt_sent: str
    prompt_sha256: str
    backend: str
    adapter: str
    model: str
    seed: int | None
    steps: int | None
    width: int
    height: int
    requested_size: str
    mime_type: str
    bytes: int
    sha256: str
    source_sha256: str
    latency_ms: int
    cost_usd: float | None
    cost_source: str
    caller: str
    parameters: Mapping[str, object] = {}
    applied: Mapping[str, object] = {}
    ignored: Mapping[str, str] = {}
    adjusted: Mapping[str, Change] = {}
    references: tuple[Reference, ...] = ()
    warnings: tuple[str, ...] = ()
    imagen_version: str


def write_sidecar(sidecar: Sidecar) -> bytes:
    """Return the note as readable JSON: UTF-8, indented, keys in their order."""
    return msgspec.json.format(msgspec.json.encode(sidecar), indent=2) + b"\n"


def describe_inside(png: bytes, sidecar: Sidecar) -> bytes:
    """Return the PNG with the note in text chunks; every other chunk stays as it is.

    A `parameters` chunk that the backend put there is kept instead of ours.
    """
    kept = msgspec.to_builtins(sidecar)
    note = {key: value for key, value in kept.items() if key not in _NOT_IN_THE_FILE}
    ours = {TEXT_KEY: msgspec.json.encode(note).decode()}
    chunks = list(png_chunks(png))
    if not any(_is_text(png[start:end], SHARED_TEXT_KEY) for _, start, end in chunks):
        ours[SHARED_TEXT_KEY] = shared_parameters(sidecar)
    first_data = next(start for kind, start, _ in chunks if kind == b"IDAT")
    texts = b"".join(_text_chunk(key, text) for key, text in ours.items())
    return png[:first_data] + texts + png[first_data:]


def shared_parameters(sidecar: Sidecar) -> str:
    """Return the note as AUTOMATIC1111's web UI would write it.

    The prompt, a line `Negative prompt: ...`, a line of `Key: value` pairs in which
    values with comma, colon or newline are JSON strings (webui-forge,
    modules/infotext_utils.py).
    """
    pairs = {
        "Steps": sidecar.steps,
        "Seed": sidecar.seed,
        "Size": f"{sidecar.width}x{sidecar.height}",
        "Model": sidecar.model or sidecar.backend,
        "Version": f"imagen {sidecar.imagen_version}",
    }
    lines = [sidecar.prompt_sent]
    if sidecar.negative and "negative" not in sidecar.ignored:
        lines.append(f"Negative prompt: {sidecar.negative}")
    lines.append(
        ", ".join(f"{k}: {_quoted(v)}" for k, v in pairs.items() if v is not None)
    )
    return "\n".join(lines)


def _quoted(value: object) -> str:
    text = str(value)
    return msgspec.json.encode(text).decode() if _NEEDS_QUOTES.search(text) else text


def _is_text(chunk: bytes, key: str) -> bool:
    return chunk[4:8] in {b"tEXt", b"iTXt", b"zTXt"} and chunk[8:].startswith(
        key.encode() + b"\0"
    )


def _text_chunk(key: str, text: str) -> bytes:
    try:
        kind, body = b"tEXt", text.encode("latin-1")
    except UnicodeEncodeError:
        # Compression flag and method, language tag and translated key: all empty.
        kind, body = b"iTXt", b"\0\0\0\0" + text.encode()
    return png_chunk(kind, key.encode() + b"\0" + body)
