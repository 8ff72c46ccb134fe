"""Convert YAML values to the types of structs; describe in plain words what differs."""

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
from imagen.settings.tree import ConfigProblem, Document, Entry, KeyPath, YamlNode

StructT = TypeVar("StructT", bound=msgspec.Struct)


class MismatchError(Exception):
    """The value has another type; the problem is added already."""


class Reader:
    """Converts the values of one document, and collects every error in it.

    Args:
        document: The parsed file.
        expand: Expands `~` and `$VAR` in a path.
    """

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

    def add_problem(
        self, line: int, path: KeyPath, message: str, suggestion: str = ""
    ) -> None:
        """Add an error, unless its key has one already, or is inside a secret."""
        inside = any(path[:end] in self._secrets for end in range(len(path) + 1))
        if inside or (line, format_key_path(path)) in self._reported:
            return
        problem = ConfigProblem(
            file=self._source,
            line=line,
            key=format_key_path(path),
            message=message,
            suggestion=suggestion,
        )
        self._problems.append(problem)
        self._reported.add((line, format_key_path(path)))

    def add_error(self, line: int, path: KeyPath, error: Exception) -> None:
        """Add the error that a value raised."""
        # The message may quote the value, and so a secret that is inside.
        if any(secret[: len(path)] == path for secret in self._secrets):
            return
        hint = error.hint if isinstance(error, ImagenError) else ""
        self.add_problem(
            line, path, str(error).rstrip("."), _lower_first(hint.rstrip("."))
        )

    def read_entries(
        self, node: YamlNode, path: KeyPath, line: int
    ) -> Mapping[str, Entry]:
        """Return the entries of a mapping; null is an empty one."""
        if isinstance(node.value, Mapping):
            return node.value
        if node.value is not None:
            self.add_problem(
                line, path, f"expected a mapping, got {display_value(node.value)}"
            )
        return {}

    def check_keys(
        self,
        entries: Mapping[str, Entry],
        path: KeyPath,
        *structs: type[msgspec.Struct],
    ) -> None:
        """Add an error for every key that none of the structs has."""
        known = [
            field.encode_name
            for struct in structs
            for field in msgspec.structs.fields(struct)
        ]
        for key, entry in entries.items():
            if key not in known:
                self.add_problem(
                    entry.line, (*path, key), "unknown key", suggest_choice(key, known)
                )

    def read_values(
        self,
        entries: Mapping[str, Entry],
        path: KeyPath,
        line: int,
        struct: type[msgspec.Struct],
    ) -> dict[str, object] | None:
        """Return the values of a struct's fields; None if one is missing or invalid."""
        values: dict[str, object] = {}
        complete = True
        for field in msgspec.structs.fields(struct):
            key = field.encode_name
            entry = entries.get(key)
            try:
                if entry is not None:
                    here = (*path, key)
                    values[field.name] = self._read(
                        entry.node, here, entry.line, field.type
                    )
                elif field.required:
                    what = describe_type(field.type)
                    self.add_problem(
                        line, (*path, key), "the key is missing", f"give {what}"
                    )
                    complete = False
            except MismatchError:
                complete = False
        return values if complete else None

    def read_struct(
        self, node: YamlNode, path: KeyPath, line: int, struct: type[StructT]
    ) -> StructT | None:
        """Return a mapping as a struct; None if it has an error."""
        entries = self.read_entries(node, path, line)
        self.check_keys(entries, path, struct)
        values = self.read_values(entries, path, line, struct)
        return None if values is None else self.build_struct(line, path, struct, values)

    def build_struct(
        self,
        line: int,
        path: KeyPath,
        struct: type[StructT],
        values: Mapping[str, object],
    ) -> StructT | None:
        """Return the struct; None if it refuses the combination of values."""
        try:
            return struct(**values)
        except (ImagenError, ValueError, TypeError) as error:
            self.add_error(line, path, error)
            return None

    def _read(self, node: YamlNode, path: KeyPath, line: int, kind: object) -> object:
        bare, value = _strip_annotations(kind), node.value
        if value is None and _accepts_null(kind):
            return None
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct | Path):
            if issubclass(bare, Path) or bare is Size:
                return self._parse_text(value, path, line, kind)
            made = self._read_struct_or_value(node, path, line, bare)
            if made is None:
                raise MismatchError
            return made
        origin = _find_origin(kind)
        parts = get_args(bare)
        if origin in _MAPPINGS:
            inner = parts[1] if parts else object
            read = {
                key: self._read(entry.node, (*path, key), entry.line, inner)
                for key, entry in self._read_mapping(node, path, line)
            }
            return self._convert(read, path, line, kind)
        one_kind = origin is not tuple or parts[1:] == (...,)
        if origin in _LISTS and isinstance(value, tuple) and parts and one_kind:
            items = [
                self._read(item, (*path, place), item.line, parts[0])
                for place, item in enumerate(value)
            ]
            return self._convert(items, path, line, kind)
        return self._convert(node.to_builtins(), path, line, kind)

    def _read_struct_or_value(
        self, node: YamlNode, path: KeyPath, line: int, kind: type[StructT]
    ) -> StructT | None:
        """Read a mapping, or the value of the field that is marked `alone`."""
        alone = _find_short_form(kind)
        if alone is None or isinstance(node.value, Mapping | tuple):
            return self.read_struct(node, path, line, kind)
        value = self._read(node, path, line, alone.type)
        return self.build_struct(line, path, kind, {alone.name: value})

    def _read_mapping(
        self, node: YamlNode, path: KeyPath, line: int
    ) -> Iterator[tuple[str, Entry]]:
        if node.value is not None and not isinstance(node.value, Mapping):
            self._add_mismatch(line, path, "a mapping", node.value)
            raise MismatchError
        yield from self.read_entries(node, path, line).items()

    def _parse_text(
        self, value: object, path: KeyPath, line: int, kind: object
    ) -> object:
        if isinstance(value, str):
            try:
                return (
                    Size.parse(value)
                    if _strip_annotations(kind) is Size
                    else self._expand(value)
                )
            except InvalidRequest as error:
                suggestion = _lower_first(error.hint.rstrip("."))
                self._add_mismatch(line, path, describe_type(kind), value, suggestion)
                raise MismatchError from error
            except Misconfigured as error:
                self.add_error(line, path, error)
                raise MismatchError from error
        self._add_mismatch(line, path, describe_type(kind), value)
        raise MismatchError

    def _convert(self, value: object, path: KeyPath, line: int, kind: object) -> object:
        try:
            made: object = msgspec.convert(value, kind, dec_hook=_accept_instance)
        except (msgspec.ValidationError, ValueError, TypeError, OverflowError) as error:
            self._add_mismatch(
                line, path, describe_type(kind), value, _suggest_fix(value, kind)
            )
            raise MismatchError from error
        if isinstance(made, float) and not math.isfinite(made):
            self._add_mismatch(line, path, describe_type(kind), value)
            raise MismatchError
        return made

    def _add_mismatch(
        self, line: int, path: KeyPath, what: str, value: object, suggestion: str = ""
    ) -> None:
        self.add_problem(
            line, path, f"expected {what}, got {display_value(value)}", suggestion
        )


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
    bare, metas = _strip_annotations(kind), _find_metas(kind)
    example = _find_example(kind)
    if get_origin(bare) is Literal:
        what = "one of " + ", ".join(map(str, get_args(bare)))
    elif isinstance(bare, type) and issubclass(bare, Enum):
        what = "one of " + ", ".join(str(member.value) for member in bare)
    else:
        plain = _find_origin(kind)
        what = next(
            (words for known, words in _WORDS.items() if plain is known), ""
        ) or (
            "a mapping" if plain in _MAPPINGS else "a list" if plain in _LISTS else ""
        )
        if not what and plain in _UNIONS:
            parts = [part for part in get_args(bare) if part is not type(None)]
            what = " or ".join(map(describe_type, parts))
            # Each part is described with its own limits; the rest are those of all.
            metas = metas[sum(len(_find_metas(part)) for part in parts) :]
        what = what or "a value of another type"
    for meta in metas:
        extra = meta.extra or {}
        if "shape" in extra:
            return f"{extra['shape']}"
        if meta.pattern is not None and example:
            return f"{'a URL' if _find_scheme(example) else what} such as {example}"
        what += f" of {extra['unit']}" if "unit" in extra else ""
        what += _describe_limits(meta)
    return what


_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    Size: "a size such as 1536x768",
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
    if meta.min_length:
        limits.append(
            "that is not empty"
            if meta.min_length == 1
            else f"of at least {meta.min_length}"
        )
    if meta.max_length is not None:
        limits.append(f"of at most {meta.max_length}")
    return "".join(f" {words}" for words in limits)


def _suggest_fix(value: object, kind: object) -> str:
    """Return what to change about a value of another type; "" if nothing is known."""
    bare = _strip_annotations(kind)
    if bare is str and isinstance(value, (bool, int, float)):
        return "put it in quotes"
    scheme = _find_scheme(_find_example(kind))
    if bare is str and scheme and isinstance(value, str) and "://" not in value:
        return f"begin it with {scheme}"
    if isinstance(bare, type) and issubclass(bare, Enum):
        options = [str(member.value) for member in bare]
    else:
        options = [str(each) for each in get_args(bare)]
    if get_origin(bare) is Literal or (options and isinstance(bare, type)):
        near = suggest_name(str(value), options)
        return f"did you mean {near}?" if near else ""
    _, example = describe_field(kind)
    shown = str(example) if isinstance(example, str | int | float) else ""
    return f"for example {shown}" if shown and shown not in describe_type(kind) else ""


def _strip_annotations(kind: object) -> object:
    """Return a type without its annotations and without None."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in _UNIONS:
        others = [part for part in get_args(kind) if part is not type(None)]
        return _strip_annotations(others[0]) if len(others) == 1 else kind
    return kind


def _find_origin(kind: object) -> object:
    bare = _strip_annotations(kind)
    return get_origin(bare) or bare


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


def _find_example(kind: object) -> str:
    _, example = describe_field(kind)
    return example if isinstance(example, str) else ""


def _find_scheme(example: str) -> str:
    scheme, separator, _ = example.partition("://")
    return scheme + separator if separator else ""


def get_default(field: FieldInfo) -> object:
    """Return the default of a field; None if the field is required."""
    if not isinstance(field.default_factory, type(msgspec.NODEFAULT)):
        return field.default_factory()
    if isinstance(field.default, type(msgspec.NODEFAULT)):
        return None
    return field.default


def _find_short_form(struct: type[msgspec.Struct]) -> FieldInfo | None:
    """Return the field that a value without a key belongs to."""
    for field in msgspec.structs.fields(struct):
        if any(
            meta.extra and "alone" in meta.extra for meta in _find_metas(field.type)
        ):
            return field
    return None


def _accepts_null(kind: object) -> bool:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in _UNIONS:
        return type(None) in get_args(kind)
    return kind is type(None) or kind is object


def _accept_instance(kind: type, value: object) -> object:
    if isinstance(value, kind):
        return value
    raise TypeError


def _lower_first(text: str) -> str:
    """Return a sentence as it is written in brackets; an acronym keeps its case."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
