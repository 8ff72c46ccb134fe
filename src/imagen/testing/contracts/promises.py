"""The sentences of the backend port's docstrings, each of which a test proves."""

import inspect
import re
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TypeVar, cast

import pytest

from imagen.ports import backend
from imagen.testing.contracts.base import Contract

TestT = TypeVar("TestT", bound=Callable[..., None])

_SENTENCE_END = re.compile(r"(?<=[.])\s+(?=[A-Z`])")


def _split(docstring: str) -> Iterator[str]:
    """Yield the sentences, and the errors that are raised; no description of Args."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        head, _, rest = paragraph.partition("\n")
        if head == "Raises:":
            for entry in re.split(r"\n(?=\S)", inspect.cleandoc(rest)):
                yield " ".join(entry.split())
        elif head != "Args:":
            yield from _SENTENCE_END.split(" ".join(paragraph.split()))


def _collect() -> dict[str, str]:
    protocols = {
        name: cast("object", value)
        for name, value in vars(backend).items()
        if name.endswith("Backend")
    }
    methods = {
        name: cast("object", value)
        for protocol in protocols.values()
        for name, value in vars(protocol).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    return {
        f"{owner}: {sentence}": sentence
        for owner, part in {**protocols, **methods}.items()
        for sentence in _split(inspect.getdoc(part) or "")
    }


PROMISES = _collect()
"""Each sentence of the port, by the method or class and the sentence."""


def proves(*beginnings: str, cause: str = "") -> Callable[[TestT], TestT]:
    """Name the sentences of the port that a test proves.

    A failure shows them, what was recorded, and the usual cause.

    Args:
        beginnings: Such as "generate: Submits the job once": the method or the class,
            and the beginning of the sentence.
        cause: The usual cause of a failure.

    Raises:
        ValueError: the port has no such sentence, or several.
    """
    keys = [_find(beginning) for beginning in beginnings]

    def mark(test: TestT) -> TestT:
        @wraps(test)
        def run(self: Contract, *args: object, **values: object) -> None:
            __tracebackhide__ = True
            try:
                test(self, *args, **values)
            except (Exception, pytest.fail.Exception) as error:
                sentences = dict.fromkeys(PROMISES[key] for key in keys)
                lines = [f"The promise: {sentence}" for sentence in sentences]
                lines += self.evidence()
                lines += [f"Usual cause: {cause}."] if cause else []
                error.add_note("\n".join(lines))
                raise

        vars(run)["promises"] = keys
        return cast("TestT", run)

    return mark


def _find(beginning: str) -> str:
    matching = [key for key in PROMISES if key.startswith(beginning)]
    if len(matching) != 1:
        raise ValueError(f"The port has {len(matching)} sentences {beginning!r}.")
    return matching[0]
