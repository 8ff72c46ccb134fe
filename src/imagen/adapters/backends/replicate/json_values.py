"""Looks at JSON that may be anything, and takes what makes sense of it."""

from collections.abc import Mapping
from typing import cast


def as_mapping(value: object) -> Mapping[str, object]:
    """Return the object that it is, or an empty one."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """Return the list that it is, or an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def as_number(value: object) -> float | None:
    """Return the number that it is; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def as_line(value: object, *, longest: int) -> str:
    """Return the text that it is on one line, without its full stop; or ""."""
    text = " ".join(value.split()).rstrip(".") if isinstance(value, str) else ""
    return text if len(text) <= longest else text[: longest - 3] + "..."
