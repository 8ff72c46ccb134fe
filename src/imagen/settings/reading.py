"""Reads values as their types demand, and says in plain words what does not fit."""

import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from imagen.domain.errors import ImagenError, InvalidRequest, Misconfigured
from imagen.domain.size import Size
from imagen.domain.suggestion import suggest_name
from imagen.settings.secrets import (
    display_key,
    display_value,
    find_secrets,
    format_key_path,
)
from imagen.settings.tree import ConfigProblem, Document, Entry, Trail, YamlNode

StructT = TypeVar("StructT", bound=msgspec.Struct)


class InvalidValue(Exception):
    """The value does not fit; a note says why."""


class Reader:
    """Reads one document; collects everything that is wrong in it."""

    def __init__(self, document: Document, *, expand: Callable[[str], Path]) -> None:
        self._source = document.source
        self._expand = expand
        self._secrets = find_secrets(document)
        self._problems = [*document.problems, *self._secrets.values()]
        self._noted = {(problem.line, problem.key) for problem in self._problems}

    def problems(self) -> tuple[ConfigProblem, ...]:
        """Return everything that was found, in the order of the lines."""
        return tuple(sorted(self._problems, key=lambda problem: problem.line))

    def note(self, line: int, trail: Trail, message: str, suggestion: str = "") -> None:
        """Add a problem; of a place that holds a secret nothing more is said."""
        inside = any(trail[:end] in self._secrets for end in range(len(trail) + 1))
        if inside or (line, format_key_path(trail)) in self._noted:
            return
        problem = ConfigProblem(
            file=self._source,
            line=line,
            key=format_key_path(trail),
            message=message,
            suggestion=suggestion,
        )
        self._problems.append(problem)
        self._noted.add((line, format_key_path(trail)))

    def note_error(self, line: int, trail: Trail, error: Exception) -> None:
        """Add what a value says of itself, unless it could say a secret."""
        if any(secret[: len(trail)] == trail for secret in self._secrets):
            return
        hint = error.hint if isinstance(error, ImagenError) else ""
        self.note(line, trail, str(error).rstrip("."), _begun_small(hint.rstrip(".")))

    def entries(self, node: YamlNode, trail: Trail, line: int) -> Mapping[str, Entry]:
        """Return the entries of a mapping; nothing at all is an empty one."""
        if isinstance(node.value, Mapping):
            return node.value
        if node.value is not None:
            self.note(
                line, trail, f"expected a mapping, got {display_value(node.value)}"
            )
        return {}

    def check_keys(
        self,
        entries: Mapping[str, Entry],
        trail: Trail,
        *structs: type[msgspec.Struct],
    ) -> None:
        """Note every key that none of the structs has."""
        known = [
            field.encode_name
            for struct in structs
            for field in msgspec.structs.fields(struct)
        ]
        for key, entry in entries.items():
            if key not in known:
                self.note(
                    entry.line, (*trail, key), "unknown key", suggest_choice(key, known)
                )

    def values(
        self,
        entries: Mapping[str, Entry],
        trail: Trail,
        line: int,
        struct: type[msgspec.Struct],
    ) -> dict[str, object] | None:
        """Return the values of a struct's fields; None if one is missing or wrong."""
        values: dict[str, object] = {}
        complete = True
        for field in msgspec.structs.fields(struct):
            key = field.encode_name
            entry = entries.get(key)
            try:
                if entry is not None:
                    here = (*trail, key)
                    values[field.name] = self._read(
                        entry.node, here, entry.line, field.type
                    )
                elif field.required:
                    what = describe_type(field.type)
                    self.note(line, (*trail, key), "the key is missing", f"give {what}")
                    complete = False
            except InvalidValue:
                complete = False
        return values if complete else None

    def struct(
        self, node: YamlNode, trail: Trail, line: int, struct: type[StructT]
    ) -> StructT | None:
        """Return a mapping as a struct; None if something in it is wrong."""
        entries = self.entries(node, trail, line)
        self.check_keys(entries, trail, struct)
        values = self.values(entries, trail, line, struct)
        return None if values is None else self.build(line, trail, struct, values)

    def build(
        self,
        line: int,
        trail: Trail,
        struct: type[StructT],
        values: Mapping[str, object],
    ) -> StructT | None:
        """Return the struct; None if the values do not go together."""
        try:
            return struct(**values)
        except (ImagenError, ValueError, TypeError) as error:
            self.note_error(line, trail, error)
            return None

    def _read(self, node: YamlNode, trail: Trail, line: int, kind: object) -> object:
        bare, value = _bare(kind), node.value
        if value is None and _takes_nothing(kind):
            return None
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct | Path):
            if issubclass(bare, Path) or bare is Size:
                return self._written(value, trail, line, kind)
            made = self._struct_or_alone(node, trail, line, bare)
            if made is None:
                raise InvalidValue
            return made
        origin = _origin(kind)
        parts = get_args(bare)
        if origin in _MAPPINGS:
            inner = parts[1] if parts else object
            read = {
                key: self._read(entry.node, (*trail, key), entry.line, inner)
                for key, entry in self._each(node, trail, line)
            }
            return self._converted(read, trail, line, kind)
        one_kind = origin is not tuple or parts[1:] == (...,)
        if origin in _LISTS and isinstance(value, tuple) and parts and one_kind:
            items = [
                self._read(item, (*trail, place), item.line, parts[0])
                for place, item in enumerate(value)
            ]
            return self._converted(items, trail, line, kind)
        return self._converted(node.plain(), trail, line, kind)

    def _struct_or_alone(
        self, node: YamlNode, trail: Trail, line: int, kind: type[StructT]
    ) -> StructT | None:
        """Read a mapping; a single value is that of the field marked `alone`."""
        alone = _alone(kind)
        if alone is None or isinstance(node.value, Mapping | tuple):
            return self.struct(node, trail, line, kind)
        value = self._read(node, trail, line, alone.type)
        return self.build(line, trail, kind, {alone.name: value})

    def _each(
        self, node: YamlNode, trail: Trail, line: int
    ) -> Iterator[tuple[str, Entry]]:
        if node.value is not None and not isinstance(node.value, Mapping):
            self._unfit(line, trail, "a mapping", node.value)
            raise InvalidValue
        yield from self.entries(node, trail, line).items()

    def _written(self, value: object, trail: Trail, line: int, kind: object) -> object:
        if isinstance(value, str):
            try:
                return Size.parse(value) if _bare(kind) is Size else self._expand(value)
            except InvalidRequest as error:
                suggestion = _begun_small(error.hint.rstrip("."))
                self._unfit(line, trail, describe_type(kind), value, suggestion)
                raise InvalidValue from error
            except Misconfigured as error:
                self.note_error(line, trail, error)
                raise InvalidValue from error
        self._unfit(line, trail, describe_type(kind), value)
        raise InvalidValue

    def _converted(
        self, value: object, trail: Trail, line: int, kind: object
    ) -> object:
        try:
            made: object = msgspec.convert(value, kind, dec_hook=_as_it_is)
        except (msgspec.ValidationError, ValueError, TypeError, OverflowError) as error:
            self._unfit(line, trail, describe_type(kind), value, _advice(value, kind))
            raise InvalidValue from error
        if isinstance(made, float) and not math.isfinite(made):
            self._unfit(line, trail, describe_type(kind), value)
            raise InvalidValue
        return made

    def _unfit(
        self, line: int, trail: Trail, what: str, value: object, suggestion: str = ""
    ) -> None:
        self.note(
            line, trail, f"expected {what}, got {display_value(value)}", suggestion
        )


_MAPPINGS: tuple[object, ...] = (dict, Mapping)
_LISTS: tuple[object, ...] = (list, tuple, Sequence, set, frozenset)


def suggest_choice(name: str, known: Sequence[str]) -> str:
    """Return what may have been meant, else what there is."""
    if near := suggest_name(name, known):
        return f"did you mean {display_key(near)}?"
    there = ", ".join(display_key(each) for each in known)
    return f"there is {there}" if there else "there is none"


def describe_type(kind: object) -> str:
    """Return in plain words what values a type has."""
    bare, metas = _bare(kind), _metas(kind)
    if get_origin(bare) is Literal:
        what = "one of " + ", ".join(map(str, get_args(bare)))
    elif isinstance(bare, type) and issubclass(bare, Enum):
        what = "one of " + ", ".join(str(member.value) for member in bare)
    else:
        plain = _origin(kind)
        what = next(
            (words for known, words in _WORDS.items() if plain is known), ""
        ) or (
            "a mapping" if plain in _MAPPINGS else "a list" if plain in _LISTS else ""
        )
        what = what or "a value that fits"
    for meta in metas:
        extra = meta.extra or {}
        if "shape" in extra:
            return f"{extra['shape']}"
        what += f" of {extra['unit']}" if "unit" in extra else ""
        what += _limits(meta)
    return what


_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    Size: "a size such as 1536x768",
}


def _limits(meta: msgspec.Meta) -> str:
    lowest, highest = meta.ge, meta.le
    if lowest is not None and highest is not None:
        return f" from {lowest} to {highest}"
    said = [
        words.format(limit)
        for limit, words in (
            (meta.gt, "above {}"),
            (lowest, "not below {}"),
            (meta.lt, "below {}"),
            (highest, "up to {}"),
            (meta.multiple_of, "that is a multiple of {}"),
            (meta.pattern, "that matches {}"),
        )
        if limit is not None
    ]
    if meta.min_length:
        said.append(
            "that is not empty"
            if meta.min_length == 1
            else f"of at least {meta.min_length}"
        )
    if meta.max_length is not None:
        said.append(f"of at most {meta.max_length}")
    return "".join(f" {words}" for words in said)


def _advice(value: object, kind: object) -> str:
    bare = _bare(kind)
    if bare is str and isinstance(value, (bool, int, float)):
        return "put it in quotes"
    if isinstance(bare, type) and issubclass(bare, Enum):
        options = [str(member.value) for member in bare]
    else:
        options = [str(each) for each in get_args(bare)]
    if get_origin(bare) is Literal or (options and isinstance(bare, type)):
        near = suggest_name(str(value), options)
        return f"did you mean {near}?" if near else ""
    return ""


def _bare(kind: object) -> object:
    """Return a type without its annotations, and without its None."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in {Union, types.UnionType}:
        others = [part for part in get_args(kind) if part is not type(None)]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind


def _origin(kind: object) -> object:
    bare = _bare(kind)
    return get_origin(bare) or bare


def _metas(kind: object) -> list[msgspec.Meta]:
    if get_origin(kind) is Annotated:
        inner, *metas = get_args(kind)
        own = [meta for meta in metas if isinstance(meta, msgspec.Meta)]
        return [*_metas(inner), *own]
    if get_origin(kind) in {Union, types.UnionType}:
        return [meta for part in get_args(kind) for meta in _metas(part)]
    return []


def describe_field(kind: object) -> tuple[str, object]:
    """Return a field's description, and an example if it has one."""
    description, example = "", None
    for meta in _metas(kind):
        description = meta.description or description
        example = meta.examples[0] if meta.examples else example
    return description, example


def get_default(field: FieldInfo) -> object:
    """Return what holds when the key is not given; None if it must be."""
    if not isinstance(field.default_factory, type(msgspec.NODEFAULT)):
        return field.default_factory()
    if isinstance(field.default, type(msgspec.NODEFAULT)):
        return None
    return field.default


def _alone(struct: type[msgspec.Struct]) -> FieldInfo | None:
    """Return the field that a value stands for which is given without a key."""
    for field in msgspec.structs.fields(struct):
        if any(meta.extra and "alone" in meta.extra for meta in _metas(field.type)):
            return field
    return None


def _takes_nothing(kind: object) -> bool:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in {Union, types.UnionType}:
        return type(None) in get_args(kind)
    return kind is type(None) or kind is object


def _as_it_is(kind: type, value: object) -> object:
    if isinstance(value, kind):
        return value
    raise TypeError


def _begun_small(text: str) -> str:
    """Return a sentence to go in brackets; a proper name stays as it is."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
