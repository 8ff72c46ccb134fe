"""Messages for command lines that cannot be parsed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from cyclopts import (  # noqa: TID253 - the command line
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from imagen.domain.errors import UsageError
from imagen.domain.suggestion import suggest_name

if TYPE_CHECKING:
    from cyclopts import App

END_OF_OPTIONS = "--"


def explain_usage_error(
    error: CycloptsError, app: "App", words: list[str]
) -> UsageError:
    """Return the error of cyclopts as one sentence, with a hint."""
    commands, _, rest = app.parse_commands(words)
    name = " ".join(["imagen", *commands])
    hint = f"See `{name} --help`."
    if isinstance(error, UnknownCommandError):
        word = next(iter(error.unused_tokens or []), "")
        if len(word) > 1 and word.startswith("-"):
            message = f"Unknown option: {word}. The options of a command come after it."
            return UsageError(message, hint=hint)
    elif isinstance(error, UnusedCliTokensError | UnknownOptionError):
        # cyclopts may report a mistyped option as an unexpected argument.
        unknown = _find_unknown_option(_options_of(app, commands), rest)
        if unknown is not None:
            return UsageError(unknown, hint=hint)
        if commands[-1:] in {("generate",), ("sweep",)}:
            hint = f"Put the prompt in quotes. {hint}"
        if isinstance(error, UnknownOptionError):
            extra = f"argument: {error.token.keyword or error.token.value!r}"
        else:
            unused = error.unused_tokens or []
            noun = "argument" if len(unused) == 1 else "arguments"
            extra = f"{noun}: {' '.join(unused)!r}"
        return UsageError(f"Unexpected {extra}.", hint=hint)
    elif isinstance(error, MissingArgumentError) and error.argument is not None:
        if error.keyword is None:
            return UsageError(f"{error.argument.name} is missing.", hint=hint)
        message = _describe_missing_value(
            error.keyword, rest, _options_of(app, commands)
        )
        return UsageError(message, hint=hint)
    elif isinstance(error, RepeatArgumentError):
        return UsageError(f"{error.token.keyword} is given twice.", hint=hint)
    elif isinstance(error, CoercionError) and error.target_type is bool and error.token:
        return UsageError(f"{error.token.keyword} takes no value.", hint=hint)
    message = " ".join(str(error).split())
    if not message.endswith((".", "?")):
        message += "."
    return UsageError(message, hint=hint)


def _options_of(app: "App", commands: Sequence[str]) -> dict[str, bool]:
    """Return the options of a command; True for those that take a value."""
    for command in commands:
        app = app[command]
    return {
        name: argument.token_count()[0] > 0
        for argument in app.assemble_argument_collection()
        for name in argument.parameter.name or ()
    }


def _find_unknown_option(
    options: Mapping[str, bool], rest: Sequence[str]
) -> str | None:
    for option in _typed_options(rest, options):
        # `-n4` is `-n` with its value.
        if option in options or (option[1] != "-" and option[:2] in options):
            continue
        near = suggest_name(option.lower(), options)
        guess = f" Did you mean {near}?" if near else ""
        return f"Unknown option: {option}.{guess}"
    return None


def _typed_options(rest: Sequence[str], options: Mapping[str, bool]) -> Iterator[str]:
    """Yield the options on a command line up to `--`, without their values."""
    words = iter(rest)
    for word in words:
        if word == END_OF_OPTIONS:
            return
        if options.get(word):
            next(words, None)
        if len(word) > 1 and word.startswith("-"):
            yield word.partition("=")[0]


def _describe_missing_value(
    keyword: str, rest: Sequence[str], options: Mapping[str, bool]
) -> str:
    message = f"{keyword} needs a value."
    if keyword in rest[:-1]:
        found = rest[rest.index(keyword) + 1]
        if found.startswith("-") and found.partition("=")[0] not in options:
            message += f" Write {keyword}={found} for a value that begins with -."
    return message
