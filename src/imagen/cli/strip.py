"""The command `imagen strip`."""

import sys
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.library import build_strip
from imagen.bootstrap.output import STDOUT
from imagen.bootstrap.runtime import Runtime
from imagen.cli.output import Output, display_path
from imagen.cli.parameters import (
    ConfigFlag,
    JsonFlag,
    PathWord,
    check_config,
    check_output,
)
from imagen.settings.environment import process_environment


def strip(
    image: PathWord,
    /,
    *,
    output: Annotated[
        PathWord | None,
        Parameter(alias="-o", metavar="PATH", allow_leading_hyphen=True),
    ] = None,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> None:
    """Write a copy of IMAGE without prompt or metadata, and print its path.

    Keeps the pixels bit for bit, and everything else that affects the display.

    ```
    imagen strip fox.png
    imagen strip last -o - | wc -c
    ```

    Args:
        image: A path, an id, a unique prefix of an id, or `last`.
        output: A file (an existing one goes to the trash), a folder, or - for stdout.
            [default: `x-stripped.png` beside `x.png`, or the next free name]
    """
    check_config(config)
    where, out = check_output(output, json=json), Output(json=json)
    with Runtime(process_environment()) as runtime:
        use_case = build_strip(
            runtime, output=where, stream=sys.stdout.buffer, listen=out.on_event
        )
        location = use_case.run(str(image))
    if json:
        out.print_json({"path": display_path(location)})
    elif where != STDOUT:
        out.print_path(location)
