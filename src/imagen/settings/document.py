"""Parse a YAML file into values with line numbers, by the rules of YAML 1.2.

PyYAML only splits the text into events, which are composed and resolved here. Its own
resolvers implement YAML 1.1, in which `on` is true and `16:9` is 969; its composer in
C crashes the process on some thousands of open brackets (6.0.3).
"""

import re
from collections.abc import Iterator
from typing import TypeAlias

import yaml

from imagen.domain.errors import InvalidRequest
from imagen.settings.secrets import build_problem
from imagen.settings.tree import ConfigProblem, Document, KeyPath, Node, Scalar

DEEPEST = 100
"""Nested collections, at most: each takes some frames of Python's stack."""
LONGEST_NUMBER = 100
"""Digits of a number, at most: Python refuses to print one of some thousands."""

# libyaml, unless PyYAML was built without it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF_OR_NAN = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# The characters that YAML 1.2 forbids in a file, outside of escapes.
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
# Escapes may produce these, which neither file names nor the database can hold.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_NOT_TEXT = ("a key here is not text", "put the key in quotes")
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
    composer = _Composer(source)
    root = composer.compose(content)
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
    is_yaml = text.startswith(("[", "{", '"', "'", "!!"))
    value = composer.compose(text, plain=not is_yaml).to_builtins()
    for problem in composer.problems:
        hint = problem.suggestion[:1].upper() + problem.suggestion[1:]
        raise InvalidRequest(
            f"The value is not valid YAML: {problem.message}.",
            hint=f"{hint}." if hint else "",
        )
    return value


class _ParseError(Exception):
    """The text cannot be parsed beyond this line."""

    def __init__(self, line: int, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.line, self.suggestion = line, suggestion


class _Composer:
    """Composes events to nodes; collects the errors after which it can continue."""

    def __init__(self, source: str) -> None:
        self.problems: list[ConfigProblem] = []
        self._source = source
        self._anchors: dict[str, Node] = {}
        self._events: Iterator[_Event] = iter(())

    def compose(self, text: bytes | str, *, plain: bool = False) -> Node:
        """Return the root; a `plain` text is a single value without quotes."""
        try:
            text = text if isinstance(text, str) else _decode(text)
            _check_characters(text)
            if plain:
                return Node(value=_resolve_scalar(text, 1))
            return self._compose_document(text)
        except _ParseError as error:
            self.add_problem(error.line, (), str(error), error.suggestion)
            return Node()

    def _compose_document(self, text: str) -> Node:
        self._events = _parse_events(text)
        root: Node | None = None
        for event in self._events:
            # Only these begin a value; `_compose` consumes what follows.
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            line = _line_of(event)
            if root is not None:
                raise _ParseError(
                    line, "a second document begins here", "remove the '---'"
                )
            value = next(self._events)
            root = self._compose(value, (), _line_of(value))
        return root or Node()

    def add_problem(
        self, line: int, path: KeyPath, message: str, suggestion: str = ""
    ) -> None:
        node = Node(path=path, line=line)
        self.problems.append(build_problem(self._source, node, message, suggestion))

    def _compose(self, event: _Event, path: KeyPath, line: int) -> Node:
        _check_depth(path, line)
        anchor: str | None = getattr(event, "anchor", None)
        value: Scalar | tuple[Node, ...] | dict[str, Node]
        if isinstance(event, yaml.AliasEvent):
            if anchor not in self._anchors:
                raise _ParseError(
                    _line_of(event),
                    "an alias (*) has no anchor",
                    "define the anchor (&) before it",
                )
            return _move(self._anchors[anchor], path, line)
        if isinstance(event, yaml.ScalarEvent):
            value = self._resolve(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, f"{_PREFIX}seq", path)
            value = self._compose_list(path)
        else:
            self._check_tag(event, f"{_PREFIX}map", path)
            value = self._compose_mapping(path)
        node = Node(path=path, line=line, value=value)
        # After the node is complete, so that `&x [*x]` is an error and no loop.
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _compose_list(self, path: KeyPath) -> tuple[Node, ...]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._compose(event, (*path, len(items)), _line_of(event)))
        return tuple(items)

    def _compose_mapping(self, path: KeyPath) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = _line_of(event)
            if not isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
                raise _ParseError(line, *_NOT_TEXT)
            name = self._compose(event, path, line).value
            here = (*path, name) if isinstance(name, str) else path
            node = self._compose(next(self._events), here, line)
            if not isinstance(name, str):
                self.add_problem(line, path, *_NOT_TEXT)
            elif (
                isinstance(event, yaml.ScalarEvent)
                and event.value == "<<"
                and event.implicit[0]
            ):
                self._merge(merged, node, path)
            elif name in own:
                first = f"the key is given twice, first in line {own[name].line}"
                self.add_problem(line, here, first, "remove one of them")
            else:
                own[name] = node
        return {**merged, **own}

    def _merge(self, into: dict[str, Node], node: Node, path: KeyPath) -> None:
        # As YAML 1.1 defines merge keys; 1.2 has none, and many configs use them.
        for each in node.value if isinstance(node.value, tuple) else (node,):
            if not isinstance(each.value, dict):
                what = "'<<' takes a mapping, or a list of them"
                self.add_problem(node.line, path, what)
                return
            for key, entry in each.value.items():
                into.setdefault(key, _move(entry, (*path, key), entry.line))

    def _resolve(self, event: yaml.ScalarEvent, path: KeyPath) -> Scalar:
        line, text, tag = _line_of(event), event.value, event.tag
        if _UNSTORABLE.search(text):
            self.add_problem(line, path, "the text contains an invalid character")
            return None
        if tag in {None, "!"}:
            plain = tag is None and event.implicit[0]
            return _resolve_scalar(text, line) if plain else text
        value: Scalar = text if tag == f"{_PREFIX}str" else _resolve_scalar(text, line)
        if not isinstance(value, _TAGGED.get(str(tag), ())):
            self._add_tag_problem(line, path)
            return None
        return value

    def _check_tag(self, event: _Event, allowed: str, path: KeyPath) -> None:
        if getattr(event, "tag", None) not in {None, "!", allowed}:
            self._add_tag_problem(_line_of(event), path)

    def _add_tag_problem(self, line: int, path: KeyPath) -> None:
        self.add_problem(line, path, "the YAML tag is invalid here", "remove the '!'")


def _move(node: Node, path: KeyPath, line: int) -> Node:
    """Return a copy for another place; what is inside keeps its lines."""
    _check_depth(path, line)
    value = node.value
    if isinstance(value, tuple):
        value = tuple(
            _move(item, (*path, place), item.line) for place, item in enumerate(value)
        )
    elif isinstance(value, dict):
        value = {
            key: _move(each, (*path, key), each.line) for key, each in value.items()
        }
    return Node(path=path, line=line, value=value)


def _check_depth(path: KeyPath, line: int) -> None:
    if len(path) > DEEPEST:
        raise _ParseError(line, f"values are nested more than {DEEPEST} deep")


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
    if _INF_OR_NAN.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _line_of(event: _Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else int(mark.line) + 1


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = "the file is not UTF-8 text", "save it as UTF-8"
        raise _ParseError(line, *problem) from None


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
