"""Parse a YAML file into values with line numbers, by the rules of YAML 1.2.

PyYAML only splits the text into events, which are composed and resolved here. Its own
resolvers implement YAML 1.1, in which `on` is true and `16:9` is 969, and its loaders
have no limit for nested brackets or for the values that aliases expand to.
"""

import re
from collections.abc import Iterator
from typing import TypeAlias

import msgspec
import yaml

from imagen.domain.errors import InvalidRequest
from imagen.settings.secrets import format_key_path
from imagen.settings.tree import (
    ConfigProblem,
    Document,
    Entry,
    KeyPath,
    Scalar,
    YamlNode,
)

DEEPEST = 100
"""Nested collections, at most: each takes a frame of Python's stack."""

MOST_VALUES = 100_000
"""Values in one file, at most; an alias counts as all values that it stands for."""

LONGEST_NUMBER = 100
"""Digits of a number, at most: Python refuses to print one of some thousands."""

# libyaml, unless PyYAML was built without it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")
# The characters that YAML 1.2 forbids in a file, outside of escapes.
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
# Escapes may produce these, which neither file names nor the database can hold.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_PREFIX = "tag:yaml.org,2002:"
_TAGGED: dict[str, tuple[type, ...]] = {
    f"{_PREFIX}str": (str,),
    f"{_PREFIX}int": (int,),
    f"{_PREFIX}float": (float, int),
    f"{_PREFIX}bool": (bool,),
    f"{_PREFIX}null": (type(None),),
}

_Event: TypeAlias = yaml.Event


def parse(content: bytes, *, source: str) -> Document:
    """Parse a whole file; its errors are in the `problems` of the document."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = _ParseError(line, "the file is not UTF-8 text", "save it as UTF-8")
        return Document(source=source, problems=(problem.to_problem(source),))
    composer = _Composer(source)
    try:
        root = composer.compose(text)
    except _ParseError as broken:
        problems = (*composer.problems, broken.to_problem(source))
        return Document(source=source, problems=problems)
    return Document(source=source, root=root, problems=tuple(composer.problems))


def parse_scalar(text: str) -> object:
    """Return the value of a command line word: `4`, `true`, `[1, 2]`, `{a: 1}`.

    It has the same type as in the config. Text in quotes stays text. A word that begins
    without a bracket or quote is a single value, so that `#ff0000` and `a: b` need no
    quotes.

    Raises:
        InvalidRequest: brackets or quotes do not match, or characters are invalid.
    """
    text = text.strip()
    if not text:
        return ""
    composer = _Composer("")
    try:
        if text.startswith(("[", "{", '"', "'", "!!")):
            value = composer.compose(text).to_builtins()
        else:
            _check_characters(text)
            value = _resolve_scalar(text, 1)
    except _ParseError as broken:
        composer.problems.append(broken.to_problem(""))
        value = None
    for problem in composer.problems:
        hint = problem.suggestion and problem.suggestion[0].upper()
        raise InvalidRequest(
            f"The value is not valid YAML: {problem.message}.",
            hint=f"{hint}{problem.suggestion[1:]}." if hint else "",
        )
    return value


class _ParseError(Exception):
    """The text cannot be parsed beyond this line."""

    def __init__(self, line: int, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.line, self.message, self.suggestion = line, message, suggestion

    def to_problem(self, source: str) -> ConfigProblem:
        return ConfigProblem(
            file=source,
            line=self.line,
            key="",
            message=self.message,
            suggestion=self.suggestion,
        )


class _ComposedNode(msgspec.Struct, frozen=True):
    """A node, the depth of its collections, and the number of values in it."""

    node: YamlNode
    depth: int = 1
    values: int = 1


class _Composer:
    """Composes events to nodes; collects the errors after which it can continue."""

    def __init__(self, source: str) -> None:
        self.problems: list[ConfigProblem] = []
        self._source = source
        self._anchors: dict[str, _ComposedNode] = {}
        self._values = 0

    def compose(self, text: str) -> YamlNode:
        _check_characters(text)
        events = _parse_events(text)
        root: YamlNode | None = None
        for event in events:
            # Only these begin a value; `_compose_node` consumes what follows.
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            if root is not None:
                raise _ParseError(
                    _line_of(event), "a second document begins here", "remove the '---'"
                )
            root = self._compose_node(next(events), events, (), 0).node
        return root or YamlNode(line=1, value=None)

    def _compose_node(
        self, event: _Event, events: Iterator[_Event], path: KeyPath, depth: int
    ) -> _ComposedNode:
        if isinstance(event, yaml.AliasEvent):
            built = self._anchors.get(str(event.anchor))
            if built is None:
                raise _ParseError(
                    _line_of(event),
                    "an alias (*) has no anchor",
                    "define the anchor (&) before it",
                )
        elif isinstance(event, yaml.ScalarEvent):
            built = _ComposedNode(self._compose_scalar(event, path))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, f"{_PREFIX}seq", path)
            built = self._compose_list(event, events, path, depth)
        else:
            self._check_tag(event, f"{_PREFIX}map", path)
            built = self._compose_mapping(event, events, path, depth)
        # Aliases within aliases are deeper than the brackets that are written.
        if depth + built.depth > DEEPEST:
            raise _ParseError(
                _line_of(event), f"values are nested more than {DEEPEST} deep"
            )
        if isinstance(event, yaml.AliasEvent):
            self._count_values(event, built.values)
        else:
            self._count_values(event, 1)
            # After the node is complete, so that `&x [*x]` is an error and no loop.
            anchor: str | None = getattr(event, "anchor", None)
            if anchor is not None:
                self._anchors[anchor] = built
        return built

    def _count_values(self, event: _Event, values: int) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            raise _ParseError(
                _line_of(event), f"there are more than {MOST_VALUES} values"
            )

    def _compose_list(
        self, event: _Event, events: Iterator[_Event], path: KeyPath, depth: int
    ) -> _ComposedNode:
        items: list[_ComposedNode] = []
        self._check_depth(event, depth)
        for each in events:
            if isinstance(each, yaml.SequenceEndEvent):
                break
            items.append(
                self._compose_node(each, events, (*path, len(items)), depth + 1)
            )
        return _compose_collection(event, items, tuple(item.node for item in items))

    def _compose_mapping(
        self, event: _Event, events: Iterator[_Event], path: KeyPath, depth: int
    ) -> _ComposedNode:
        parts: list[_ComposedNode] = []
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        self._check_depth(event, depth)
        for each in events:
            if isinstance(each, yaml.MappingEndEvent):
                break
            key = self._compose_node(each, events, path, depth + 1)
            name, line = key.node.value, _line_of(each)
            here = (*path, name) if isinstance(name, str) else path
            part = self._compose_node(next(events), events, here, depth + 1)
            parts += [key, part]
            if not isinstance(name, str):
                self._add_problem(
                    line, path, "a key here is not text", "put the key in quotes"
                )
            elif _is_merge(each):
                self._merge(merged, part.node, line, path)
            elif name in own:
                self._add_problem(
                    line,
                    here,
                    f"the key is given twice, first in line {own[name].line}",
                    "remove one of them",
                )
            else:
                own[name] = Entry(line=line, node=part.node)
        return _compose_collection(event, parts, {**merged, **own})

    def _merge(
        self, into: dict[str, Entry], node: YamlNode, line: int, path: KeyPath
    ) -> None:
        # As YAML 1.1 defines merge keys; 1.2 has none, and many configs use them.
        for each in node.value if isinstance(node.value, tuple) else (node,):
            if not isinstance(each.value, dict):
                self._add_problem(line, path, "'<<' takes a mapping, or a list of them")
                return
            for key, entry in each.value.items():
                into.setdefault(key, entry)

    def _compose_scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> YamlNode:
        line, text, tag = _line_of(event), event.value, event.tag
        if _UNSTORABLE.search(text):
            self._add_problem(line, path, "the text contains an invalid character")
            return YamlNode(line=line, value=None)
        if tag in {None, "!"}:
            plain = tag is None and event.implicit[0]
            return YamlNode(
                line=line, value=_resolve_scalar(text, line) if plain else text
            )
        value: Scalar = text if tag == f"{_PREFIX}str" else _resolve_scalar(text, line)
        if not isinstance(value, _TAGGED.get(str(tag), ())):
            self._add_tag_problem(line, path)
            return YamlNode(line=line, value=None)
        return YamlNode(line=line, value=value)

    def _check_tag(self, event: _Event, allowed: str, path: KeyPath) -> None:
        if getattr(event, "tag", None) not in {None, "!", allowed}:
            self._add_tag_problem(_line_of(event), path)

    def _check_depth(self, event: _Event, depth: int) -> None:
        if depth >= DEEPEST:
            raise _ParseError(
                _line_of(event), f"values are nested more than {DEEPEST} deep"
            )

    def _add_tag_problem(self, line: int, path: KeyPath) -> None:
        self._add_problem(line, path, "the YAML tag is invalid here", "remove the '!'")

    def _add_problem(
        self, line: int, path: KeyPath, message: str, suggestion: str = ""
    ) -> None:
        self.problems.append(
            ConfigProblem(
                file=self._source,
                line=line,
                key=format_key_path(path),
                message=message,
                suggestion=suggestion,
            )
        )


def _compose_collection(
    event: _Event,
    parts: list[_ComposedNode],
    value: "tuple[YamlNode, ...] | dict[str, Entry]",
) -> _ComposedNode:
    return _ComposedNode(
        YamlNode(line=_line_of(event), value=value),
        1 + max((part.depth for part in parts), default=0),
        1 + sum(part.values for part in parts),
    )


def _resolve_scalar(text: str, line: int) -> Scalar:
    """Return the value of an unquoted word in the core schema of YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if found := _BOOL.fullmatch(text):
        return found[1] is not None
    if _INT.fullmatch(text):
        if len(text) > LONGEST_NUMBER:
            raise _ParseError(
                line, "a number has too many digits", "text goes in quotes"
            )
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INF.fullmatch(text):
        return float("-inf" if text.startswith("-") else "inf")
    if _NAN.fullmatch(text):
        return float("nan")
    return text


def _is_merge(event: _Event) -> bool:
    return (
        isinstance(event, yaml.ScalarEvent)
        and event.value == "<<"
        and bool(event.implicit[0])
    )


def _line_of(event: _Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else int(mark.line) + 1


def _check_characters(text: str) -> None:
    if found := _FORBIDDEN.search(text):
        raise _ParseError(
            text.count("\n", 0, found.start()) + 1,
            f"the character U+{ord(found[0]):04X} is not allowed in a text file",
        )


def _parse_events(text: str) -> Iterator[_Event]:
    try:
        yield from yaml.parse(text, Loader=_Loader)  # pyright: ignore[reportUnknownMemberType] - its stream has no type
    except yaml.MarkedYAMLError as error:
        # Without its cause, whose message quotes the line: it may hold a secret.
        raise _translate_error(error) from None
    except (yaml.YAMLError, ValueError, OverflowError):
        raise _ParseError(1, "the text is not YAML") from None


_EXPLANATIONS = {
    "cannot start any token": (
        "a tab, '@', '`' or '%' is not allowed here",
        "indent with spaces, and put such text in quotes",
    ),
    "mapping values are not allowed": (
        "a ':' is not allowed here",
        "put text that contains ': ' in quotes, and check the indentation",
    ),
    "expected ':'": ("a key has no ':'", "write `key: value`"),
    "',' or ']'": ("a list has no ']', or lacks a comma", ""),
    "',' or '}'": ("a mapping has no '}', or lacks a comma", ""),
    "node content": ("a bracket is never closed, or a value is missing", ""),
    "unexpected end of stream": ("a quote is never closed", ""),
    "expected key": ("the indentation or the quotes are wrong here", ""),
    "expected '-' indicator": ("the indentation of the list is wrong here", ""),
    "block sequence entries": (
        "a '-' is not allowed here",
        "indent the list below its key",
    ),
    "escape": (
        "in double quotes a '\\' begins an escape, and this one is unknown",
        "use single quotes, or write '\\\\'",
    ),
}


def _translate_error(error: yaml.MarkedYAMLError) -> _ParseError:
    """Return the error in our own words: the parser's may quote a secret."""
    reason = error.problem or ""
    mark = error.problem_mark or error.context_mark
    line = 1 if mark is None else mark.line + 1
    begin = None if error.context_mark is None else error.context_mark.line + 1
    message, suggestion = next(
        (words for part, words in _EXPLANATIONS.items() if part in reason),
        ("the YAML is invalid here", "check quotes and indentation"),
    )
    if begin is not None and begin < line:
        message += f"; it begins in line {begin}"
    return _ParseError(line, message, suggestion)
