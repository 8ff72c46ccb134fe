"""The sidecar: a JSON description of an image, beside it and embedded in it."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from imagen.domain.printable import encode_json

SCHEMA = 1

# Fields that are not embedded in the image, because they are private or depend on the
# finished file, and the values that replace them when embedded metadata is read.
_NOT_EMBEDDED: Mapping[str, object] = {
    "usage_id": None,
    "bytes": 0,
    "sha256": "",
    "cost_usd": None,
    "cost_source": "unknown",
    "caller": "",
    "warnings": (),
}


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A reference image of the request, by name and hash."""

    name: str
    sha256: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter whose used value differs from the requested one."""

    requested: object
    used: object
    reason: str


def describe_changes(
    ignored: Mapping[str, str], adjusted: Mapping[str, Change]
) -> tuple[str, ...]:
    """Return a sentence for each ignored or adjusted parameter."""
    return (
        *(f"{name} is ignored: {why}" for name, why in ignored.items()),
        *(
            f"{name} {change.requested} becomes {change.used}: {change.reason}"
            for name, change in adjusted.items()
        ),
    )


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to understand one image, or to make it again.

    Times are UTC, sizes in pixels; `latency_ms` covers the whole call to the backend.
    `width`, `height`, `mime_type`, `bytes` and `sha256` describe the stored file;
    `source_sha256` is the hash of the bytes that the backend sent. `extra` is true for
    an image beyond those that were requested.
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
    extra: bool = False

    @property
    def difference(self) -> str:
        """How the image differs from the request; "" if it does not."""
        return "; ".join(describe_changes(self.ignored, self.adjusted))

    @property
    def made(self) -> datetime:
        """The time of generation; in UTC unless `created_at` has another offset.

        Raises:
            ValueError: `created_at` is not a timestamp.
        """
        made = datetime.fromisoformat(self.created_at)
        return made if made.tzinfo else made.replace(tzinfo=UTC)


def write_sidecar(sidecar: Sidecar) -> bytes:
    """Return the sidecar as indented UTF-8 JSON with the keys in field order."""
    return msgspec.json.format(encode_json(sidecar), indent=2) + b"\n"


def read_sidecar(content: bytes) -> Sidecar:
    """Parse a sidecar file.

    Raises:
        ValueError: the content is not a valid sidecar; the message has the reason.
    """
    try:
        return msgspec.json.decode(content, type=Sidecar)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def select_embedded_fields(sidecar: Sidecar) -> dict[str, object]:
    """Return the fields of the sidecar that are embedded in the image."""
    fields = msgspec.to_builtins(sidecar)
    return {key: value for key, value in fields.items() if key not in _NOT_EMBEDDED}


def write_embedded_sidecar(sidecar: Sidecar) -> str:
    """Return the embedded fields of the sidecar as compact JSON."""
    text = encode_json(select_embedded_fields(sidecar)).decode()
    # JSON allows these two characters unescaped, XML does not, and XMP is XML.
    return text.replace("\ufffe", r"\ufffe").replace("\uffff", r"\uffff")


def read_embedded_sidecar(fields: Mapping[str, object]) -> Sidecar:
    """Return the sidecar embedded in an image; fields that are not embedded are empty.

    Raises:
        msgspec.ValidationError: the fields are not a valid sidecar.
    """
    return msgspec.convert({**_NOT_EMBEDDED, **fields}, Sidecar)
