import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.errors import InvalidRequest
from imagen.domain.seed import (
    LARGEST_DRAWN_SEED,
    LARGEST_SEED,
    choose_seed,
    validate_seed,
    wrap_seed,
)

limits = st.integers(1, LARGEST_SEED)
seeds = st.integers(1, LARGEST_SEED)


def lowest(bound: int) -> int:
    return bound - bound


def highest(bound: int) -> int:
    return bound - 1


@pytest.mark.parametrize("seed", [0, 1, 2**31, LARGEST_SEED])
def test_takes_every_seed_there_is(seed: int) -> None:
    assert validate_seed(seed) == seed


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1])
def test_refuses_what_is_no_seed(seed: int) -> None:
    with pytest.raises(InvalidRequest, match=r"The seed .* is out of range") as refused:
        validate_seed(seed)

    assert "2^64-1" in refused.value.hint


def test_draws_from_one_to_two_to_the_31_less_one() -> None:
    drawn = [
        choose_seed(0, limit=LARGEST_SEED, random_int=dice)
        for dice in (lowest, highest)
    ]

    assert drawn == [1, LARGEST_DRAWN_SEED]
    assert LARGEST_DRAWN_SEED == 2**31 - 1


def test_draws_no_more_than_the_backend_takes() -> None:
    assert choose_seed(0, limit=99, random_int=highest) == 99


@given(seeds)
def test_keeps_the_seed_that_was_asked_for(seed: int) -> None:
    assert choose_seed(seed, limit=LARGEST_SEED, random_int=lowest) == seed


@given(seeds, limits)
def test_is_never_above_the_limit(seed: int, limit: int) -> None:
    assert 1 <= wrap_seed(seed, limit=limit) <= limit


@given(limits)
def test_one_follows_the_highest(limit: int) -> None:
    assert wrap_seed(limit + 1, limit=limit) == 1
