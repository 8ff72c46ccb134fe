"""What an image costs, exactly: whole micro-dollars, never floating point."""

from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

MICROS = 1_000_000
"""Micro-dollars in a dollar."""

CostSource: TypeAlias = Literal["reported", "metered", "price_table", "unknown"]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """An amount and where it comes from; an unknown amount is None, never 0.

    Attributes:
        micros: Millionths of a US dollar.
        source: `reported` by the backend, `metered` from what it says it used,
            from the `price_table`, or `unknown`.
    """

    micros: int | None = None
    source: CostSource = "unknown"

    @property
    def usd(self) -> float | None:
        """The amount in dollars, to be shown or encoded; never to be added up."""
        return None if self.micros is None else self.micros / MICROS


FREE = Cost(micros=0, source="reported")
"""What a backend reports that charges nothing."""


def usd_to_micros(usd: Decimal) -> int:
    """Return an amount of dollars in micro-dollars, exactly.

    Raises:
        ValueError: it is below nothing, no number, or finer than a micro-dollar.
    """
    micros = usd * MICROS if usd.is_finite() else Decimal(-1)
    if micros < 0 or micros != micros.to_integral_value():
        raise ValueError(
            f"{usd} is no amount of dollars: 0 or more, to the millionth at most."
        )
    return int(micros)


def micros_to_usd(micros: int) -> Decimal:
    """Return micro-dollars as dollars, exactly."""
    return Decimal(micros) / MICROS


def format_usd(usd: Decimal) -> str:
    """Return an amount as people write it: `$0.05`, `$0.000035`, `$12.00`."""
    whole, _, rest = f"{usd:f}".partition(".")
    return f"${whole}.{rest.rstrip('0').ljust(2, '0')}"


def split_cost(cost: Cost, *, parts: int) -> tuple[Cost, ...]:
    """Return the shares of one call's images; together they are the whole."""
    if cost.micros is None:
        return (cost,) * parts
    share, rest = divmod(cost.micros, parts)
    return tuple(
        Cost(micros=share + (number < rest), source=cost.source)
        for number in range(parts)
    )
