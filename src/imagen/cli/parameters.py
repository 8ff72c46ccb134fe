"""Flags shared by commands, and the parsing of their values."""

import os
import re
import stat
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Group, Parameter  # noqa: TID253 - every command needs it

from imagen.bootstrap.runtime import Runtime
from imagen.cli.output import Output, print_message
from imagen.domain.errors import UsageError
from imagen.settings.environment import process_environment

if TYPE_CHECKING:
    from cyclopts import Token
    from cyclopts.completion import CompletionContext

    from imagen.settings.environment import Environment

STDIN = STDOUT = "-"

# Bytes. A limit, because input such as /dev/zero never ends.
MAX_PROMPT_BYTES = 4_000_000

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_MAX_DIGITS = 100
_UTF_16_MARKS = (BOM_UTF16_LE, BOM_UTF16_BE)

# Values are always str: Path would drop a trailing `/`. Path is listed because the
# shell completion of cyclopts then offers file names.
PathWord: TypeAlias = str | Path

IMAGE_GROUP = Group("Image", sort_key=1)
GENERATION_GROUP = Group("Generation", sort_key=2)
OUTPUT_GROUP = Group("Output", sort_key=3)
GENERAL_GROUP = Group("General", sort_key=4)


def parse_whole_number(_: object, tokens: "Sequence[Token]") -> int:
    """Parse a whole number; reject `1.5`, which cyclopts would round."""
    text = tokens[0].value
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number")
    # Python refuses more than 4300 digits with a message about its own settings.
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits is too large")
    return int(text)


def parse_number(_: object, tokens: "Sequence[Token]") -> float:
    """Parse a number; reject `1_0`, which Python accepts."""
    text = tokens[0].value
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def parse_decimal(_: object, tokens: "Sequence[Token]") -> Decimal:
    """Parse a number exactly, without rounding to a float."""
    parse_number(_, tokens)
    return Decimal(tokens[0].value)


def parse_date(_: object, tokens: "Sequence[Token]") -> date:
    """Parse an ISO 8601 date such as 2026-05-01."""
    text = tokens[0].value
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a date such as 2026-05-01") from None


def read_prompt(word: str | None, *, flag: str = "") -> str:
    """Return the prompt; read it from standard input if the argument is `-`.

    Args:
        word: The argument, or the value of the flag; None reads what is piped in.
        flag: The flag that has the prompt; "" if it is an argument.

    Raises:
        UsageError: the argument is a mistyped option, or standard input is not UTF-8
            or too long.
    """
    if word is None:
        if not _has_piped_input():
            raise UsageError(
                "PROMPT is missing.",
                hint='Put it in quotes: imagen generate "a red fox".',
            )
    elif word != STDIN:
        if word.startswith("-"):
            option = word.partition("=")[0]
            message = "The prompt begins with -, like an option."
            if flag:
                message = (
                    f"{flag} needs a text, but {_quote(word)} looks like an option."
                )
            elif option.isprintable() and " " not in option:
                message = f"Unknown option: {option}."
            raise UsageError(
                message, hint="Pass a prompt that begins with - on standard input."
            )
        return word
    try:
        words = sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1)
        if len(words) > MAX_PROMPT_BYTES:
            raise UsageError(
                f"Standard input is longer than {MAX_PROMPT_BYTES} bytes.",
                hint="Check which file or command is piped in.",
            )
        if words.startswith(_UTF_16_MARKS) or _is_wide(words):
            raise UsageError(
                "The prompt on standard input is UTF-16, and is not UTF-8 text.",
                hint="Convert it: iconv -f UTF-16 -t UTF-8.",
            )
        # Windows writes a byte order mark, and carriage returns before line feeds.
        text = words.decode("utf-8-sig")
        return re.sub(r"\r+\n", "\n", text).removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError("The prompt on standard input is not UTF-8 text.") from error


def _has_piped_input() -> bool:
    """Return true if standard input is a pipe, a socket or a file, not /dev/null."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)


def _is_wide(words: bytes) -> bool:
    """Return true for English text in UTF-16 without a byte order mark."""
    halves = words[::2], words[1::2]
    return all(halves) and any(not half.strip(b"\0") for half in halves)


def check_output(path: PathWord | None, *, json: bool = False) -> str | None:
    """Return the value of --output as text; reject a value that looks like an option.

    Raises:
        UsageError: the value begins with `-` and is longer than that, or stdout has
            two uses.
    """
    word = keep_path(path)
    if word == STDOUT and json:
        raise UsageError("--json and `--output -` cannot be combined.")
    if word is not None and word.startswith("-") and word != STDOUT:
        raise UsageError(
            f"--output needs a path, but {_quote(word)} looks like an option.",
            hint=f"Write {_quote('./' + word)} for a file of that name.",
        )
    return word


def keep_path(path: PathWord | None) -> str | None:
    """Return a path as typed, with a trailing `/`."""
    return None if path is None else str(path)


def load_runtime(config: PathWord | None) -> Runtime:
    """Return a runtime whose config is read now."""
    return Runtime.load(keep_path(config), environment=process_environment())


def check_config(config: PathWord | None) -> None:
    """Check a config that is named with --config, for a command that needs none.

    Raises:
        Misconfigured: the config file is missing, or something in it is wrong.
    """
    if config is not None:
        load_runtime(config)


def open_account(config: PathWord | None = None) -> Runtime:
    """Return a runtime for what imagen has recorded; report if that is temporary.

    The config is read when it is needed, and now if it is named with --config.
    """
    check_config(config)
    environment = process_environment()
    report_temporary(environment)
    return Runtime(environment, config=keep_path(config))


def report_temporary(environment: "Environment") -> None:
    """Print a line if what imagen records is temporary."""
    if problem := environment.temporary_data:
        print_message(f"{problem} Set IMAGEN_DATA_DIR to a folder that is kept.")


def parse_options(words: Sequence[str]) -> dict[str, object]:
    """Parse the values of --set, `KEY=VALUE`; the value is typed as in YAML."""
    from imagen.settings.document import parse_scalar  # noqa: PLC0415 - costs yaml

    return {key: parse_scalar(value) for key, value in split_pairs(words).items()}


def split_pairs(words: Sequence[str]) -> dict[str, str]:
    """Split each `KEY=VALUE` into key and value.

    Raises:
        UsageError: a value is not KEY=VALUE, or a key is given twice.
    """
    options: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (key.strip() and sign):
            raise UsageError(f"--set {word!r} is not KEY=VALUE.")
        if not key.isprintable():
            raise UsageError(f"--set {key!r} is not a valid parameter name.")
        if key in options:
            raise UsageError(f"--set {key} is given twice.")
        options[key] = value
    return options


def _quote(word: str) -> str:
    return word if word.isprintable() else repr(word)


def _load_completer(name: str) -> "Callable[[CompletionContext], object]":
    """Return a function of `completers`, which is imported when it is called."""

    def complete(context: "CompletionContext") -> object:
        from imagen.cli import completers  # noqa: PLC0415 - only for completion

        return getattr(completers, name)(context)

    return complete


complete_backends = _load_completer("list_backends")
complete_styles = _load_completer("list_styles")
complete_models = _load_completer("list_models")
complete_prices = _load_completer("list_priced_models")
complete_commands = _load_completer("list_commands")


ConfigFlag: TypeAlias = Annotated[
    PathWord | None,
    Parameter(
        group=GENERAL_GROUP,
        metavar="PATH",
        help="The config file. [default: $IMAGEN_CONFIG, else ~/.config/imagen.yaml]",
    ),
]
JsonFlag: TypeAlias = Annotated[
    bool, Parameter(group=GENERAL_GROUP, help="Print JSON.")
]
ImageId: TypeAlias = Annotated[
    str, Parameter(metavar="ID", completer=_load_completer("list_images"))
]
JobId: TypeAlias = Annotated[
    str, Parameter(metavar="ID", completer=_load_completer("list_jobs"))
]
TrashId: TypeAlias = Annotated[
    str, Parameter(metavar="ID", completer=_load_completer("list_trash"))
]
PromptWord: TypeAlias = Annotated[str | None, Parameter(allow_leading_hyphen=True)]
QuietFlag: TypeAlias = Annotated[
    bool, Parameter(alias="-q", group=GENERAL_GROUP, help="Print errors only.")
]
SinceFlag: TypeAlias = Annotated[
    date | None,
    Parameter(metavar="DATE", converter=parse_date, help="First day to include, UTC."),
]

FLATTEN = Parameter(name="*")
"""Turns the fields of a dataclass into flags of the command."""


@dataclass(frozen=True, kw_only=True)
class GeneralFlags:
    """The flags of the commands that generate or resume images.

    Attributes:
        verbose: Print events as they happen, and tracebacks of internal errors.
    """

    config: ConfigFlag = None
    json: JsonFlag = False
    quiet: QuietFlag = False
    verbose: Annotated[bool, Parameter(alias="-v", group=GENERAL_GROUP)] = False

    def out(self, *, hide_results: bool = False) -> Output:
        """Return the printer that these flags describe."""
        return Output(
            json=self.json,
            quiet=self.quiet,
            verbose=self.verbose,
            hide_results=hide_results,
        )
