"""Which draw of the dice an image comes from."""

from collections.abc import Callable
from typing import TypeAlias

from imagen.domain.errors import InvalidRequest

RandomInt: TypeAlias = Callable[[int], int]
"""Give a whole number from 0 up to, and without, the bound."""

LARGEST_SEED = 2**64 - 1
LARGEST_DRAWN_SEED = 2**31 - 1
"""Every known backend takes seeds up to here (ideogram on Replicate no higher)."""


def validate_seed(seed: int) -> int:
    """Return the seed if it can be one.

    Raises:
        InvalidRequest: it is negative or above 2^64-1.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise InvalidRequest(
            f"{seed} is not a seed.",
            hint="A seed goes from 1 to 2^64-1; 0 lets imagen draw one.",
        )
    return seed


def choose_seed(requested: int, *, limit: int, random_int: RandomInt) -> int:
    """Return the seed that was asked for, or draw one; never above the limit."""
    if requested == 0:
        return 1 + random_int(min(limit, LARGEST_DRAWN_SEED))
    return wrap_seed(requested, limit=limit)


def build_seed_series(first: int, count: int, *, limit: int) -> tuple[int, ...]:
    """Return `count` seeds that follow on from the first, wrapping at the limit."""
    return tuple(wrap_seed(first + step, limit=limit) for step in range(count))


def wrap_seed(seed: int, *, limit: int) -> int:
    """Return the seed brought into 1..limit."""
    return (seed - 1) % limit + 1
