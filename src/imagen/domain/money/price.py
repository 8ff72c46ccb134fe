"""What is charged for what, and what a call costs by that."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from math import inf, isfinite
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.consumption import Used
from imagen.domain.errors import InvalidRequest
from imagen.domain.money.cost import MICROS, Cost, format_usd
from imagen.domain.size import Size

Unit: TypeAlias = Literal[
    "per_call", "per_image", "per_megapixel", "per_second", "per_token"
]

MILLION = 1_000_000
"""Tokens are sold by it."""

_METERED = {"per_second", "per_token"}
_EXACT = Context(prec=1000)  # digits, more than a price and an amount have together


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """So many US dollars for one unit.

    Attributes:
        unit: What is counted.
        usd: For one of them.
        kind: Of tokens, such as `output_image`; "" for anything else.
    """

    unit: Unit
    usd: Decimal
    kind: str = ""

    def __post_init__(self) -> None:
        if not self.usd.is_finite() or self.usd < 0:
            raise InvalidRequest("A price is a number of dollars, 0 or more.")

    @property
    def words(self) -> str:
        """The rate as people say it: `$0.003 an image`."""
        if self.unit == "per_token":
            return f"{format_usd(self.usd * MILLION)} a million {self.kind} tokens"
        return f"{format_usd(self.usd)} {_ONE[self.unit]}"


_ONE = {
    "per_call": "a call",
    "per_image": "an image",
    "per_megapixel": "a megapixel",
    "per_second": "a second",
}


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What one call is charged: all of its rates together.

    Attributes:
        rates: At least one.
        as_of: When that was so, as much of a date as is known: `2026-10-08`, `2026`;
            "" when it is the config's own.
        source: Who says so.
    """

    rates: tuple[Rate, ...]
    as_of: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if not self.rates:
            raise InvalidRequest("A price says what is charged for.")
        try:
            _ = self.since
        except ValueError as error:
            raise InvalidRequest(f"{self.as_of!r} is no date.") from error

    @property
    def since(self) -> date | None:
        """The first day that `as_of` may mean; None when it says nothing."""
        return date.fromisoformat(f"{self.as_of}-01-01"[:10]) if self.as_of else None

    @property
    def words(self) -> str:
        """The price as people say it: `$0.015 a call + $0.015 a megapixel`."""
        return " + ".join(rate.words for rate in self.rates)


class ListedPrice(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a price table.

    A model has one line, or one for each of its tiers.

    Attributes:
        provider: Who charges it.
        model: What the provider calls it.
        price: What is charged.
        when: The parameters of the model that choose this tier, each with the values
            that do.
        from_megapixels: The size of an image from which on it is this tier, where the
            parameters say nothing; infinite where the size does not choose.
        default: Whether it is the tier when nothing chooses. Where nobody knows which
            one that is, it is the dearest, so that a budget errs on the safe side.
        note: What else there is to know.
    """

    provider: str
    model: str
    price: Price
    when: Mapping[str, tuple[str, ...]] = {}
    from_megapixels: float = inf
    default: bool = False
    note: str = ""

    @property
    def words(self) -> str:
        """The price with its tier as people say it: `4K: $0.30 an image`."""
        tier = " or ".join(value for values in self.when.values() for value in values)
        mark = " (default)" if self.default else ""
        return f"{tier}{mark}: {self.price.words}" if tier else self.price.words


PriceOf: TypeAlias = Callable[[str, str, Mapping[str, object]], Price | None]
"""Looks up a price by provider, model and parameters; None when it is not known.

The parameters are those of the model that were given, and `size` is the `Size` of an
image, unless the model has a parameter of that name which was given.
"""


def no_price(provider: str, model: str, parameters: Mapping[str, object]) -> None:
    """Know no price."""


def find_price(
    table: Sequence[ListedPrice],
    provider: str,
    model: str,
    parameters: Mapping[str, object],
) -> Price | None:
    """Look up a price in a table; `owner/name:version` costs what `owner/name` does."""
    lines = [line for line in table if line.provider == provider]
    for name in (model, model.partition(":")[0]):
        if tiers := [line for line in lines if line.model == name]:
            tier = _tier(tiers, parameters)
            return None if tier is None else tier.price
    return None


def calculate_cost(price: Price | None, used: Used) -> Cost:
    """Return what was charged for what was used, rounded up to a micro-dollar.

    Unknown when there is no price, or nobody says how much of something was used that
    is charged for, or what they say is no amount.
    """
    if price is None:
        return Cost()
    dollars = Decimal(0)
    with localcontext(_EXACT):
        for rate in price.rates:
            amount = _amount(rate, price, used)
            if amount is None or not isfinite(amount) or amount < 0:
                return Cost()
            dollars += rate.usd * Decimal(str(amount))
        micros = (dollars * MICROS).to_integral_value(rounding=ROUND_CEILING)
    metered = any(rate.unit in _METERED for rate in price.rates)
    return Cost(micros=int(micros), source="metered" if metered else "price_table")


def measure_usage(
    reported: Used, *, images: int, megapixels: float, seconds: float | None
) -> Used:
    """Return what a call used: what the backend says, and what can be seen.

    Args:
        said: What the backend says of it.
        images: How many came.
        megapixels: Of all of them together.
        seconds: How long it took, where that is what is charged for.
    """
    return msgspec.structs.replace(
        reported,
        images=images if reported.images is None else reported.images,
        megapixels=megapixels if reported.megapixels is None else reported.megapixels,
        seconds=seconds if reported.seconds is None else reported.seconds,
    )


def _tier(
    tiers: Sequence[ListedPrice], parameters: Mapping[str, object]
) -> ListedPrice | None:
    """Return what the parameters choose, else the size, else the default."""
    allowed = [tier for tier in tiers if _allows(tier, parameters)]
    for tier in allowed:
        if tier.when.keys() <= parameters.keys():
            return tier
    size = parameters.get("size")
    if isinstance(size, Size):
        large = size.megapixels
        reached = [tier for tier in allowed if tier.from_megapixels <= large]
        if reached:
            return max(reached, key=lambda tier: tier.from_megapixels)
    return next((tier for tier in allowed if tier.default), None)


def _allows(tier: ListedPrice, parameters: Mapping[str, object]) -> bool:
    return all(
        str(parameters[name]) in values
        for name, values in tier.when.items()
        if name in parameters
    )


def _amount(rate: Rate, price: Price, used: Used) -> float | None:
    match rate.unit:
        case "per_call":
            return used.calls
        case "per_image":
            return used.images
        case "per_megapixel":
            return used.megapixels
        case "per_second":
            return used.seconds
        case "per_token":
            return _tokens(rate, price, used)


def _tokens(rate: Rate, price: Price, used: Used) -> int | None:
    """Return how many there were of the kind; those of other names tell nothing."""
    kinds = {other.kind for other in price.rates if other.unit == "per_token"}
    if used.tokens is None or (used.tokens and kinds.isdisjoint(used.tokens)):
        return None
    return used.tokens.get(rate.kind, 0)
