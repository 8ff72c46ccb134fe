"""The prices that OpenRouter publishes for an endpoint of a model."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from imagen.adapters.remote.json_values import as_mapping, as_number
from imagen.domain.consumption import Used
from imagen.domain.money.price import Price, Rate, Unit, calculate_cost

_UNITS: Mapping[str, Unit] = {
    "image": "per_image",
    "megapixel": "per_megapixel",
    "request": "per_call",
}
_ONE = Used(images=1, megapixels=1)
SOURCE = "openrouter.ai"


def find_highest(prices: Iterable[Price | None]) -> Price | None:
    """Return the most expensive price; None if one is unknown."""
    prices = list(prices)
    known = [price for price in prices if price is not None]
    if not known or len(known) < len(prices):
        return None
    return max(known, key=lambda price: calculate_cost(price, _ONE).micros or 0)


def read_price(lines: Iterable[object], day: str) -> Price | None:
    """Return the price of what an image costs without what it is made from.

    Of several variants, such as the first megapixel, the most expensive one counts.
    """
    rates: dict[Unit, Decimal] = {}
    for line in map(as_mapping, lines):
        unit, usd = line.get("unit"), as_number(line.get("cost_usd"))
        if line.get("billable") != "output_image":
            continue
        if not isinstance(unit, str) or unit not in _UNITS or usd is None or usd < 0:
            return None
        rate = _UNITS[unit]
        rates[rate] = max(rates.get(rate, Decimal(0)), Decimal(str(usd)))
    if not rates:
        return None
    return Price(
        rates=tuple(Rate(unit=unit, usd=usd) for unit, usd in rates.items()),
        as_of=day,
        source=SOURCE,
    )
