"""JSON that strangers wrote, read within limits."""

import json
import math
from collections.abc import Mapping
from typing import cast

import msgspec

_MOST_VALUES = 250_000
_DEEPEST = 64


class Unreadable(ValueError):
    """It cannot be read; says why."""


class NotJson(Unreadable):
    """It begins like an object of JSON, and is none."""


def decode_object(texts: Mapping[str, str], key: str) -> Mapping[str, object] | None:
    """Return the object that the text is; None if there is no such text, or no object.

    Raises:
        NotJson: it only begins like one.
        Unreadable: it is too large or too deep.
    """
    text = texts.get(key, "").strip()
    if not text.startswith("{"):
        return None
    if text.count(",") + text.count("[") + text.count("{") > _MOST_VALUES:
        raise Unreadable(f"the JSON in {key!r} has more values than are read")
    try:
        decoded = _decoded(text)
    except RecursionError as error:
        raise Unreadable(f"the JSON in {key!r} is too deep to be read") from error
    except ValueError as error:
        raise NotJson(f"the JSON in {key!r} is broken") from error
    if _is_deeper(decoded, _DEEPEST):
        raise Unreadable(f"the JSON in {key!r} is too deep to be read")
    return decoded


def as_object(value: object) -> Mapping[str, object]:
    """Return a value of decoded JSON that is an object; an empty one if it is none."""
    # Keys of JSON are texts, and there is nothing but JSON here.
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _decoded(text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, ValueError):
        # Python writes more than JSON allows: NaN (ComfyUI does), half characters.
        loose = json.loads(text, parse_constant=_nothing, parse_float=_finite)
        whole = json.dumps(loose, ensure_ascii=False).encode("utf-8", "replace")
        decoded: dict[str, object] = json.loads(whole)
        return decoded


def _nothing(_: str) -> None:
    return None


def _finite(written: str) -> float | None:
    number = float(written)
    return number if math.isfinite(number) else None


def _is_deeper(value: object, levels: int) -> bool:
    within = list(as_object(value).values())
    if isinstance(value, list):
        within = cast("list[object]", value)  # JSON again
    return any(not levels or _is_deeper(each, levels - 1) for each in within)
