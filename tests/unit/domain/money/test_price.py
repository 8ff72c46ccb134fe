from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.capabilities import Capabilities
from imagen.domain.consumption import UNTOUCHED, Used
from imagen.domain.errors import InvalidRequest
from imagen.domain.instance import Instance
from imagen.domain.money.cost import Cost
from imagen.domain.money.price import (
    ListedPrice,
    Price,
    Rate,
    Unit,
    calculate_cost,
    estimate_cost,
    find_price,
    measure_usage,
)
from imagen.domain.plan import plan_images
from imagen.domain.request import GenerationRequest
from imagen.domain.size import Size, SizeRule

ONE_OF_EACH = Used(
    images=1, megapixels=1, seconds=1, tokens={"output_image": 1, "input_text": 1}
)


def price(*, kind: str = "output_image", **rates: str) -> Price:
    """Return `price(per_image="0.04")`."""
    return Price(
        rates=tuple(
            Rate(unit=unit, usd=Decimal(rates[unit]), kind=kind * (unit == "per_token"))
            for unit in get_args(Unit)
            if unit in rates
        )
    )


def listed(usd: str, model: str = "a/b", **tier: object) -> ListedPrice:
    tier = {"provider": "shop", **tier}
    return ListedPrice(model=model, price=price(per_image=usd), **tier)  # type: ignore[arg-type]


CENT = price(per_image="0.01")

dollars = st.decimals(min_value=0, max_value=10**6, places=9)
amounts = st.floats(min_value=0, max_value=10**9)
counts = st.integers(0, 10**9)
uses = st.builds(
    Used,
    calls=st.integers(0, 10),
    images=st.none() | counts,
    megapixels=st.none() | amounts,
    seconds=st.none() | amounts,
    tokens=st.none()
    | st.dictionaries(st.sampled_from(["output_image", "input_text"]), counts),
)
prices = st.dictionaries(
    st.sampled_from(get_args(Unit)), dollars.map(str), min_size=1
).map(lambda rates: price(**rates))


@given(prices, uses)
def test_a_cost_is_unknown_or_the_exact_sum_rounded_up(
    price: Price, used: Used
) -> None:
    said: dict[str, float | None] = {
        "per_call": used.calls,
        "per_image": used.images,
        "per_megapixel": used.megapixels,
        "per_second": used.seconds,
        "per_token": used.tokens and used.tokens.get("output_image"),
    }
    if used.tokens == {}:
        said["per_token"] = 0

    cost = calculate_cost(price, used)

    if any(said[rate.unit] is None for rate in price.rates):
        assert cost == Cost()
    else:
        exact = sum(
            Fraction(rate.usd) * Fraction(str(said[rate.unit])) for rate in price.rates
        )
        assert cost.micros is not None
        assert 0 <= cost.micros - exact * 1_000_000 < 1


@given(uses)
def test_without_a_price_a_cost_is_unknown_and_never_nothing(used: Used) -> None:
    assert calculate_cost(None, used) == Cost()


@pytest.mark.parametrize("unit", get_args(Unit)[1:])
def test_what_nobody_says_makes_a_cost_unknown_and_never_nothing(unit: str) -> None:
    assert calculate_cost(price(**{unit: "0"}), Used()) == Cost()


@pytest.mark.parametrize("nonsense", [-1, -0.001, nan, inf, -inf])
def test_an_amount_that_is_none_makes_a_cost_unknown(nonsense: float) -> None:
    assert calculate_cost(price(per_second="1"), Used(seconds=nonsense)) == Cost()


def test_tokens_of_a_kind_that_is_not_named_were_not_used() -> None:
    both = Price(
        rates=(
            Rate(unit="per_token", usd=Decimal("0.00001"), kind="input_text"),
            Rate(unit="per_token", usd=Decimal("0.00004"), kind="output_image"),
        )
    )

    assert calculate_cost(both, Used(tokens={"output_image": 100})).micros == 4000


def test_tokens_of_other_kinds_alone_say_nothing() -> None:
    assert (
        calculate_cost(price(per_token="0.001"), Used(tokens={"total": 100})) == Cost()
    )


@pytest.mark.parametrize("unit", get_args(Unit))
def test_a_call_that_was_never_taken_costs_nothing(unit: str) -> None:
    assert calculate_cost(price(**{unit: "5"}), UNTOUCHED).micros == 0


@pytest.mark.parametrize(
    ("rates", "used", "micros"),
    [
        ({"per_image": "0.003"}, Used(images=4), 12_000),
        ({"per_call": "0.015", "per_megapixel": "0.015"}, ONE_OF_EACH, 30_000),
        ({"per_megapixel": "0.015"}, Used(megapixels=1.048576), 15_729),
        ({"per_second": "0.001525"}, Used(seconds=2.000001), 3_051),
        ({"per_token": "0.00000003"}, ONE_OF_EACH, 1),
        ({"per_image": "0.1"}, Used(images=3), 300_000),
    ],
)
def test_rates_add_up_and_are_rounded_up(
    rates: Mapping[str, str], used: Used, micros: int
) -> None:
    assert calculate_cost(price(**rates), used).micros == micros


@pytest.mark.parametrize("unit", get_args(Unit))
def test_what_is_measured_is_called_metered(unit: str) -> None:
    measured = unit in {"per_second", "per_token"}

    cost = calculate_cost(price(**{unit: "1"}), ONE_OF_EACH)

    assert cost.source == ("metered" if measured else "price_table")


BY_TOKEN = msgspec.structs.replace(
    price(per_token="0.00003"), expected_tokens={"output_image": 1120}
)


def test_a_price_per_token_is_an_estimate_by_the_tokens_of_an_image() -> None:
    cost = estimate_cost(BY_TOKEN, images=2, megapixels=2)

    assert (cost.micros, cost.source) == (67_200, "metered")
    assert BY_TOKEN.words == "about $0.0336 an image, by tokens"


def test_a_price_per_token_is_unknown_before_the_call_without_expected_tokens() -> None:
    unknown = price(per_token="0.00003")

    assert estimate_cost(unknown, images=1, megapixels=1) == Cost()
    assert unknown.words == "$30.00 a million output_image tokens"


def test_the_tokens_that_were_used_decide_after_the_call() -> None:
    assert calculate_cost(BY_TOKEN, Used(images=1)) == Cost()
    assert calculate_cost(BY_TOKEN, Used(tokens={"output_image": 100})).micros == 3_000


@pytest.mark.parametrize("usd", ["-0.01", "NaN", "Infinity", "sNaN"])
def test_a_rate_is_0_or_more(usd: str) -> None:
    with pytest.raises(InvalidRequest, match="number of dollars"):
        price(per_image=usd)


def test_a_price_without_rates_would_cost_nothing_and_is_none() -> None:
    with pytest.raises(InvalidRequest, match="at least one rate"):
        Price(rates=())


@pytest.mark.parametrize(
    ("as_of", "since"),
    [
        ("2026-10-08", date(2026, 10, 8)),
        ("2026-02", date(2026, 2, 1)),
        ("2025", date(2025, 1, 1)),
        ("", None),
    ],
)
def test_a_date_means_its_first_day(as_of: str, since: date | None) -> None:
    assert Price(rates=CENT.rates, as_of=as_of).since == since


@pytest.mark.parametrize("as_of", ["May", "2026-13", "2026-02-30", "26", "2026-5"])
def test_what_is_no_date_is_refused(as_of: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid date"):
        Price(rates=CENT.rates, as_of=as_of)


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ({"per_image": "0.3"}, "$0.30 an image"),
        (
            {"per_call": "0.015", "per_megapixel": "1E-2"},
            "$0.015 a call + $0.01 a megapixel",
        ),
        ({"per_second": "0.000225"}, "$0.000225 a second"),
        ({"per_token": "0.00003"}, "$30.00 a million output_image tokens"),
    ],
)
def test_says_itself_as_people_do(rates: Mapping[str, str], words: str) -> None:
    assert price(**rates).words == words


def test_a_tier_says_when_it_holds() -> None:
    when = {"resolution": ("1K", "2K")}

    assert listed("0.3", when=when).words == "1K or 2K: $0.30 an image"
    assert listed("0.3", when=when, default=True).words == (
        "1K or 2K (default): $0.30 an image"
    )


TABLE = (
    listed("0.1"),
    listed("0.9", provider="other"),
    listed("0.2", "hardware:h100"),
    listed("1", "t/t", when={"resolution": ("1K",)}, default=True, from_megapixels=0),
    listed("2", "t/t", when={"resolution": ("2K", "2k")}, from_megapixels=2.1),
    listed("4", "t/t", when={"resolution": ("4K",)}, from_megapixels=8.4),
    listed("5", "fast/or-not", when={"fast": ("True",)}),
    listed("6", "fast/or-not", when={"fast": ("False",)}, default=True),
    listed("7", "no/default", when={"quality": ("low",)}),
)


@pytest.mark.parametrize(
    ("provider", "model", "parameters", "usd"),
    [
        ("shop", "a/b", {}, "0.1"),
        ("other", "a/b", {}, "0.9"),
        ("shop", "a/b:5f2c", {"resolution": "4K"}, "0.1"),
        ("shop", "hardware:h100", {}, "0.2"),
        ("shop", "hardware:h200", {}, None),
        ("shop", "a/c", {}, None),
        ("shop", "", {}, None),
        ("", "a/b", {}, None),
        ("shop", "t/t", {}, "1"),
        ("shop", "t/t", {"resolution": "2k"}, "2"),
        ("shop", "t/t:1", {"resolution": "4K"}, "4"),
        ("shop", "t/t", {"resolution": "8K"}, None),
        ("shop", "t/t", {"size": Size(1024, 1024)}, "1"),
        ("shop", "t/t", {"size": Size(2048, 2048)}, "2"),
        ("shop", "t/t", {"size": Size(4096, 4096)}, "4"),
        ("shop", "t/t", {"size": Size(4096, 4096), "resolution": "1K"}, "1"),
        ("shop", "t/t", {"size": Size(64, 64), "resolution": "8K"}, None),
        ("shop", "t/t", {"size": "4K"}, "1"),
        ("shop", "fast/or-not", {"fast": True}, "5"),
        ("shop", "fast/or-not", {"size": Size(4096, 4096)}, "6"),
        ("shop", "no/default", {}, None),
        ("shop", "no/default", {"quality": "low"}, "7"),
    ],
)
def test_finds_the_price_of_the_tier(
    provider: str, model: str, parameters: Mapping[str, object], usd: str | None
) -> None:
    found = find_price(TABLE, provider, model, parameters)

    assert found == (None if usd is None else price(per_image=usd))


def test_a_plan_asks_for_the_price_of_what_it_sends() -> None:
    asked: list[object] = []

    def price_of(
        provider: str, model: str, parameters: Mapping[str, object]
    ) -> Price | None:
        asked.append((provider, model, parameters))
        return CENT

    plan = plan_images(
        GenerationRequest(prompt="a cat", size=Size(100, 100), options={"fast": True}),
        instance=Instance(name="x", adapter="x"),
        capabilities=Capabilities(
            provider="shop", model="t/t", sizes=SizeRule(multiple=64), parameters=None
        ),
        random_int=lambda bound: 0,
        now=datetime(2026, 11, 22, tzinfo=UTC),
        price_of=price_of,
    )

    assert plan.price == CENT
    assert asked == [("shop", "t/t", {"size": Size(128, 128), "fast": True})]


def test_a_price_that_the_vendor_publishes_goes_before_the_table() -> None:
    def plan(model: str) -> Price | None:
        return plan_images(
            GenerationRequest(prompt="a cat", model=model),
            instance=Instance(name="x", adapter="x"),
            capabilities=Capabilities(provider="shop", models=None, prices=TABLE),
            random_int=lambda bound: 0,
            now=datetime(2026, 11, 22, tzinfo=UTC),
            price_of=lambda provider, model, parameters: CENT,
        ).price

    assert plan("a/b") == price(per_image="0.1")
    assert plan("a/c") == CENT


def test_what_the_backend_says_goes_before_what_is_seen() -> None:
    silent = measure_usage(Used(), images=2, megapixels=3.5, seconds=None)
    talking = measure_usage(ONE_OF_EACH, images=2, megapixels=3.5, seconds=4)

    assert silent == Used(images=2, megapixels=3.5)
    assert talking == ONE_OF_EACH
