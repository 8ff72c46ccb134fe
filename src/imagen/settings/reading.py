"""Convert YAML values to the types of structs; describe in plain words what differs."""

import math
import types
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import FieldInfo

from imagen.domain.errors import ImagenError, InvalidRequest, Misconfigured
from imagen.domain.size import Size
from imagen.domain.suggestion import suggest_name
from imagen.settings.secrets import (
    build_problem,
    display_key,
    display_value,
    find_secrets,
    format_key_path,
)
from imagen.settings.tree import ConfigProblem, Document, Node

StructT = TypeVar("StructT", bound=msgspec.Struct)


class Reader:
    """Converts the values of one document, and collects every error in it."""

    def __init__(self, document: Document, *, expand: Callable[[str], Path]) -> None:
        self._source = document.source
        self._expand = expand
        self._secrets = find_secrets(document)
        self._problems = [*document.problems, *self._secrets.values()]
        # One error for each key: what follows from the first would only repeat it.
        self._reported = {(problem.line, problem.key) for problem in self._problems}

    def problems(self) -> tuple[ConfigProblem, ...]:
        """Return every error, in the order of the lines."""
        return tuple(sorted(self._problems, key=lambda problem: problem.line))

    def add_problem(self, node: Node, message: str, suggestion: str = "") -> None:
        """Add an error, unless its key has one already, or is inside a secret."""
        key = format_key_path(node.path)
        steps = range(len(node.path) + 1)
        inside = any(node.path[:end] in self._secrets for end in steps)
        if inside or (node.line, key) in self._reported:
            return
        self._reported.add((node.line, key))
        problem = build_problem(self._source, node, message, suggestion)
        self._problems.append(problem)

    def add_error(self, node: Node, error: Exception) -> None:
        """Add the error that a value raised."""
        # The message may quote the value, and so a secret that is inside.
        if any(secret[: len(node.path)] == node.path for secret in self._secrets):
            return
        self.add_problem(node, str(error).rstrip("."), _get_hint(error))

    def read_entries(self, node: Node) -> Mapping[str, Node]:
        """Return the entries of a mapping; null is an empty one."""
        if isinstance(node.value, Mapping):
            return node.value
        if node.value is not None:
            self._add_mismatch(node, "a mapping")
        return {}

    def check_keys(
        self, entries: Mapping[str, Node], *structs: type[msgspec.Struct]
    ) -> None:
        """Add an error for every key that none of the structs has."""
        known = [name for struct in structs for name in struct.__struct_encode_fields__]
        for key, entry in entries.items():
            if key not in known:
                self.add_problem(entry, "unknown key", suggest_choice(key, known))

    def read_fields(
        self, node: Node, entries: Mapping[str, Node], struct: type[StructT]
    ) -> StructT | None:
        """Return the struct of those entries of a node; None if it has an error."""
        values: dict[str, object] = {}
        for field in msgspec.structs.fields(struct):
            key = field.encode_name
            if (entry := entries.get(key)) is not None:
                values[field.name] = self._read(entry, field.type)
            elif field.required:
                others = entries.keys() - set(struct.__struct_encode_fields__)
                if near := suggest_name(key, others):
                    self.add_problem(
                        entries[near], "unknown key", f"did you mean {key}?"
                    )
                else:
                    missing = Node(path=(*node.path, key), line=node.line)
                    what = f"give {describe_type(field.type)}"
                    self.add_problem(missing, "the key is missing", what)
                values[field.name] = UNSET
        return self._build(node, struct, values)

    def _build(
        self, node: Node, struct: type[StructT], values: Mapping[str, object]
    ) -> StructT | None:
        if UNSET in values.values():
            return None
        try:
            return struct(**values)
        except (ImagenError, ValueError, TypeError) as error:
            self.add_error(node, error)
            return None

    def _read(self, node: Node, kind: object) -> object:
        """Return the value of a type; UNSET if it has an error, which is added."""
        bare, nullable = _unwrap(kind)
        value, origin, parts = node.value, get_origin(bare) or bare, get_args(bare)
        if value is None and nullable:
            return None
        if bare is Size:
            return self._parse_text(node, kind, Size.parse)
        if bare is Path:
            return self._parse_text(node, kind, self._expand)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            short = _find_short_form(bare)
            if short is None or isinstance(value, Mapping | tuple):
                entries = self.read_entries(node)
                self.check_keys(entries, bare)
                made = self.read_fields(node, entries, bare)
            else:
                alone = {short.name: self._read(node, short.type)}
                made = self._build(node, bare, alone)
            return UNSET if made is None else made
        plain = node.to_builtins()
        if origin in _MAPPINGS and isinstance(value, Mapping | None):
            inner = parts[1] if parts else object
            items = (value or {}).items()
            plain = {key: self._read(each, inner) for key, each in items}
            if UNSET in plain.values():
                return UNSET
        one_kind = origin is not tuple or parts[1:] == (...,)
        if origin in _LISTS and isinstance(value, tuple) and parts and one_kind:
            plain = [self._read(item, parts[0]) for item in value]
            if UNSET in plain:
                return UNSET
        return self._convert(node, plain, kind)

    def _parse_text(
        self, node: Node, kind: object, parse: Callable[[str], object]
    ) -> object:
        if not isinstance(node.value, str):
            return self._add_mismatch(node, describe_type(kind))
        try:
            return parse(node.value)
        except InvalidRequest as error:
            return self._add_mismatch(node, describe_type(kind), _get_hint(error))
        except Misconfigured as error:
            self.add_error(node, error)
            return UNSET

    def _convert(self, node: Node, value: object, kind: object) -> object:
        try:
            made: object = msgspec.convert(value, kind, dec_hook=_accept_instance)
        except (msgspec.ValidationError, ValueError, TypeError, OverflowError):
            return self._add_mismatch(
                node, describe_type(kind), _suggest_fix(value, kind)
            )
        if isinstance(made, float) and not math.isfinite(made):
            return self._add_mismatch(node, describe_type(kind))
        try:
            for meta in _find_metas(kind):
                if callable(check := (meta.extra or {}).get("check")):
                    check(made)
        except (ImagenError, ValueError) as error:
            self.add_error(node, error)
            return UNSET
        return made

    def _add_mismatch(self, node: Node, what: str, suggestion: str = "") -> UnsetType:
        got = display_value(node.value)
        self.add_problem(node, f"expected {what}, got {got}", suggestion)
        return UNSET


_MAPPINGS: tuple[object, ...] = (dict, Mapping)
_LISTS: tuple[object, ...] = (list, tuple, Sequence, set, frozenset)
# `Optional[X]` and `X | None` have different origins until Python 3.14.
_UNIONS: tuple[object, ...] = (Union, types.UnionType)


def suggest_choice(name: str, known: Sequence[str]) -> str:
    """Return the name that is similar, else all names that are known."""
    if near := suggest_name(name, known):
        return f"did you mean {display_key(near)}?"
    names = ", ".join(display_key(each) for each in known)
    return f"use one of {names}" if len(known) > 1 else f"use {names}" if names else ""


def describe_type(kind: object) -> str:
    """Return in plain words which values a type has, such as `a number above 0`.

    `shape` in `Meta.extra` replaces the description of the type. A regular expression
    is never shown: without a `shape`, the example of the field is used.
    """
    bare, _ = _unwrap(kind)
    metas, (_, example) = _find_metas(kind), describe_field(kind)
    if choices := _list_choices(bare):
        what = "one of " + ", ".join(choices)
    elif get_origin(bare) in _UNIONS:
        parts = [part for part in get_args(bare) if part is not type(None)]
        what = " or ".join(map(describe_type, parts))
        # Each part is described with its own limits; the rest are those of all.
        metas = metas[sum(len(_find_metas(part)) for part in parts) :]
    else:
        what = _WORDS.get(get_origin(bare) or bare, "a value of another type")
    for meta in metas:
        extra = meta.extra or {}
        if "shape" in extra:
            return f"{extra['shape']}"
        if meta.pattern is not None and isinstance(example, str):
            return f"{'a URL' if '://' in example else what} such as {example}"
        what += f" of {extra['unit']}" if "unit" in extra else ""
        what += _describe_limits(meta)
    return what


_WORDS: dict[object, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    Size: "a size such as 1536x768",
    **dict.fromkeys(_MAPPINGS, "a mapping"),
    **dict.fromkeys(_LISTS, "a list"),
}


def _describe_limits(meta: msgspec.Meta) -> str:
    lowest, highest = meta.ge, meta.le
    if lowest is not None and highest is not None:
        return f" from {lowest} to {highest}"
    limits = [
        words.format(limit)
        for limit, words in (
            (meta.gt, "above {}"),
            (lowest, "not below {}"),
            (meta.lt, "below {}"),
            (highest, "up to {}"),
            (meta.multiple_of, "that is a multiple of {}"),
            (meta.pattern, "in the form that the adapter requires"),
        )
        if limit is not None
    ]
    if least := meta.min_length:
        limits.append("that is not empty" if least == 1 else f"of at least {least}")
    if meta.max_length is not None:
        limits.append(f"of at most {meta.max_length}")
    return "".join(f" {words}" for words in limits)


def _suggest_fix(value: object, kind: object) -> str:
    """Return what to change about a value of another type; "" if nothing is known."""
    bare, _ = _unwrap(kind)
    _, example = describe_field(kind)
    shown = str(example) if isinstance(example, str | int | float) else ""
    if bare is str and isinstance(value, (bool, int, float)):
        return "put it in quotes"
    scheme, separator, _ = shown.partition("://")
    if bare is str and separator and isinstance(value, str) and "://" not in value:
        return f"begin it with {scheme}://"
    if choices := _list_choices(bare):
        near = suggest_name(str(value), choices)
        return f"did you mean {near}?" if near else ""
    return f"for example {shown}" if shown and shown not in describe_type(kind) else ""


def _unwrap(kind: object) -> tuple[object, bool]:
    """Return a type without annotations, None and UNSET, and whether it has None."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) not in _UNIONS:
        return kind, kind is object
    parts = get_args(kind)
    absent = {type(None), msgspec.UnsetType}
    others = [part for part in parts if part not in absent]
    return _unwrap(others[0])[0] if len(others) == 1 else kind, type(None) in parts


def _list_choices(bare: object) -> list[str]:
    if isinstance(bare, type) and issubclass(bare, Enum):
        return [str(member.value) for member in bare]
    return [str(each) for each in get_args(bare)] if get_origin(bare) is Literal else []


def _find_metas(kind: object) -> list[msgspec.Meta]:
    if get_origin(kind) is Annotated:
        inner, *metas = get_args(kind)
        own = [meta for meta in metas if isinstance(meta, msgspec.Meta)]
        return [*_find_metas(inner), *own]
    if get_origin(kind) in _UNIONS:
        return [meta for part in get_args(kind) for meta in _find_metas(part)]
    return []


def describe_field(kind: object) -> tuple[str, object]:
    """Return the description of a field, and its example; None if it has none."""
    description, example = "", None
    for meta in _find_metas(kind):
        description = meta.description or description
        example = meta.examples[0] if meta.examples else example
    return description, example


def list_examples(kind: object) -> list[object]:
    """Return all examples of a field."""
    return [each for meta in _find_metas(kind) for each in meta.examples or ()]


def _find_short_form(struct: type[msgspec.Struct]) -> FieldInfo | None:
    """Return the field that a value without a key belongs to."""
    for field in msgspec.structs.fields(struct):
        if any("alone" in (meta.extra or {}) for meta in _find_metas(field.type)):
            return field
    return None


def _accept_instance(kind: type, value: object) -> object:
    if isinstance(value, kind):
        return value
    raise TypeError


def _get_hint(error: Exception) -> str:
    """Return the hint as it is written in brackets; an acronym keeps its case."""
    hint = error.hint.rstrip(".") if isinstance(error, ImagenError) else ""
    return hint[:1].lower() + hint[1:] if hint[1:2].islower() else hint
