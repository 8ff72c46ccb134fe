"""Seeds: validation, random choice, and wrapping at the limit of a backend."""

from collections.abc import Callable
from typing import TypeAlias

from imagen.domain.errors import InvalidRequest

RandomInt: TypeAlias = Callable[[int], int]
"""Return a random integer from 0, inclusive, to the bound, exclusive."""

LARGEST_SEED = 2**64 - 1
# Every known backend accepts seeds up to here; ideogram on Replicate no larger ones.
LARGEST_DRAWN_SEED = 2**31 - 1


def validate_seed(seed: int) -> int:
    """Return the seed unchanged if it is valid.

    Raises:
        InvalidRequest: the seed is negative or above 2^64-1.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise InvalidRequest(
            f"The seed {seed} is out of range.",
            hint="Use 1 to 2^64-1, or 0 for a random seed.",
        )
    return seed


def choose_seed(requested: int, *, limit: int, random_int: RandomInt) -> int:
    """Return the requested seed, or a random one for 0; never above the limit."""
    if requested == 0:
        return 1 + random_int(min(limit, LARGEST_DRAWN_SEED))
    return wrap_seed(requested, limit=limit)


def wrap_seed(seed: int, *, limit: int) -> int:
    """Return the seed, wrapped into the range 1 to limit."""
    return (seed - 1) % limit + 1
