"""The note beside every image, and inside it, that says how to make it again."""

from collections.abc import Mapping

import msgspec

SCHEMA = 1

_NOT_INSIDE: Mapping[str, object] = {
    "usage_id": None,
    "bytes": 0,
    "sha256": "",
    "cost_usd": None,
    "cost_source": "unknown",
    "caller": "",
    "warnings": (),
}
"""What is nobody else's business, or cannot be known before the note is written; and
what stands for it when a note is read from a file."""


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


def read_sidecar(content: bytes) -> Sidecar:
    """Return the note that lies beside an image.

    Raises:
        ValueError: it is none of ours; says why.
    """
    try:
        return msgspec.json.decode(content, type=Sidecar)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def select_embedded_fields(sidecar: Sidecar) -> dict[str, object]:
    """Return the part of the note that goes inside the image."""
    kept = msgspec.to_builtins(sidecar)
    return {key: value for key, value in kept.items() if key not in _NOT_INSIDE}


def write_note(sidecar: Sidecar) -> str:
    """Return the part of the note that goes inside the image, as short JSON."""
    text = msgspec.json.encode(select_embedded_fields(sidecar)).decode()
    # Two characters that JSON may hold as they are, but XML may not.
    return text.replace("\ufffe", r"\ufffe").replace("\uffff", r"\uffff")


def read_note(said: Mapping[str, object]) -> Sidecar:
    """Return the note that was inside an image; what is never there is empty.

    Raises:
        msgspec.ValidationError: it is none of ours.
    """
    return msgspec.convert({**_NOT_INSIDE, **said}, Sidecar)
