"""The inputs of a model: their types and limits, read from the model's schema."""

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias, cast

import msgspec

from imagen.adapters.remote.json_values import (
    as_line,
    as_list,
    as_mapping,
    as_number,
)
from imagen.domain.errors import InvalidRequest
from imagen.domain.suggestion import suggest

Kind: TypeAlias = Literal["text", "whole", "number", "flag", "list", "any"]

_KINDS: Mapping[str, Kind] = {
    "string": "text",
    "integer": "whole",
    "number": "number",
    "boolean": "flag",
    "array": "list",
}
# The types of Python, and the name in messages.
_TYPES: Mapping[Kind, tuple[tuple[type, ...], str]] = {
    "text": ((str,), "text"),
    "whole": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "flag": ((bool,), "true or false"),
    "list": ((list, tuple), "a list"),
    "any": ((object,), "any value"),
}
_LONGEST_NOTE, _LONGEST_DESCRIPTION, _CHOICES_SHOWN = 80, 2000, 20


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a model.

    Attributes:
        name: The model's own name for it.
        kind: The type of its value.
        choices: The valid values; empty if they are not listed.
        lowest: The smallest valid number; None if not stated.
        highest: The largest valid number; None if not stated.
        max_items: The maximum length of a list; None if not stated.
        default: The value that the model uses if it is not sent; None if not stated.
        required: Whether it must be sent.
        note: The model's description of it.
        fields: The fields of an object, by name; empty for other types.
    """

    name: str
    kind: Kind = "any"
    choices: tuple[object, ...] = ()
    lowest: float | None = None
    highest: float | None = None
    max_items: int | None = None
    default: object = None
    required: bool = False
    note: str = ""
    fields: "Mapping[str, Field]" = {}

    @property
    def text_choices(self) -> tuple[str, ...]:
        """The valid values that are text."""
        return tuple(choice for choice in self.choices if isinstance(choice, str))

    @property
    def summary(self) -> str:
        """A short description: the choices, or else the first sentence of the note."""
        if self.note and not 0 < len(self.choices) <= _CHOICES_SHOWN:
            text = re.split(r"(?<=[a-z)])\. ", self.note)[0]
        else:
            text = ", ".join(map(str, self.choices)) or _TYPES[self.kind][1]
        return as_line(text, longest=_LONGEST_NOTE)

    def convert(self, value: object) -> object:
        """Return the value as the model expects it, or raise InvalidRequest."""
        if self.fields and isinstance(value, Mapping):
            return cast("Mapping[str, object]", value)
        if self.choices:
            return self._find_choice(value)
        if self.kind == "whole" and isinstance(value, float) and value.is_integer():
            value = int(value)
        types, expected = _TYPES[self.kind]
        is_flag = isinstance(value, bool)
        wrong_flag = is_flag and self.kind in {"whole", "number"}
        if not isinstance(value, types) or wrong_flag:
            raise InvalidRequest(f"{self.name} must be {expected}, not {value!r}.")
        if isinstance(value, (int, float)) and not is_flag:
            self._check_range(value)
        return value

    def _find_choice(self, value: object) -> object:
        """Return the choice that equals the value: 0.25 is "0.25", and 1.0 is 1."""
        for choice in self.choices:
            if json_equal(choice, value) or str(choice) == _format_choice(value):
                return choice
        listed = ", ".join(map(str, self.choices[:_CHOICES_SHOWN]))
        more = " and others" if len(self.choices) > _CHOICES_SHOWN else ""
        hint = suggest(
            str(value), map(str, self.choices), f"Use one of {listed}{more}."
        )
        raise InvalidRequest(f"{self.name} cannot be {value!r}.", hint=hint)

    def _check_range(self, value: float) -> None:
        low, high = self.lowest, self.highest
        if (low is None or value >= low) and (high is None or value <= high):
            return
        if low is not None and high is not None:
            limits = f"{low:g} to {high:g}"
        else:
            limits = f"{low:g} or more" if high is None else f"{high:g} or less"
        raise InvalidRequest(f"{self.name} cannot be {value!r}.", hint=f"Use {limits}.")


def json_equal(one: object, other: object) -> bool:
    """Return whether two values are equal in JSON: 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        ones, others = cast("list[object]", one), cast("list[object]", other)
        return len(ones) == len(others) and all(map(json_equal, ones, others))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        these = cast("Mapping[str, object]", one)
        those = cast("Mapping[str, object]", other)
        return these.keys() == those.keys() and all(
            json_equal(value, those[key]) for key, value in these.items()
        )
    return one == other


def read_fields(schema: object, *, name: str = "Input") -> tuple[Field, ...]:
    """Return the inputs in the OpenAPI schema of a model, in its order.

    Args:
        schema: The OpenAPI schema.
        name: The name of the schema of the inputs.
    """
    # Parts that cannot be read are left out: the model can be used without them.
    schemas = _get_path(schema, "components", "schemas")
    return _read_object(_get_path(schemas, name), schemas)


def _read_object(
    inputs: Mapping[str, object], schemas: Mapping[str, object]
) -> tuple[Field, ...]:
    required = as_list(inputs.get("required"))
    properties = _get_path(inputs, "properties")
    ordered = sorted(properties, key=lambda name: _sort_key(properties[name]))
    return tuple(
        _read_field(name, properties[name], schemas, required=name in required)
        for name in ordered
    )


def _read_field(
    name: str, entry: object, schemas: Mapping[str, object], *, required: bool
) -> Field:
    spec = _resolve(entry, schemas)
    kind, limit = spec.get("type"), spec.get("maxItems")
    # One level of objects, such as a size: no input is chosen deeper than that.
    inner = _read_object({"properties": spec.get("properties")}, {})
    return Field(
        name=name,
        kind=_KINDS.get(kind, "any") if isinstance(kind, str) else "any",
        choices=tuple(as_list(spec.get("enum"))),
        lowest=as_number(spec.get("minimum")),
        highest=as_number(spec.get("maximum")),
        max_items=limit if type(limit) is int else None,
        default=spec.get("default"),
        required=required,
        note=as_line(spec.get("description"), longest=_LONGEST_DESCRIPTION),
        fields={field.name: field for field in inner},
    )


def _resolve(spec: object, schemas: Mapping[str, object]) -> Mapping[str, object]:
    """Return a property with its references resolved."""
    # Replicate puts the choices of an input into a schema of their own. Of several
    # alternatives the first that is not null is used: null marks an optional input. An
    # object and a list of choices, such as a size and names of sizes, are combined.
    found = dict(as_mapping(spec))
    for key in ("allOf", "anyOf", "oneOf"):
        several = False
        for part in as_list(found.pop(key, None)):
            more = _resolve(part, schemas)
            if more.get("type") == "null":
                continue
            if several and ("properties" in found) == ("properties" in more):
                continue
            found = {**more, **found}
            several = key != "allOf"
    reference = found.pop("$ref", None)
    if isinstance(reference, str):
        found = {**_resolve(schemas.get(reference.rpartition("/")[2]), {}), **found}
    return found


def _sort_key(spec: object) -> float:
    order = as_number(as_mapping(spec).get("x-order"))
    return float("inf") if order is None else order


def _get_path(value: object, *path: str) -> Mapping[str, object]:
    for step in path:
        value = as_mapping(value).get(step)
    return as_mapping(value)


def _format_choice(value: object) -> str:
    """Return a value in the spelling of a choice: 0.25, and 1 for 1.0."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if not isinstance(value, bool) else ""
