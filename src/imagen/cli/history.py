"""The commands `imagen history` and `imagen history forget`."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.cli.output import Output, display_path, print_message
from imagen.cli.parameters import (
    ConfigFlag,
    ImageId,
    JsonFlag,
    SinceFlag,
    complete_backends,
    load_runtime,
    open_account,
    parse_whole_number,
)
from imagen.cli.tables import (
    Columns,
    cell_width,
    join_lines,
    paginate,
    shorten_ids,
    terminal_width,
    truncate,
    truncate_start,
)
from imagen.domain.errors import UsageError
from imagen.domain.history import HistoryEntry
from imagen.domain.money.cost import format_cost
from imagen.domain.printable import escape_control

DEFAULT_LIMIT = 20
_MIN_PROMPT = 20
_INDENT = "    "


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

    The columns: local time, id, backend, seed, size, cost, path, prompt. In a narrow
    terminal an image has two lines.

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
    with open_account(config) as runtime:
        found = runtime.stores.history.find(
            words=search, backend=backend, since=since, limit=limit or None
        )
        if not _print(out, found) and not json:
            print_message("No image matches." if filtered else "No images yet.")


def _print(out: Output, found: Iterable[HistoryEntry]) -> bool:
    """Print the images; return false if there were none."""
    width, is_empty = terminal_width(), True
    columns, two_lines = Columns(right={3, 5}, width=width), None
    for page in paginate(found):
        is_empty = False
        if out.json:
            for entry in page:
                out.print_sidecar(entry.sidecar, entry.location)
        else:
            ids = shorten_ids(entry.sidecar.id for entry in page)
            rows = [_row(entry, ids) for entry in page]
            if two_lines is None and width is not None:
                two_lines = _is_wider(rows, width)
                columns = Columns(width=width) if two_lines else columns
            if two_lines:
                facts = columns.lines([(*row[:2], row[-1]) for row in rows])
                for row, line in zip(rows, facts, strict=True):
                    out.print_text(line)
                    out.print_text(_format_details(row, width or 0))
            else:
                out.print_lines(columns.lines(rows))
    return not is_empty


def forget(*ids: ImageId, config: ConfigFlag = None, json: JsonFlag = False) -> None:
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

    out = Output(json=json)
    with open_account(config) as runtime:
        stores = runtime.stores
        for entry in forget_images(
            ids, history=stores.history, spool=stores.spool, keys=stores.keys
        ):
            if json:
                out.print_json(_forgotten_fields(entry))
            print_message(
                f"{entry.sidecar.id}: removed from the history; "
                f"the file stays at {entry.location}."
            )


def _forgotten_fields(entry: HistoryEntry) -> dict[str, object]:
    return {"id": entry.sidecar.id, "path": display_path(entry.location)}


def _is_wider(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Return true if a table of these rows has no room for the prompts."""
    columns = zip(*(row[:-1] for row in rows), strict=True)
    facts = [max(map(cell_width, column)) for column in columns]
    return sum(facts) + 2 * (len(facts) + 1) + _MIN_PROMPT > width


def _format_details(row: Sequence[str], width: int) -> str:
    """Return the second line of an image: all but its time, id and prompt."""
    *facts, path, _ = map(escape_control, row[2:])
    line = _INDENT + "".join(f"{fact}  " for fact in facts)
    # The name of a file is the last part of its path.
    return truncate(line + truncate_start(path, width - cell_width(line)), width)


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
