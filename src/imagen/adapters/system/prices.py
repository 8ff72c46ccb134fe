"""What providers charge: a dated table that comes with imagen, in `prices.json`."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from imagen.domain.money.price import ListedPrice, Price, find_price


def look_up_price(
    provider: str, model: str, parameters: Mapping[str, object]
) -> Price | None:
    """Look up what a provider charges for a model; None when it is not known.

    Of machines by the second, the model is called `hardware:gpu-h100` and so on.
    """
    return find_price(load_price_table(), provider, model, parameters)


@cache
def load_price_table() -> tuple[ListedPrice, ...]:
    """Return every price that there is."""
    file = Path(__file__).with_suffix(".json")  # importlib.resources costs 9 ms
    return msgspec.json.decode(file.read_bytes(), type=tuple[ListedPrice, ...])
