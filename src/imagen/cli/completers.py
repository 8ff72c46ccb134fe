"""The words that the completion of a shell offers, from config and records."""

from typing import TYPE_CHECKING

from imagen.cli.parameters import load_runtime
from imagen.settings.environment import process_environment

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

    from imagen.settings.model import Settings


def complete_backends(context: "CompletionContext") -> list[str]:
    """Return the backend names in the active config, for shell completion."""
    return list(_load_settings(context).backends)


def complete_styles(context: "CompletionContext") -> list[str]:
    """Return the style names in the active config, for shell completion."""
    return list(_load_settings(context).styles)


def _load_settings(context: "CompletionContext") -> "Settings":
    environment = process_environment()
    typed = context.get("config")
    named = _unquote(typed.raw) if typed and typed.raw else None
    if named is not None:
        # On TAB, the shell has not yet expanded `~` and `$VAR`.
        named = str(environment.expand_path(named))
    return load_runtime(named).settings


def _unquote(word: str) -> str:
    # bash and zsh pass words to the completion with their quotes.
    from shlex import split  # noqa: PLC0415 - only for completion

    try:
        (plain,) = split(word)
    except ValueError:
        return word
    return plain
