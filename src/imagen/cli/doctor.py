"""The command `imagen doctor`."""

import sys
from collections.abc import Iterator

from imagen.bootstrap.doctor import Diagnosis, diagnose
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output
from imagen.cli.parameters import ConfigFlag, JsonFlag, keep_path
from imagen.cli.signals import StopSignals
from imagen.cli.tables import cell_width, join_lines, terminal_width, wrap
from imagen.settings.environment import process_environment

_LABELS = {"ready": "ready", "warning": "WARNING", "problem": "PROBLEM"}
_NAME_WIDTH = 24
_MOST_LINES = 20
_DEFAULT_WIDTH = 80


def doctor(*, config: ConfigFlag = None, json: JsonFlag = False) -> int:
    """Check everything that imagen needs on this machine; costs nothing.

    Config, keys, backends, models and prices, folders, disk space, records, uploads,
    the terminal and the optional packages. Exits 1 if there is a problem.

    ```
    imagen doctor
    imagen doctor --json
    ```
    """
    path, out = keep_path(config), Output(json=json)
    code = exit_codes.DONE
    runtime = Runtime(process_environment(), config=path)
    with runtime, StopSignals() as signals:
        found = diagnose(
            runtime,
            path,
            cancellation=signals.cancellation,
            on_terminal=sys.stdout.isatty() and not json,
        )
        for each in found:
            if signals.exit_code is not None:
                return signals.exit_code
            if each.state == "problem":
                code = exit_codes.NOT_READY
            if json:
                out.print_json(each)
            else:
                out.print_lines(_format(each))
    return signals.exit_code or code


def _format(found: Diagnosis) -> Iterator[str]:
    """Yield the lines of a result: state, name, note, and below it what to do."""
    head = f"{_LABELS[found.state]:<9}{join_lines(found.name):<{_NAME_WIDTH}}"
    width = max((terminal_width() or _DEFAULT_WIDTH) - cell_width(head), _NAME_WIDTH)
    for text in filter(None, map(join_lines, (found.note, found.hint))):
        for line in wrap(text, width, lines=_MOST_LINES):
            yield head + line
            head = " " * cell_width(head)
