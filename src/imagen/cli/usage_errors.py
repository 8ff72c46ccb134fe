"""Messages for command lines that cannot be parsed."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
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


_KNOWN_FLAGS = {
    "--width": "--size WxH",
    "--height": "--size WxH",
    "--resolution": "--size WxH",
    "--num-images": "--count N",
    "--output-format": "--output NAME.webp",
    "--negative-prompt": "--negative TEXT",
    "--aspect-ratio": "--aspect W:H",
}
"""The options of other programs, and what imagen has in their place."""


def check_prompt_word(words: list[str], app: "App", names: Collection[str]) -> None:
    """Refuse a prompt that is one of these names, unless `--` comes before it.

    Raises:
        UsageError: the first argument of the command is one of the names.
    """
    commands, _, rest = app.parse_commands(words)
    for word, is_option in _split_words(rest, _options_of(app, commands)):
        if word == END_OF_OPTIONS:
            return
        if not is_option:
            if word in names:
                command = " ".join(["imagen", *commands])
                raise UsageError(
                    f"`imagen {word}` is a command, and `{command} {word}` would"
                    " generate an image.",
                    hint=f"For a prompt of this word: `{command} -- {word}`.",
                )
            return


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
        for command in commands:
            app = app[command]
        message = _describe_unknown_command(word, [] if commands else words, app)
        return UsageError(message, hint=hint)
    if isinstance(error, UnusedCliTokensError | UnknownOptionError):
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
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        if error.keyword is None:
            return UsageError(f"{error.argument.name} is missing.", hint=hint)
        message = _describe_missing_value(
            error.keyword, rest, _options_of(app, commands)
        )
        return UsageError(message, hint=hint)
    if isinstance(error, RepeatArgumentError):
        return UsageError(f"{error.token.keyword} is given twice.", hint=hint)
    if isinstance(error, CoercionError) and error.target_type is bool and error.token:
        return UsageError(f"{error.token.keyword} takes no value.", hint=hint)
    message = " ".join(str(error).split())
    if not message.endswith((".", "?")):
        message += "."
    return UsageError(message, hint=hint)


def _describe_unknown_command(word: str, words: Sequence[str], app: "App") -> str:
    """Return the message about a word that is not a command.

    Args:
        word: The word.
        words: The command line if the word is the first one, which may be a prompt.
        app: The app whose command it would be.
    """
    known = [name for name in app if not name.startswith("-")]
    message = f'Unknown command "{word}".'
    if near := suggest_name(word.lower(), known):
        return f'{message} Did you mean "{near}"?'
    if not word.strip() or not words or "--help" in words:
        return f"{message} Available commands: {', '.join(known)}."
    end = next((i for i, each in enumerate(words) if each[:1] == "-"), len(words))
    options = [f" {shlex.quote(each)}" for each in words[end:]]
    prompt = _quote(" ".join(words[:end]))
    return f"{message} Did you mean: imagen generate {prompt}{''.join(options)}?"


def _quote(text: str) -> str:
    """Return the text in double quotes where that is enough for a shell."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


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
        if known := _KNOWN_FLAGS.get(option.lower()):
            return f"Unknown option: {option}. Use {known}."
        near = suggest_name(option.lower(), options)
        guess = f" Did you mean {near}?" if near else ""
        return f"Unknown option: {option}.{guess}"
    return None


def _typed_options(rest: Sequence[str], options: Mapping[str, bool]) -> Iterator[str]:
    """Yield the options on a command line up to `--`, without their values."""
    for word, is_option in _split_words(rest, options):
        if word == END_OF_OPTIONS:
            return
        if is_option:
            yield word.partition("=")[0]


def _split_words(
    rest: Sequence[str], options: Mapping[str, bool]
) -> Iterator[tuple[str, bool]]:
    """Yield each word but the values of options, and whether it is an option."""
    words = iter(rest)
    for word in words:
        if options.get(word):
            next(words, None)
        yield word, len(word) > 1 and word.startswith("-")


def _describe_missing_value(
    keyword: str, rest: Sequence[str], options: Mapping[str, bool]
) -> str:
    message = f"{keyword} needs a value."
    if keyword in rest[:-1]:
        found = rest[rest.index(keyword) + 1]
        if found.startswith("-") and found.partition("=")[0] not in options:
            message += f" Write {keyword}={found} for a value that begins with -."
    return message
