"""The reason in an error response, in the forms that many vendors use."""

from collections.abc import Mapping
from typing import cast

import msgspec

from imagen.adapters.remote.json_values import as_line, as_list, as_mapping

_MAX_TEXT = 10_000
"""Messages are shortened after secrets were removed."""


def parse_problem(body: bytes) -> object:
    """Return the body of an error response; None for the page of a proxy."""
    try:
        return cast("object", msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeError):
        return None


def list_problems(problem: object) -> list[Mapping[str, object]]:
    """Return the entries of a list of invalid inputs, as FastAPI sends it."""
    # Some models of fal return the list without `detail`.
    entries = as_list(as_mapping(problem).get("detail")) or as_list(problem)
    return [as_mapping(each) for each in entries]


def describe_problem(problem: object) -> str:
    """Return the reason in the body of an error response; "" if there is none.

    It is a text in `detail`, `error`, `errors` or `message`, or in one of them an
    object with a `message`; or a list of invalid inputs.
    """
    if entries := list_problems(problem):
        return as_line("; ".join(map(_describe_entry, entries)), longest=_MAX_TEXT)
    found = as_mapping(problem)
    names = ("detail", "message", "errors", "error")
    detail = next((found[name] for name in names if found.get(name)), None)
    return as_line(as_mapping(detail).get("message") or detail, longest=_MAX_TEXT)


def _describe_entry(entry: Mapping[str, object]) -> str:
    """Return the place and the reason: `image_size.width: too large`."""
    path = [str(step) for step in as_list(entry.get("loc")) if step != "body"]
    text = as_line(entry.get("msg"), longest=_MAX_TEXT)
    return f"{'.'.join(path)}: {text}" if path else text
