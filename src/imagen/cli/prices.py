"""The command `imagen prices`."""

from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.library import build_prices
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output
from imagen.cli.parameters import ConfigFlag, JsonFlag, keep_path
from imagen.settings.environment import process_environment
from imagen.usecases.prices import DatedPrice


def prices(
    model: Annotated[str, Parameter(metavar="MODEL", show_default=False)] = "",
    /,
    *,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> int:
    """Print what is charged for what, and when that was so.

    ```
    imagen prices flux
    ```

    Args:
        model: A part of its name; also that of a backend with a `price` in the config.
            [default: all]
    """
    runtime = Runtime.load(keep_path(config), environment=process_environment())
    said = Output(json=json)
    shown = build_prices(runtime, listen=said.hear).run(model)
    if json:
        for each in shown:
            said.object(_described(each))
    else:
        head = ("provider", "model", "price", "as of", "age")
        said.table([head, *map(_row, shown)])
    return exit_codes.DONE


def _row(shown: DatedPrice) -> tuple[str, ...]:
    listed, days = shown.listed, shown.age_days
    age = "" if days is None else "1 day" if days == 1 else f"{days} days"
    return (listed.provider, listed.model, listed.words, listed.price.as_of, age)


def _described(shown: DatedPrice) -> dict[str, object]:
    listed, price = shown.listed, shown.listed.price
    return {
        "provider": listed.provider,
        "model": listed.model,
        "price": listed.words,
        "rates": [
            {"unit": rate.unit, "kind": rate.kind, "usd": float(rate.usd)}
            for rate in price.rates
        ],
        "when": listed.when,
        "default": listed.default,
        "as_of": price.as_of,
        "age_days": shown.age_days,
        "source": price.source,
        "note": listed.note,
    }
