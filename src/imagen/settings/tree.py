"""A parsed config file: plain values, each with its key path and line number."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

Scalar: TypeAlias = "str | int | float | bool | None"

KeyPath: TypeAlias = tuple[str | int, ...]
"""The keys and list indices that lead from the top level to a value."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A value: a scalar, a list, or a mapping.

    Attributes:
        line: The line of its key, from 1; without a key, the line that it begins in.
    """

    path: KeyPath = ()
    line: int = 1
    value: "Scalar | tuple[Node, ...] | Mapping[str, Node]" = None

    def get(self, key: str) -> "Node | None":
        """Return an entry of a mapping; None if there is none, or no mapping."""
        return self.value.get(key) if isinstance(self.value, Mapping) else None

    def to_builtins(self) -> object:
        """Return the value without its lines."""
        if isinstance(self.value, tuple):
            return [item.to_builtins() for item in self.value]
        if isinstance(self.value, Mapping):
            return {key: entry.to_builtins() for key, entry in self.value.items()}
        return self.value


class ConfigProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One error in a config file.

    Attributes:
        key: The full key, such as `backends.mock.delay`; "" if the error is not about
            a key.
        message: What is wrong; never contains a secret.
    """

    file: str
    line: int
    key: str = ""
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        suggestion = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.file}:{self.line}: {key}{self.message}{suggestion}"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file: its path, its content, and the errors in its YAML."""

    source: str
    root: Node = Node()
    problems: tuple[ConfigProblem, ...] = ()
