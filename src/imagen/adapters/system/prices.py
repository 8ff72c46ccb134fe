"""Load the dated price table that ships with imagen, `prices.json`."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from imagen.domain.money.price import ListedPrice, Price, find_price


def look_up_price(
    provider: str, model: str, parameters: Mapping[str, object]
) -> Price | None:
    """Return the price of a model at a provider; None when it is unknown.

    Azure charges what OpenAI charges.

    For machines that are billed by the second, the model is `hardware:gpu-h100` etc.
    """
    listed = "openai" if provider == "azure" else provider
    return find_price(load_price_table(), listed, model, parameters)


@cache
def load_price_table() -> tuple[ListedPrice, ...]:
    """Return the whole price table."""
    # A path instead of importlib.resources, whose import takes 9 ms.
    file = Path(__file__).with_suffix(".json")
    return msgspec.json.decode(file.read_bytes(), type=tuple[ListedPrice, ...])
