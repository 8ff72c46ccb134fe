"""Costs in whole micro-dollars, never floating point."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

# Micro-dollars in a dollar.
MICROS = 1_000_000

# A database stores micro-dollars in 64 bits.
_MAX_USD = 1_000_000_000_000

MAX_EXCESS = 100
"""How many times the expected cost, and at least $1, is still credible."""

MAX_UNEXPECTED = 100 * MICROS
"""The largest credible cost of a call without an expected one, in micro-dollars."""

CostSource: TypeAlias = Literal["reported", "metered", "price_table", "unknown"]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """An amount and its source; an unknown amount is None, never 0.

    Attributes:
        micros: Millionths of a US dollar.
        source: `reported` by the backend, `metered` from the consumption that it
            reports, from the `price_table`, or `unknown`.
    """

    micros: int | None = None
    source: CostSource = "unknown"

    @property
    def usd(self) -> float | None:
        """The amount in dollars, for display and JSON; do not calculate with it."""
        return None if self.micros is None else self.micros / MICROS


# The cost that a free backend reports.
FREE = Cost(micros=0, source="reported")


def usd_to_micros(usd: Decimal) -> int:
    """Convert dollars to micro-dollars, exactly.

    Raises:
        ValueError: the amount is negative, not finite, too large, or not a whole number
            of micro-dollars.
    """
    # copy_abs: abs() rounds, and fails on an exponent that is too large.
    if not (usd.is_finite() and usd.copy_abs() <= _MAX_USD):
        raise ValueError(
            f"Invalid amount {usd}: use 0 or more dollars, a finite number of at most "
            f"{_MAX_USD}."
        )
    micros = usd * MICROS
    if micros < 0 or micros != micros.to_integral_value():
        raise ValueError(
            f"Invalid amount {usd:f}: use 0 or more dollars with up to 6 decimals."
        )
    return int(micros)


def micros_to_usd(micros: int) -> Decimal:
    """Convert micro-dollars to dollars, exactly."""
    return Decimal(micros) / MICROS


def format_usd(usd: Decimal) -> str:
    """Return an amount for display: `$0.05`, `$0.000035`, `$12.00`."""
    whole, _, rest = f"{usd:f}".partition(".")
    return f"${whole}.{rest.rstrip('0').ljust(2, '0')}"


def format_cost(usd: float | None) -> str:
    """Return the cost of an image: `$0.05`, or "" if it is unknown."""
    return "" if usd is None else format_usd(Decimal(str(usd)))


def format_micros(micros: int) -> str:
    """Return an amount for display: `$0.05`, `$0.000035`, `$12.00`."""
    return format_usd(micros_to_usd(micros))


def describe_open_cost(reserved: int | None, *, consequence: str = "") -> str:
    """Return a sentence about an open call that may cost money.

    Args:
        reserved: Expected cost in micro-dollars; None if unknown.
        consequence: What follows from that, as a clause; "" for nothing.
    """
    amount = "" if reserved is None else f" ({format_micros(reserved)})"
    clause = f"; {consequence}" if consequence else ""
    return f"It may have been billed{amount}{clause}."


def describe_final_cost(cost: Cost, *, reserved: int | None) -> str:
    """Return a sentence about the cost of a call that ended without an image."""
    if cost.micros is not None:
        return f"It cost {format_micros(cost.micros)}."
    if reserved is None:
        return "Its cost is unknown."
    expected = format_micros(reserved)
    return f"Its cost is unknown; the expected cost was {expected}."


def check_proportion(cost: Cost, *, expected: int | None) -> tuple[Cost, str]:
    """Compare the cost of a call, by the vendor's figures, with the expected cost.

    Args:
        cost: The cost of the call.
        expected: Expected cost in micro-dollars; None if unknown.

    Returns:
        The cost and ""; or an unknown cost and a sentence, if it is out of proportion.
    """
    limit = max(MICROS, MAX_EXCESS * expected) if expected else MAX_UNEXPECTED
    if cost.micros is None or 0 <= cost.micros <= limit:
        return cost, ""
    reason = f"; the expected cost was {format_micros(expected)}" if expected else ""
    return Cost(), (
        f"a cost of {format_micros(cost.micros)} is out of proportion{reason}; "
        "it is recorded as unknown"
    )


def sum_costs(costs: Sequence[Cost]) -> Cost:
    """Return the sum of the costs; unknown if one of them is unknown."""
    known = [cost.micros for cost in costs if cost.micros is not None]
    if len(known) < len(costs):
        return Cost()
    return Cost(micros=sum(known), source=costs[0].source if costs else "unknown")


def split_cost(cost: Cost, *, parts: int) -> tuple[Cost, ...]:
    """Split the cost of a call among its images; the shares add up to the cost."""
    if cost.micros is None:
        return (cost,) * parts
    share, rest = divmod(cost.micros, parts)
    return tuple(
        Cost(micros=share + (number < rest), source=cost.source)
        for number in range(parts)
    )
