"""The schema of prices and budgets in imagen.yaml."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from imagen.domain.errors import InvalidRequest
from imagen.domain.money.budget import Budget, Unknown
from imagen.domain.money.cost import usd_to_micros
from imagen.domain.money.price import MILLION, Price, Rate, Unit


def key(description: str, example: object = None) -> Meta:
    """Return the description of a key, with an example where the default is none."""
    examples = None if example is None else [example]
    return Meta(description=description, examples=examples)


Dollars: TypeAlias = Annotated[
    float, Meta(ge=0, le=1_000_000_000, extra={"unit": "US dollars"})
]
"""An amount as YAML has it; `to_decimal` makes it exact before any arithmetic."""


def to_decimal(usd: float) -> Decimal:
    """Return an amount with the digits that the file has."""
    # Decimal(0.1) is 0.1000000000000000055...; the shortest repr is what was written.
    return Decimal(str(usd))


def to_micros(usd: float | None) -> int | None:
    """Return an amount in micro-dollars.

    Raises:
        ValueError: it is finer than a micro-dollar.
    """
    return None if usd is None else usd_to_micros(to_decimal(usd))


Limit: TypeAlias = Annotated[Dollars, Meta(extra={"check": to_micros})]
"""An amount that a budget compares with, in whole micro-dollars."""


_UNITS: tuple[Unit, ...] = ("per_call", "per_image", "per_megapixel", "per_second")


class PriceBlock(msgspec.Struct, frozen=True, kw_only=True):
    """The price of one call: the sum of its rates."""

    per_call: Dollars | None = None
    per_image: Annotated[Dollars | None, Meta(extra={"alone": True})] = None
    per_megapixel: Dollars | None = None
    per_second: Dollars | None = None
    per_million_tokens: Mapping[str, Dollars] = {}

    def __post_init__(self) -> None:
        # `price: {}` would be a price of 0 dollars, and every budget would allow it.
        if not self._rates():
            raise InvalidRequest(
                "The price has no rate.",
                hint=f"Give a number, or some of {', '.join(self.__struct_fields__)}.",
            )

    def to_price(self) -> Price:
        """Return the price with exact rates."""
        return Price(rates=self._rates(), source="config")

    def _rates(self) -> tuple[Rate, ...]:
        rates = [
            Rate(unit=unit, usd=to_decimal(usd))
            for unit in _UNITS
            if (usd := getattr(self, unit)) is not None
        ]
        rates += [
            Rate(unit="per_token", usd=to_decimal(usd) / MILLION, kind=kind)
            for kind, usd in self.per_million_tokens.items()
        ]
        return tuple(rates)


class BudgetBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of spending, each of which holds by itself."""

    call_usd: Annotated[
        Limit | None, key("The most that one call may cost, in US dollars.", 0.1)
    ] = None
    day_usd: Annotated[Limit | None, key("The most for one day (UTC).", 2)] = None
    week_usd: Annotated[Limit | None, key("The most for one ISO week (UTC).", 20)] = (
        None
    )
    # None, so that a backend without the key takes that of `budget`.
    unknown: Annotated[
        Unknown | None, key("Calls with an unknown price: refuse or allow.", "refuse")
    ] = None

    def to_budget(
        self, backend: str = "", *, caller: str = "", unknown: Unknown | None = None
    ) -> Budget:
        """Return the budget of one backend or caller; `unknown` if it has none."""
        return Budget(
            backend=backend,
            caller=caller,
            call=to_micros(self.call_usd),
            day=to_micros(self.day_usd),
            week=to_micros(self.week_usd),
            unknown=self.unknown or unknown or "refuse",
        )

    @property
    def is_set(self) -> bool:
        """Whether any key has a value."""
        keys = BudgetBlock.__struct_fields__
        return any(getattr(self, key) is not None for key in keys)


class BudgetSettings(BudgetBlock, frozen=True, kw_only=True):
    """Limits of spending for all backends together, and for single ones."""

    backends: Annotated[
        Mapping[str, BudgetBlock],
        key(
            "The same for single backends, by name; both limits hold.",
            {"mock": {"day_usd": 1}},
        ),
    ] = {}

    def to_budgets(self) -> tuple[Budget, ...]:
        """Return every budget that has a limit."""
        own = (self.to_budget(),) if self.is_set else ()
        return own + tuple(
            block.to_budget(name, unknown=self.unknown)
            for name, block in self.backends.items()
            if block.is_set
        )
