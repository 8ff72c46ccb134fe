from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.money.cost import (
    FREE,
    Cost,
    format_cost,
    format_usd,
    micros_to_usd,
    split_cost,
    usd_to_micros,
)


@given(st.integers(0, 10**12), st.integers(1, 1000))
def test_the_shares_are_the_whole(micros: int, parts: int) -> None:
    shares = split_cost(Cost(micros=micros, source="metered"), parts=parts)

    amounts = [share.micros for share in shares if share.micros is not None]
    assert len(amounts) == parts
    assert sum(amounts) == micros
    assert max(amounts) - min(amounts) <= 1
    assert {share.source for share in shares} == {"metered"}


def test_an_unknown_cost_has_unknown_shares() -> None:
    assert split_cost(Cost(), parts=3) == (Cost(),) * 3


@pytest.mark.parametrize(
    ("cost", "usd"),
    [(Cost(), None), (FREE, 0.0), (Cost(micros=2_500_000), 2.5)],
)
def test_is_shown_in_dollars(cost: Cost, usd: float | None) -> None:
    assert cost.usd == usd


@pytest.mark.parametrize(
    ("usd", "shown"), [(0.000003, "$0.000003"), (0.5, "$0.50"), (None, "")]
)
def test_the_cost_of_an_image_has_no_exponent(usd: float | None, shown: str) -> None:
    assert format_cost(usd) == shown


def test_unknown_is_not_nothing() -> None:
    assert Cost().micros is None
    assert FREE.micros == 0


@pytest.mark.parametrize(
    ("usd", "written"),
    [
        ("0", "$0.00"),
        ("0.5", "$0.50"),
        ("0.0030", "$0.003"),
        ("1E+2", "$100.00"),
        ("3E-8", "$0.00000003"),
    ],
)
def test_is_written_as_people_write_it(usd: str, written: str) -> None:
    assert format_usd(Decimal(usd)) == written


@pytest.mark.parametrize(
    ("usd", "micros"), [("0", 0), ("0.000001", 1), ("20.0", 20_000_000)]
)
def test_dollars_are_so_many_micro_dollars(usd: str, micros: int) -> None:
    assert usd_to_micros(Decimal(usd)) == micros
    assert micros_to_usd(micros) == Decimal(usd)


@pytest.mark.parametrize("usd", ["-1", "0.0000001", "NaN", "Infinity"])
def test_no_amount_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid amount .*: use 0 or more dollars"):
        usd_to_micros(Decimal(usd))
