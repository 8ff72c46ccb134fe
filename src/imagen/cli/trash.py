"""The commands `imagen trash list`, `restore` and `empty`."""

import sys
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.library import build_trash
from imagen.cli import exit_codes
from imagen.cli.output import Output, display_path, print_message
from imagen.cli.parameters import ConfigFlag, JsonFlag, TrashId, open_account
from imagen.cli.tables import Columns, join_lines, shorten_ids, terminal_width
from imagen.domain.errors import UsageError
from imagen.domain.trash import TrashedFile


def list_(*, config: ConfigFlag = None, json: JsonFlag = False) -> None:
    """List the files in the trash, the oldest first.

    Files that `--output` replaced, and images that were deleted in the gallery, are
    kept for 30 days. The columns: local time, id, path, prompt.

    ```
    imagen trash list
    imagen trash restore last
    ```
    """
    out = Output(json=json)
    with open_account(config) as runtime:
        files = build_trash(runtime).trash.list_files()
    if json:
        for file in files:
            out.print_json(_describe(file))
    elif files:
        ids = shorten_ids(each.id for each in files)
        columns = Columns(width=terminal_width())
        out.print_lines(columns.lines([_row(each, ids) for each in files]))
    else:
        print_message("The trash is empty.")


def restore(*ids: TrashId, config: ConfigFlag = None, json: JsonFlag = False) -> None:
    """Move files from the trash back to where they were, and print their paths.

    An existing file is never replaced: move it away first.

    ```
    imagen trash restore last
    ```

    Args:
        ids: Ids, unique prefixes of ids, or `last`.
    """
    if not ids:
        raise UsageError("ID is missing.", hint="`imagen trash list` lists the ids.")
    out = Output(json=json)
    with open_account(config) as runtime:
        trash = build_trash(runtime)
        for file in trash.select(ids):
            trash.undo(file.id)
            if json:
                out.print_json(_describe(file))
            else:
                out.print_path(file.location)


def empty(
    *,
    yes: Annotated[bool, Parameter(alias="-y")] = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> int:
    """Delete all files in the trash for good.

    ```
    imagen trash empty --yes
    ```

    Args:
        yes: Do not ask.
    """
    out = Output(json=json)
    with open_account(config) as runtime:
        trash = build_trash(runtime).trash
        files = trash.list_files()
        count = "1 file" if len(files) == 1 else f"{len(files)} files"
        if files and not yes and not _confirm(count):
            print_message("Nothing was deleted.")
            return exit_codes.NOT_READY
        for file in files:
            if trash.delete(file.id) and json:
                out.print_json(_describe(file))
    print_message(f"{count} deleted." if files else "The trash is empty.")
    return exit_codes.DONE


def _confirm(count: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"The trash has {count}; deleting them needs a confirmation.",
            hint="Use --yes.",
        )
    sys.stderr.write(f"imagen: Delete {count} for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _row(file: TrashedFile, ids: dict[str, str]) -> tuple[str, ...]:
    prompt = join_lines(file.entry.sidecar.prompt) if file.entry else ""
    return (
        f"{file.at.astimezone():%Y-%m-%d %H:%M}",
        ids[file.id],
        file.location,
        prompt,
    )


def _describe(file: TrashedFile) -> dict[str, object]:
    return {
        "id": file.id,
        "at": file.at,
        "path": display_path(file.location),
        "bytes": file.size,
        "prompt": file.entry.sidecar.prompt if file.entry else None,
    }
