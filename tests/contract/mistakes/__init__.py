"""Mistakes of adapter authors: correct sources, and small changes to their text.

A file of changes `NAME.diff` has a block for each mistake: its name after `#`, the test
of the promise that it breaks after `!`, a reason and the tests that fail as well after
`~`, and the lines that are replaced. Only those lines are quoted, and they must occur
once in the source.
"""

import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


class Mistake(NamedTuple):
    """One mistake.

    Attributes:
        name: The mistake in a few words.
        detected_by: The test that detects it.
        fails: All tests that must fail.
        changes: The text that is replaced, and its replacement.
    """

    name: str
    detected_by: str
    fails: frozenset[str]
    changes: tuple[tuple[str, str], ...]

    @property
    def identifier(self) -> str:
        """The name in camel case."""
        words = re.findall(r"\w+", self.name)
        return "".join(word[0].upper() + word[1:] for word in words)

    def load(self, source: Path) -> ModuleType:
        """Return the module with the mistake.

        Raises:
            ValueError: the text to replace does not occur once in the source.
        """
        text = source.read_text("utf-8")
        for old, new in self.changes:
            if (found := text.count(old)) != 1:
                where = f"{source.name}, {self.name!r}"
                raise ValueError(f"{where}: the text occurs {found} times:\n{old}")
            text = text.replace(old, new)
        module = ModuleType(f"{source.stem}_{self.identifier}")
        sys.modules[module.__name__] = module  # msgspec looks types up there
        exec(compile(text, f"{source} ({self.name})", "exec"), module.__dict__)
        return module


def read_mistakes(file: Path) -> list[Mistake]:
    """Return the mistakes of a file of changes, in its order."""
    blocks = re.split(r"^# ", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return [_read(block) for block in blocks]


def _read(block: str) -> Mistake:
    name, *lines = block.splitlines()
    parts = [
        (sign, "\n".join(line[1:] for line in group))
        for sign, group in groupby(filter(None, lines), key=lambda line: line[0])
    ]
    (detected_by,) = (text.strip() for sign, text in parts if sign == "!")
    others = [line[1:].partition(":")[2] for line in lines if line.startswith("~")]
    fails = frozenset([detected_by, *" ".join(others).split()])
    return Mistake(name.strip(), detected_by, fails, tuple(_pairs(parts)))


def _pairs(parts: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    changes = [part for part in parts if part[0] in "+-"]
    for (minus, old), (plus, new) in zip(changes[::2], changes[1::2], strict=True):
        if (minus, plus) != ("-", "+"):
            raise ValueError(f"expected lines with - and then with +, near:\n{old}")
        yield old, new
