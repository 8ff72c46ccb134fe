"""The commands `imagen history` and `imagen history forget`."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.library import build_forget
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output, say
from imagen.cli.parameters import (
    ConfigFlag,
    JsonFlag,
    SinceFlag,
    complete_backends,
    keep_path,
    parse_whole_number,
)
from imagen.cli.tables import Columns, join_lines, paginate, shorten_ids, terminal_width
from imagen.domain.cloud import CloudImage
from imagen.domain.errors import UsageError
from imagen.domain.history import HistoryEntry
from imagen.domain.money.cost import format_usd
from imagen.domain.sidecar import Sidecar
from imagen.settings.environment import process_environment

NEWEST = 20


def history(
    *,
    search: Annotated[str, Parameter(metavar="WORDS", show_default=False)] = "",
    backend: Annotated[
        str, Parameter(metavar="NAME", show_default=False, completer=complete_backends)
    ] = "",
    since: SinceFlag = None,
    limit: Annotated[
        int, Parameter(metavar="N", converter=parse_whole_number)
    ] = NEWEST,
    cloud: Annotated[bool, Parameter(show_default=False)] = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> int:
    """List the images that were made on this machine, the newest first.

    When (local time), id, backend, seed, size, cost, where it is, and the prompt.

    ```
    imagen history --search "red fox" --since 2026-05-01
    imagen history forget last
    ```

    Args:
        search: Words that are all in the prompt, whole or in part.
        backend: The instance that made them.
        limit: How many at most; 0 is all.
        cloud: Those that have a copy in the cloud, wherever they were made;
            `imagen fetch` brings one back.
    """
    if limit < 0:
        raise UsageError(f"--limit {limit} is below 0.", hint="0 is all of them.")
    asked = bool(search or backend or since)
    said, environment = Output(json=json), process_environment()
    if cloud:
        if asked:
            raise UsageError("--cloud lists all, and cannot search.")
        from imagen.bootstrap.cloud import open_cloud  # noqa: PLC0415 - rare

        runtime = Runtime.load(keep_path(config), environment=environment)
        owner, kept = open_cloud(runtime)
        with closing(kept):
            copies = kept.find(owner, limit=limit or None)
            if not _print(said, (_entry(copy) for copy in copies)):
                say("There is no image in the cloud.")
        return exit_codes.DONE
    with Runtime(environment) as runtime:
        found = runtime.stores.history.find(
            words=search, backend=backend, since=since, limit=limit or None
        )
        if not _print(said, found) and not json:
            what = "such image was made here" if asked else "image was made here yet"
            say(f"No {what}.")
    return exit_codes.DONE


def _print(said: Output, found: Iterable[HistoryEntry]) -> bool:
    """Print the images; return whether there were any."""
    columns, some = Columns(right={3, 5}, width=terminal_width()), False
    for page in paginate(found):
        some = True
        if said.json:
            for entry in page:
                said.note(entry.sidecar, entry.location)
        else:
            said.lines(columns.lines(_rows(page)))
    return some


def _entry(copy: CloudImage) -> HistoryEntry:
    return HistoryEntry(location=copy.path, sidecar=copy.sidecar)


def forget(*ids: Annotated[str, Parameter(metavar="ID")]) -> int:
    """Forget images, prompt and all; their files stay where they are.

    ```
    imagen history forget 01a2055c-f0e1
    ```

    Args:
        ids: Ids, unique beginnings of ids, or `last`.
    """
    if not ids:
        raise UsageError(
            "ID is missing.", hint="`imagen history` lists those there are."
        )
    with Runtime(process_environment()) as runtime:
        for entry in build_forget(runtime).run(ids):
            say(f"{entry.sidecar.id}: forgotten; its file stays at {entry.location}.")
    return exit_codes.DONE


def _rows(entries: Sequence[HistoryEntry]) -> list[tuple[str, ...]]:
    ids = shorten_ids(entry.sidecar.id for entry in entries)
    return [_row(entry.sidecar, entry.location, ids) for entry in entries]


def _row(note: Sidecar, location: str, ids: dict[str, str]) -> tuple[str, ...]:
    return (
        _local(note.created_at),
        ids[note.id],
        note.backend,
        "-" if note.seed is None else str(note.seed),
        f"{note.width}x{note.height}",
        "unknown" if note.cost_usd is None else format_usd(Decimal(str(note.cost_usd))),
        location,
        join_lines(note.prompt),
    )


def _local(created_at: str) -> str:
    moment = datetime.fromisoformat(created_at)
    at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{at.astimezone():%Y-%m-%d %H:%M}"
