"""What is wrong with a command line, in one sentence."""

from typing import TYPE_CHECKING

from cyclopts import (  # noqa: TID253 - imported only after a mistake
    CycloptsError,
    UnusedCliTokensError,
)

from imagen.domain.errors import UsageError
from imagen.domain.suggestion import meant

if TYPE_CHECKING:
    from cyclopts import App


def explained(error: CycloptsError, app: "App", words: list[str]) -> UsageError:
    """Return the mistake in our own words, and where to read on."""
    commands, _, rest = app.parse_commands(words)
    name = " ".join(["imagen", *commands])
    hint = f"See `{name} --help`."
    if isinstance(error, UnusedCliTokensError):
        unknown = _unknown_option(app, list(commands), rest)
        if unknown is not None:
            return UsageError(unknown, hint=hint)
        extra = " ".join(error.unused_tokens or [])
        return UsageError(
            f"{extra!r} is one word too many.", hint=f"Put a prompt in quotes. {hint}"
        )
    message = " ".join(str(error).split())
    if not message.endswith((".", "?")):
        message += "."
    return UsageError(message, hint=hint)


def _unknown_option(app: "App", commands: list[str], rest: list[str]) -> str | None:
    for command in commands:
        app = app[command]
    arguments = app.assemble_argument_collection()
    known = {name for argument in arguments for name in argument.names}
    for word in rest:
        option = word.partition("=")[0]
        if option == "--":
            return None
        if option.startswith("--") and option not in known:
            near = meant(option, known)
            guess = f" Did you mean {near}?" if near else ""
            return f"Unknown option: {option}.{guess}"
    return None
