"""A config file as it was read: plain values, each with its line."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

Scalar: TypeAlias = "str | int | float | bool | None"

KeyPath: TypeAlias = tuple[str | int, ...]
"""How to get from the top of the file to a value: keys, and places in lists."""


class YamlNode(msgspec.Struct, frozen=True, kw_only=True):
    """A value: a scalar, a list, or a mapping.

    Attributes:
        line: Where it begins, from 1.
        value: What it is.
    """

    line: int
    value: "Scalar | tuple[YamlNode, ...] | Mapping[str, Entry]"

    def to_builtins(self) -> object:
        """Return the value without its lines."""
        if isinstance(self.value, tuple):
            return [item.to_builtins() for item in self.value]
        if isinstance(self.value, Mapping):
            return {key: entry.node.to_builtins() for key, entry in self.value.items()}
        return self.value


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A key's value in a mapping, and the line of the key."""

    line: int
    node: YamlNode


class ConfigProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong in a config file.

    Attributes:
        file: The file, as it was named.
        line: The line, from 1.
        key: The key with those around it, such as `backends.mock.delay`; "" when
            none is to blame.
        message: What is wrong; never contains a secret.
        suggestion: What to do about it, or nothing.
    """

    file: str
    line: int
    key: str
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        suggestion = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.file}:{self.line}: {key}{self.message}{suggestion}"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """All of a file.

    Attributes:
        source: The file, as it was named.
        root: Its content.
        problems: What is wrong with it as YAML.
    """

    source: str = ""
    root: YamlNode = YamlNode(line=1, value=None)
    problems: tuple[ConfigProblem, ...] = ()
