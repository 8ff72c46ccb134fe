"""The commands `imagen history` and `imagen history forget`."""

from collections.abc import Iterable
from contextlib import closing
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.cli.output import Output, print_message
from imagen.cli.parameters import (
    ConfigFlag,
    IdWord,
    JsonFlag,
    SinceFlag,
    complete_backends,
    load_runtime,
    open_account,
    parse_whole_number,
)
from imagen.cli.tables import (
    Columns,
    join_lines,
    paginate,
    shorten_ids,
    terminal_width,
)
from imagen.domain.errors import UsageError
from imagen.domain.history import HistoryEntry
from imagen.domain.money.cost import format_cost

DEFAULT_LIMIT = 20


def history(
    *,
    search: Annotated[str, Parameter(metavar="WORDS")] = "",
    backend: Annotated[
        str, Parameter(metavar="NAME", completer=complete_backends)
    ] = "",
    since: SinceFlag = None,
    limit: Annotated[
        int, Parameter(metavar="N", converter=parse_whole_number, show_default=True)
    ] = DEFAULT_LIMIT,
    cloud: bool = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> None:
    """List the images that were made on this machine, the newest first.

    The columns: local time, id, backend, seed, size, cost, path, prompt.

    ```
    imagen history --search "red fox" --since 2026-05-01
    imagen history forget last
    ```

    Args:
        search: Words or parts of words that the prompt must all contain, in any case,
            with or without accents.
        backend: The backend that made the image.
        limit: The largest number of images; 0 is no limit.
        cloud: List the images that have a copy in the cloud, from all machines;
            `imagen fetch` downloads one.
    """
    if limit < 0:
        raise UsageError(f"--limit {limit} is below 0.", hint="Use 0 for all.")
    filtered = bool(search or backend or since)
    out = Output(json=json)
    if cloud:
        if filtered:
            raise UsageError(
                "--cloud cannot be combined with --search, --backend or --since."
            )
        from imagen.bootstrap.cloud import open_cloud  # noqa: PLC0415 - rare

        runtime = load_runtime(config)
        owner, cloud_images = open_cloud(runtime)
        with closing(cloud_images):
            copies = (
                HistoryEntry(location=copy.path, sidecar=copy.sidecar)
                for copy in cloud_images.find(owner, limit=limit or None)
            )
            if not _print(out, copies):
                print_message("No image in the cloud.")
        return
    with open_account() as runtime:
        found = runtime.stores.history.find(
            words=search, backend=backend, since=since, limit=limit or None
        )
        if not _print(out, found) and not json:
            print_message("No image matches." if filtered else "No images yet.")


def _print(out: Output, found: Iterable[HistoryEntry]) -> bool:
    """Print the images; return false if there were none."""
    columns, is_empty = Columns(right={3, 5}, width=terminal_width()), True
    for page in paginate(found):
        is_empty = False
        if out.json:
            for entry in page:
                out.print_sidecar(entry.sidecar, entry.location)
        else:
            ids = shorten_ids(entry.sidecar.id for entry in page)
            out.print_lines(columns.lines([_row(entry, ids) for entry in page]))
    return not is_empty


def forget(*ids: IdWord) -> None:
    """Remove images from the history, with their prompts; the files are kept.

    ```
    imagen history forget 01a2055c-f0e1
    ```

    Args:
        ids: Ids, unique prefixes of ids, or `last`.
    """
    if not ids:
        raise UsageError("ID is missing.", hint="`imagen history` lists the ids.")
    from imagen.usecases.history import forget_images  # noqa: PLC0415 - only here

    with open_account() as runtime:
        stores = runtime.stores
        for entry in forget_images(
            ids, history=stores.history, spool=stores.spool, keys=stores.keys
        ):
            print_message(
                f"{entry.sidecar.id}: removed from the history; "
                f"the file stays at {entry.location}."
            )


def _row(entry: HistoryEntry, ids: dict[str, str]) -> tuple[str, ...]:
    sidecar = entry.sidecar
    return (
        f"{sidecar.made.astimezone():%Y-%m-%d %H:%M}",
        ids[sidecar.id],
        sidecar.backend,
        "-" if sidecar.seed is None else str(sidecar.seed),
        f"{sidecar.width}x{sidecar.height}",
        format_cost(sidecar.cost_usd) or "unknown",
        entry.location,
        join_lines(sidecar.prompt),
    )
