"""The flags that commands share, and how their words are read."""

import re
import sys
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Group, Parameter  # noqa: TID253 - every command needs it

from imagen.domain.errors import UsageError

if TYPE_CHECKING:
    from cyclopts import Token
    from cyclopts.completion import CompletionContext

    from imagen.settings.model import Settings

STDIN = STDOUT = "-"

LONGEST_PROMPT = 4_000_000
"""Bytes on standard input; /dev/zero has no end."""

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_LONGEST_NUMBER = 100

PathWord: TypeAlias = str | Path
"""Always text; the shells complete files because Path stands here."""

WHAT = Group("What to make", sort_key=1)
HOW = Group("How to make it", sort_key=2)
WHERE = Group("Where it goes", sort_key=3)
TALK = Group("What is said", sort_key=4)


def parse_whole_number(_: object, tokens: "Sequence[Token]") -> int:
    """Read a whole number as it is written; `1.5` is none, and is not rounded."""
    text = tokens[0].value
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number")
    if len(text) > _LONGEST_NUMBER:  # Python itself refuses some thousand digits
        raise ValueError(f"a number of {len(text)} digits is too large")
    return int(text)


def parse_number(_: object, tokens: "Sequence[Token]") -> float:
    """Read a number as it is written; `1_0` is none to anyone but Python."""
    text = tokens[0].value
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def parse_decimal(_: object, tokens: "Sequence[Token]") -> Decimal:
    """Read a number as it is written, to the last digit."""
    parse_number(_, tokens)
    return Decimal(tokens[0].value)


def parse_date(_: object, tokens: "Sequence[Token]") -> date:
    """Read a date as ISO 8601 writes it."""
    text = tokens[0].value
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a date such as 2026-05-01") from None


def read_prompt(word: str) -> str:
    """Return the prompt that was given, or what standard input says.

    Raises:
        UsageError: it is a mistyped flag, or standard input is no text.
    """
    if word != STDIN:
        if word.startswith("-"):
            option = word.partition("=")[0]
            raise UsageError(
                f"Unknown option: {option}."
                if option.isprintable() and " " not in option
                else "The prompt begins with -, as only an option does.",
                hint="A prompt that begins with - comes in on standard input.",
            )
        return word
    try:
        words = sys.stdin.buffer.read(LONGEST_PROMPT + 1)
        if len(words) > LONGEST_PROMPT:
            raise UsageError(
                f"Standard input is longer than {LONGEST_PROMPT} bytes.",
                hint="Check that it is the prompt.",
            )
        return words.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError("Standard input is no UTF-8 text.") from error


def check_output(path: PathWord | None) -> str | None:
    """Return where the images go, unless it is a flag that was not meant to be one.

    Raises:
        UsageError: it begins with a hyphen, and is more than that.
    """
    word = keep_path(path)
    if word is not None and word.startswith("-") and word != STDOUT:
        raise UsageError(
            f"--output needs a path, and {_shown(word)} looks like an option.",
            hint=f"A file of that name is {_shown('./' + word)}.",
        )
    return word


def keep_path(path: PathWord | None) -> str | None:
    """Return a path as it was written, its `/` at the end included."""
    return None if path is None else str(path)


def parse_options(words: Sequence[str]) -> dict[str, object]:
    """Read each `KEY=VALUE`, the value typed as in YAML.

    Raises:
        UsageError: one is written differently, or a key is given twice.
    """
    if not words:
        return {}
    from imagen.settings.document import parse_scalar  # noqa: PLC0415 - costs yaml

    return {key: parse_scalar(value) for key, value in split_pairs(words).items()}


def split_pairs(words: Sequence[str]) -> dict[str, str]:
    """Take each `KEY=VALUE` apart.

    Raises:
        UsageError: one is written differently, or a key is given twice.
    """
    options: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (key.strip() and sign):
            raise UsageError(f"--set {word!r} is not KEY=VALUE.")
        if not key.isprintable():
            raise UsageError(f"--set {key!r} cannot be the name of a parameter.")
        if key in options:
            raise UsageError(f"--set {key} is given twice.")
        options[key] = value
    return options


def _shown(word: str) -> str:
    return word if word.isprintable() else repr(word)


def complete_backends(context: "CompletionContext") -> list[str]:
    """Return the instances of the active config, for the shell to complete."""
    return list(_settings(context).backends)


def complete_styles(context: "CompletionContext") -> list[str]:
    """Return the styles of the active config, for the shell to complete."""
    return list(_settings(context).styles)


def _settings(context: "CompletionContext") -> "Settings":
    from imagen.bootstrap.runtime import Runtime  # noqa: PLC0415 - only on Tab
    from imagen.settings.environment import process_environment  # noqa: PLC0415

    environment = process_environment()
    typed = context.get("config")
    named = _unquoted(typed.raw) if typed and typed.raw else None
    if named is not None:  # the shell has not filled in ~ and $VAR yet
        named = str(environment.expand_path(named))
    return Runtime.load(named, environment=environment).settings


def _unquoted(word: str) -> str:
    """Return a word without the quotes that bash and zsh hand over as they stand."""
    from shlex import split  # noqa: PLC0415 - only when the shell asks

    try:
        (plain,) = split(word)
    except ValueError:
        return word
    return plain


ConfigFlag: TypeAlias = Annotated[
    PathWord | None,
    Parameter(
        group=TALK,
        metavar="PATH",
        help="The config file. [default: $IMAGEN_CONFIG, else ~/.config/imagen.yaml]",
    ),
]
JsonFlag: TypeAlias = Annotated[
    bool, Parameter(group=TALK, negative=(), show_default=False, help="Print JSON.")
]
SinceFlag: TypeAlias = Annotated[
    date | None,
    Parameter(
        metavar="DATE", converter=parse_date, help="The first day that counts, UTC."
    ),
]
QuietFlag: TypeAlias = Annotated[
    bool,
    Parameter(
        alias="-q", group=TALK, show_default=False, help="Say nothing but errors."
    ),
]
VerboseFlag: TypeAlias = Annotated[
    bool,
    Parameter(
        alias="-v",
        group=TALK,
        show_default=False,
        help="Say what happens, and show a fault whole.",
    ),
]
