"""A JSON decoder for untrusted files, with limits."""

import json
import math
from collections.abc import Mapping
from typing import cast

import msgspec

_MAX_VALUES = 250_000
_MAX_DEPTH = 64


class Unreadable(ValueError):
    """The metadata cannot be read. The message has the reason."""


class NotJson(Unreadable):
    """The text begins like a JSON object, but is invalid."""


def decode_object(texts: Mapping[str, str], key: str) -> Mapping[str, object] | None:
    """Return the JSON object in a text; None without the text, or for other content.

    Raises:
        NotJson: the text begins like an object, but is invalid.
        Unreadable: the object is too large or too deep.
    """
    text = texts.get(key, "").strip()
    if not text.startswith("{"):
        return None
    # Counted before decoding: a small file can hold an object that fills the memory.
    if text.count(",") + text.count("[") + text.count("{") > _MAX_VALUES:
        raise Unreadable(f"the JSON in {key!r} has too many values")
    try:
        decoded = _decode(text)
    except RecursionError as error:
        raise Unreadable(f"the JSON in {key!r} is too deep") from error
    except ValueError as error:
        raise NotJson(f"the JSON in {key!r} is invalid") from error
    if _is_deeper(decoded, _MAX_DEPTH):
        raise Unreadable(f"the JSON in {key!r} is too deep")
    return decoded


def as_object(value: object) -> Mapping[str, object]:
    """Return a decoded JSON value that is an object; empty for any other value."""
    # The value was decoded from JSON, so all keys are texts.
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _decode(text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, ValueError):
        # Python's json module writes what JSON forbids: NaN, as ComfyUI does, and lone
        # surrogates.
        loose = json.loads(
            text, parse_constant=lambda _: None, parse_float=_parse_finite
        )
        whole = json.dumps(loose, ensure_ascii=False).encode("utf-8", "replace")
        decoded: dict[str, object] = json.loads(whole)
        return decoded


def _parse_finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _is_deeper(value: object, levels: int) -> bool:
    within = list(as_object(value).values())
    if isinstance(value, list):
        within = cast("list[object]", value)
    return any(not levels or _is_deeper(each, levels - 1) for each in within)
