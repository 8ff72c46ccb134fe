"""The command `imagen prices`."""

from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.library import load_prices
from imagen.cli.output import Output
from imagen.cli.parameters import ConfigFlag, JsonFlag, complete_prices, load_runtime
from imagen.usecases.prices import DatedPrice, list_prices


def prices(
    model: Annotated[str, Parameter(metavar="MODEL", completer=complete_prices)] = "",
    /,
    *,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> None:
    """Print the known prices, each with its date.

    ```
    imagen prices flux
    ```

    Args:
        model: Part of the name of a model, or of a backend with a `price` in the
            config. [default: all]
    """
    runtime = load_runtime(config)
    out = Output(json=json)
    prices_found = list_prices(
        load_prices(runtime), model, clock=runtime.clock, listen=out.on_event
    )
    if json:
        for dated in prices_found:
            out.print_json(_price_fields(dated))
    else:
        head = ("provider", "model", "price", "as of", "age")
        out.print_table([head, *map(_row, prices_found)])


def _row(dated: DatedPrice) -> tuple[str, ...]:
    listed, days = dated.listed, dated.age_days
    age = "" if days is None else "1 day" if days == 1 else f"{days} days"
    return (listed.provider, listed.model, listed.words, listed.price.as_of, age)


def _price_fields(dated: DatedPrice) -> dict[str, object]:
    listed, price = dated.listed, dated.listed.price
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
        "age_days": dated.age_days,
        "source": price.source,
        "note": listed.note,
    }
