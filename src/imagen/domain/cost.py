"""What an image costs, exactly: whole micro-dollars, never floating point."""

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


NOTHING = Cost(micros=0, source="reported")
"""What a backend reports that charges nothing."""


def split_evenly(cost: Cost, *, parts: int) -> tuple[Cost, ...]:
    """Return the shares of one call's images; together they are the whole."""
    if cost.micros is None:
        return (cost,) * parts
    share, rest = divmod(cost.micros, parts)
    return tuple(
        Cost(micros=share + (number < rest), source=cost.source)
        for number in range(parts)
    )
