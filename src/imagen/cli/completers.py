"""The words that the completion of a shell offers, from config, tables and records."""

from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING

from imagen.bootstrap.runtime import Runtime
from imagen.cli.tables import shorten_ids
from imagen.settings.environment import process_environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cyclopts.completion import CompletionContext

MOST_IDS = 100
"""Ids that are offered, the newest."""


def list_backends(context: "CompletionContext") -> list[str]:
    """Return the backends of the active config."""
    return list(_load(context).settings.backends)


def list_styles(context: "CompletionContext") -> list[str]:
    """Return the styles of the active config, and the built-in ones."""
    return list(_load(context).settings.styles)


def list_models(context: "CompletionContext") -> list[str]:
    """Return the models of the typed backend, or of the default one."""
    from imagen.adapters.system.prices import load_price_table  # noqa: PLC0415

    with _load(context) as runtime:
        known = runtime.get_backend(_typed(context, "backend")).capabilities()
    names = [known.model, *(known.models or ())]
    if known.models is None and known.provider:
        # It takes any name: those with a price are the ones that are known.
        table = load_price_table()
        names += [each.model for each in table if each.provider == known.provider]
    return list(dict.fromkeys(filter(None, names)))


def list_priced_models(context: "CompletionContext") -> list[str]:
    """Return the models that have a price."""
    from imagen.bootstrap.library import load_prices  # noqa: PLC0415

    return list(dict.fromkeys(each.model for each in load_prices(_load(context))))


def list_images(context: "CompletionContext") -> list[tuple[str, str]]:
    """Return the ids in the history, each with its prompt."""
    with _load(context) as runtime:
        entries = list(runtime.stores.history.find(limit=MOST_IDS))
    return _describe((each.sidecar.id, each.sidecar.prompt) for each in entries)


def list_jobs(context: "CompletionContext") -> list[tuple[str, str]]:
    """Return the ids of open jobs and interrupted commands, each with its prompt."""
    from imagen.usecases.jobs import list_commands  # noqa: PLC0415

    with _load(context) as runtime:
        calls = [each.call for each in runtime.stores.journal.list_open()]
        commands = list_commands(runtime.stores.keys)
    return _describe(
        [
            *((each.id, each.plan.request.prompt) for each in calls),
            *((each.id, f"interrupted {each.name}") for each in commands),
        ]
    )


def list_trash(context: "CompletionContext") -> list[tuple[str, str]]:
    """Return the ids of the files in the trash, each with its name."""
    from imagen.bootstrap.library import build_trash  # noqa: PLC0415

    with _load(context) as runtime:
        files = build_trash(runtime).trash.list_files()
    return _describe((each.id, PurePath(each.location).name) for each in files)


def list_commands(context: "CompletionContext") -> list[str]:
    """Return the next words of commands, after those that are typed."""
    from imagen.cli.app import COMMANDS  # noqa: PLC0415

    typed = [token.value for token in context.argument.tokens]
    commands = [name.split() for name in COMMANDS if not name.startswith("-")]
    depth = len(typed)
    found = (
        words[depth]
        for words in commands
        if words[:depth] == typed and len(words) > depth
    )
    return list(dict.fromkeys(found))


def _describe(found: "Iterable[tuple[str, str]]") -> list[tuple[str, str]]:
    """Return the shortest unique prefix of each id, with its description."""
    described = dict(islice(found, MOST_IDS))
    short = shorten_ids(described)
    return [(short[name], words[:60]) for name, words in described.items()]


def _load(context: "CompletionContext") -> Runtime:
    """Return a runtime with the typed config, or the active one."""
    environment = process_environment()
    named = _typed(context, "config")
    if named is not None:
        # On TAB, the shell has not yet expanded `~` and `$VAR`.
        named = str(environment.expand_path(named))
    return Runtime(environment, config=named)


def _typed(context: "CompletionContext", name: str) -> str | None:
    """Return the value of an option as typed, without quotes; None without one."""
    typed = context.get(name)
    if not (typed and typed.raw):
        return None
    # bash and zsh pass words to the completion with their quotes.
    from shlex import split  # noqa: PLC0415 - only for completion

    try:
        (plain,) = split(typed.raw)
    except ValueError:
        return str(typed.raw)
    return plain
