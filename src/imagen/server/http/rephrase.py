"""Say in HTTP's terms what Litestar, msgspec and the command line say in theirs."""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec

from imagen.server.http.schemas import ImageFields

_BODY = "data"
# Litestar names the arguments of the handlers.
_HEADERS: Mapping[str, str] = {
    "idempotency_key": "Idempotency-Key",
    "detach": "Imagen-Detach",
}
_KINDS: Mapping[str, str] = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_ENUM = re.compile(r"Invalid enum value (.+)")
_EXPECTED = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?(.*)")
_LIMIT = re.compile(r" (of length )?(>=|<=) (\S+)")
_MALFORMED = "JSON is malformed: "


def describe_field_error(key: str, message: str) -> tuple[str | None, str]:
    """Return the name of a field, None for the body, and what is wrong with it.

    Args:
        key: Litestar's name of the field.
        message: The message of msgspec.
    """
    param = None if key == _BODY else _HEADERS.get(key, key) or None
    subject = f"`{param}`" if param else "The body"
    # For a request without a body, the message is only the name of the argument.
    if message == repr(_BODY):
        return None, "The request has no body."
    if match := _MISSING.fullmatch(message):
        return match[1], f"`{match[1]}` is missing."
    if match := _ENUM.fullmatch(message):
        choices = ", ".join(_list_choices(param or ""))
        advice = f" Use one of {choices}." if choices else ""
        return param, f"{subject} does not accept {match[1]}.{advice}"
    if message.startswith(_MALFORMED):
        reason = message.removeprefix(_MALFORMED)
        return None, f"The body is not valid JSON: {reason}."
    if message == "Invalid multipart/form-data":
        return None, "The body is not a valid form (multipart/form-data)."
    if message == "Input data was truncated":
        return None, "The body is not valid JSON: it ends too early."
    if match := _EXPECTED.fullmatch(message):
        return param, f"{subject} must {_describe_expected(match)}."
    return param, message if message.endswith(".") else f"{message}."


def _describe_expected(match: re.Match[str]) -> str:
    kinds = [each for each in match[1].split(" | ") if each != "null"] or ["null"]
    expected = " or ".join(_KINDS.get(each, each) for each in kinds)
    if limit := _LIMIT.fullmatch(match[3]):
        plural = "" if limit[3] == "1" else "s"
        verb, unit = ("have ", f" character{plural}") if limit[1] else ("be ", "")
        bound = "at least" if limit[2] == ">=" else "at most"
        return f"{verb}{bound} {limit[3]}{unit}"
    received = "a fraction" if match[2] == "float" else _KINDS.get(match[2] or "")
    got = f", not {received}" if received else ""
    return f"be {expected}{match[3]}{got}"


def _list_choices(param: str) -> list[str]:
    fields = {each.name: each.type for each in msgspec.structs.fields(ImageFields)}
    return [str(each) for each in _find_literal(fields.get(param))]


def _find_literal(kind: Any) -> tuple[Any, ...]:
    """Return the values of the Literal inside a type."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    found = (_find_literal(part) for part in get_args(kind))
    return next(filter(None, found), ())
