"""The command `imagen models`."""

from collections.abc import Iterator
from datetime import UTC, date
from typing import Annotated, TypeAlias

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.models import list_models
from imagen.cli import exit_codes
from imagen.cli.output import Output, print_message
from imagen.cli.parameters import (
    ConfigFlag,
    JsonFlag,
    complete_backends,
    load_runtime,
)
from imagen.cli.signals import StopSignals
from imagen.cli.tables import terminal_width, wrap
from imagen.usecases.models import BackendModels

BackendWord: TypeAlias = Annotated[
    str, Parameter(metavar="BACKEND", completer=complete_backends)
]
_INDENT = "      "
_DEFAULT_WIDTH = 80


def models(
    *backends: BackendWord,
    refresh: bool = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> int:
    """List the models of the backends: price, abilities, and shutdown date.

    `*` marks the model that a backend uses without `--model`. A backend is asked only
    for what is not known without it.

    ```
    imagen models
    imagen models flux --json
    ```

    Args:
        backends: Names of configured backends. [default: all]
        refresh: Ask the backends anew for what they can do; costs nothing.
    """
    out = Output(json=json)
    with load_runtime(config) as runtime, StopSignals() as signals:
        found = list_models(
            runtime, backends, refresh=refresh, cancellation=signals.cancellation
        )
    if signals.exit_code is not None:
        return signals.exit_code
    today = runtime.clock.now().astimezone(UTC).date()
    for each in found:
        if json:
            out.print_json(each)
        else:
            out.print_lines(_format_backend(each, today=today))
            if each.problem:
                name = f"{each.backend}: "
                print_message(name + each.problem.removeprefix(name))
    return exit_codes.DONE


def _format_backend(found: BackendModels, *, today: date) -> Iterator[str]:
    yield f"{found.backend} ({found.adapter})"
    width = terminal_width() or _DEFAULT_WIDTH
    for model in found.models:
        price = (model.price or "price unknown") if model.may_cost else "free"
        mark = "*" if model.default else " "
        yield f"  {mark} {model.model or 'the default model'}: {price}"
        if abilities := ", ".join(model.abilities):
            lines = wrap(abilities, width - len(_INDENT), lines=len(abilities))
            yield from (f"{_INDENT}{line}" for line in lines)
        if model.shutdown is not None:
            verb = "ENDED" if model.shutdown <= today else "ends"
            instead = f"; use {model.successor}" if model.successor else ""
            yield f"{_INDENT}{verb} on {model.shutdown}{instead}"
    if found.any_model:
        yield "    any other model by its name: --model NAME"
