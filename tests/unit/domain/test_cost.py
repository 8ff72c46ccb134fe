import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.cost import NOTHING, Cost, split_evenly


@given(st.integers(0, 10**12), st.integers(1, 1000))
def test_the_shares_are_the_whole(micros: int, parts: int) -> None:
    shares = split_evenly(Cost(micros=micros, source="metered"), parts=parts)

    amounts = [share.micros for share in shares if share.micros is not None]
    assert len(amounts) == parts
    assert sum(amounts) == micros
    assert max(amounts) - min(amounts) <= 1
    assert {share.source for share in shares} == {"metered"}


def test_an_unknown_cost_has_unknown_shares() -> None:
    assert split_evenly(Cost(), parts=3) == (Cost(),) * 3


@pytest.mark.parametrize(
    ("cost", "usd"),
    [(Cost(), None), (NOTHING, 0.0), (Cost(micros=2_500_000), 2.5)],
)
def test_is_shown_in_dollars(cost: Cost, usd: float | None) -> None:
    assert cost.usd == usd


def test_unknown_is_not_nothing() -> None:
    assert Cost().micros is None
    assert NOTHING.micros == 0
