"""Sentences about the cost of a call, for error messages."""

from imagen.domain.money.budget import format_micros
from imagen.domain.money.cost import Cost


def describe_open_cost(reserved: int | None) -> str:
    """Return a sentence about an open call that may cost money.

    Args:
        reserved: Expected cost in micro-dollars; None if unknown.
    """
    if reserved is None:
        return "It may have been billed."
    return f"It may have been billed, with {format_micros(reserved)}."


def describe_final_cost(cost: Cost, *, reserved: int | None) -> str:
    """Return a sentence about the cost of a call that ended without an image.

    Args:
        cost: The cost.
        reserved: Expected cost in micro-dollars; None if unknown.
    """
    if cost.micros is not None:
        return f"It cost {format_micros(cost.micros)}."
    if reserved is None:
        return "Its cost is unknown."
    return f"Its cost is unknown; the expected cost was {format_micros(reserved)}."
