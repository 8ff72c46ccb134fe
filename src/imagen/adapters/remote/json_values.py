"""Reading of JSON values whose type is uncertain."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

import msgspec


def as_mapping(value: object) -> Mapping[str, object]:
    """Return the value if it is an object, else an empty one."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """Return the value if it is a list, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def as_number(value: object) -> float | None:
    """Return the value if it is a number, else None."""
    # bool is a subclass of int in Python, but not a number in JSON.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def as_line(value: object, *, longest: int) -> str:
    """Return text on one line and without a final full stop; a structure as JSON."""
    if isinstance(value, dict | list) and value:
        value = msgspec.json.encode(value).decode()
    text = " ".join(value.split()).rstrip(".") if isinstance(value, str) else ""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def parse_time(text: object) -> datetime | None:
    """Parse a time with 0 to 9 decimals; return None if it is missing or invalid."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
