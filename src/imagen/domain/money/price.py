"""Prices, and the cost of a call according to its price."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from math import inf
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.consumption import Used
from imagen.domain.errors import InvalidRequest
from imagen.domain.money.cost import MICROS, Cost, format_micros, format_usd
from imagen.domain.size import Size

Unit: TypeAlias = Literal[
    "per_call", "per_image", "per_megapixel", "per_second", "per_token"
]

# Vendors quote prices per million tokens.
MILLION = 1_000_000

_SNAPSHOT = re.compile(r"-20\d\d-\d\d-\d\d$", re.ASCII)
_METERED = {"per_second", "per_token"}
# More digits than a price and an amount have together, so that no product is rounded.
_EXACT = Context(prec=1000)
_MAX_AMOUNT = 1e300


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A price per unit in US dollars.

    Attributes:
        kind: Kind of tokens, such as `output_image`; "" for other units.
    """

    unit: Unit
    usd: Decimal
    kind: str = ""

    def __post_init__(self) -> None:
        if not self.usd.is_finite() or self.usd < 0:
            raise InvalidRequest("A price must be a number of dollars, 0 or more.")

    @property
    def words(self) -> str:
        """The rate for display: `$0.003 an image`."""
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
    """The price of a call: the sum of its rates.

    Attributes:
        rates: At least one rate.
        as_of: Date of the price, as precisely as it is known: `2026-10-08`, `2026`; ""
            for a price from the config.
        expected_tokens: Tokens of one image by kind, for estimates; without them the
            cost of a call is unknown in advance if its tokens are charged.
    """

    rates: tuple[Rate, ...]
    as_of: str = ""
    source: str = ""
    expected_tokens: Mapping[str, int] = {}

    def __post_init__(self) -> None:
        if not self.rates:
            raise InvalidRequest("A price must have at least one rate.")
        try:
            _ = self.since
        except ValueError as error:
            raise InvalidRequest(f"Invalid date {self.as_of!r}.") from error

    @property
    def since(self) -> date | None:
        """The earliest day that `as_of` may mean; None for none."""
        return date.fromisoformat(f"{self.as_of}-01-01"[:10]) if self.as_of else None

    @property
    def words(self) -> str:
        """The price for display: `$0.015 a call + $0.015 a megapixel`."""
        expected = estimate_cost(self, images=1, megapixels=1).micros
        if self.expected_tokens and expected is not None:
            return f"about {format_micros(expected)} an image, by tokens"
        return " + ".join(rate.words for rate in self.rates)


class ListedPrice(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a price table: a model, or one price tier of a model.

    Attributes:
        model: The vendor's name of the model.
        when: The model parameters that select this tier, with the selecting values.
        from_megapixels: Minimum image size that selects this tier if no parameter does,
            or among those that the parameters select; infinite if the size never
            selects it.
        default: Whether the tier applies if nothing selects one. If the vendor's
            default is unknown, this is the most expensive tier, so that budgets are
            not exceeded.
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
        """The price with its tier for display: `4K: $0.30 an image`."""
        tier = " or ".join(value for values in self.when.values() for value in values)
        # The name of a resolution says the size already.
        if 0 < self.from_megapixels < inf and "resolution" not in self.when:
            tier += f", from {self.from_megapixels:g} megapixels"
        mark = " (default)" if self.default else ""
        return f"{tier}{mark}: {self.price.words}" if tier else self.price.words


PriceOf: TypeAlias = Callable[[str, str, Mapping[str, object]], Price | None]
"""Returns the price for a provider, a model and parameters; None if unknown.

The parameters are the requested model parameters. Unless one of them has this name,
`size` is the `Size` of an image.
"""


def no_price(provider: str, model: str, parameters: Mapping[str, object]) -> None:
    """Return None: the price is unknown."""


def find_price(
    table: Sequence[ListedPrice],
    provider: str,
    model: str,
    parameters: Mapping[str, object],
) -> Price | None:
    """Return a price from a table.

    `owner/name:version` is priced as `owner/name`, and `name-2026-09-08` as `name`.
    """
    lines = [line for line in table if line.provider == provider]
    for name in (model, model.partition(":")[0], _SNAPSHOT.sub("", model)):
        if tiers := [line for line in lines if line.model == name]:
            tier = _select_tier(tiers, parameters)
            return None if tier is None else tier.price
    return None


def calculate_cost(price: Price | None, used: Used) -> Cost:
    """Return the cost of a consumption, rounded up to a micro-dollar.

    An amount that the backend reports is the cost. Otherwise the cost is unknown
    without a price, and if a charged quantity is unknown, negative or not finite.
    """
    if used.micros is not None:
        return Cost(micros=used.micros, source="reported")
    if price is None:
        return Cost()
    dollars = Decimal(0)
    with localcontext(_EXACT):
        for rate in price.rates:
            amount = _amount(rate, price, used)
            if amount is None or not 0 <= amount <= _MAX_AMOUNT:
                return Cost()
            dollars += rate.usd * Decimal(str(amount))
        micros = (dollars * MICROS).to_integral_value(rounding=ROUND_CEILING)
    metered = any(rate.unit in _METERED for rate in price.rates)
    return Cost(micros=int(micros), source="metered" if metered else "price_table")


def estimate_cost(price: Price | None, *, images: int, megapixels: float) -> Cost:
    """Return the expected cost of a call; unknown without a price.

    Args:
        megapixels: Total of all images, in millions of pixels.
    """
    tokens: dict[str, int] = {}
    if price is not None:
        tokens = {kind: each * images for kind, each in price.expected_tokens.items()}
    used = Used(images=images, megapixels=megapixels, tokens=tokens or None)
    return calculate_cost(price, used)


def measure_usage(
    reported: Used,
    *,
    images: int | None,
    megapixels: float | None,
    seconds: float | None,
) -> Used:
    """Return the consumption of a call: reported values, else measured ones.

    Args:
        images, megapixels: None if they cannot be measured.
        seconds: Duration, if time is charged.
    """
    return msgspec.structs.replace(
        reported,
        images=images if reported.images is None else reported.images,
        megapixels=megapixels if reported.megapixels is None else reported.megapixels,
        seconds=seconds if reported.seconds is None else reported.seconds,
    )


def _select_tier(
    tiers: Sequence[ListedPrice], parameters: Mapping[str, object]
) -> ListedPrice | None:
    """Return the tier selected by parameters, else by size, else the default."""
    allowed = [tier for tier in tiers if _allows(tier, parameters)]
    selected = [tier for tier in allowed if tier.when.keys() <= parameters.keys()]
    if len(selected) == 1:
        return selected[0]
    allowed, size = selected or allowed, parameters.get("size")
    if isinstance(size, Size):
        megapixels = size.megapixels
        reached = [tier for tier in allowed if tier.from_megapixels <= megapixels]
        if reached:
            return max(reached, key=lambda tier: tier.from_megapixels)
    default = next((tier for tier in allowed if tier.default), None)
    return default or next(iter(selected), None)


def _allows(tier: ListedPrice, parameters: Mapping[str, object]) -> bool:
    return all(
        str(parameters[name]) in values
        for name, values in tier.when.items()
        if name in parameters
    )


def _amount(rate: Rate, price: Price, used: Used) -> float | None:
    if rate.unit == "per_token":
        return _tokens(rate, price, used)
    return {
        "per_call": used.calls,
        "per_image": used.images,
        "per_megapixel": used.megapixels,
        "per_second": used.seconds,
    }[rate.unit]


def _tokens(rate: Rate, price: Price, used: Used) -> int | None:
    """Return the number of tokens of the rate's kind; None if unknown."""
    # If none of the reported kinds has a price, the vendor uses other names.
    kinds = {other.kind for other in price.rates if other.unit == "per_token"}
    if used.tokens is None or (used.tokens and kinds.isdisjoint(used.tokens)):
        return None
    return used.tokens.get(rate.kind, 0)
