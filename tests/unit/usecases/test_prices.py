from datetime import UTC, datetime
from decimal import Decimal

import pytest

from imagen.domain import events
from imagen.domain.errors import InvalidRequest
from imagen.domain.money.price import ListedPrice, Price, Rate
from imagen.testing.fakes import FakeClock
from imagen.usecases.prices import DatedPrice, list_prices

TODAY = datetime(2026, 11, 22, 12, tzinfo=UTC)


def listed(model: str, as_of: str) -> ListedPrice:
    rate = Rate(unit="per_image", usd=Decimal("0.01"))
    return ListedPrice(
        provider="shop", model=model, price=Price(rates=(rate,), as_of=as_of)
    )


class Shop:
    """A table of prices, and what is heard of it."""

    def __init__(self, *table: ListedPrice) -> None:
        self.heard: list[events.Event] = []
        self.table = table

    def prices(self, part: str = "") -> tuple[DatedPrice, ...]:
        clock = FakeClock(TODAY)
        return list_prices(self.table, part, clock=clock, listen=self.heard.append)

    def ages(self, part: str = "") -> dict[str, int | None]:
        return {each.listed.model: each.age_days for each in self.prices(part)}


def test_says_how_old_a_price_may_be() -> None:
    shop = Shop(
        listed("a/today", "2026-11-22"),
        listed("a/yesterday", "2026-11-21"),
        listed("a/this-month", "2026-11"),
        listed("a/tomorrow", "2026-11-23"),
        listed("mine", ""),
    )

    assert shop.ages() == {
        "a/today": 0,
        "a/yesterday": 1,
        "a/this-month": 21,
        "a/tomorrow": 0,
        "mine": None,
    }
    assert shop.heard == []


def test_warns_once_of_prices_older_than_a_quarter() -> None:
    shop = Shop(
        listed("a/just-not", "2026-08-22"),
        listed("a/just", "2026-08-21"),
        listed("a/long", "2025"),
    )

    shop.prices()

    (heard,) = shop.heard
    assert isinstance(heard, events.Warned)
    assert heard.message.startswith("2 of 3 prices may be older than a quarter")


def test_warns_only_of_what_is_shown() -> None:
    shop = Shop(listed("a/new", "2026-11-22"), listed("a/old", "2025"))

    shop.prices("new")

    assert shop.heard == []


@pytest.mark.parametrize("part", ["flux", "FLUX", "b/f", ""])
def test_finds_a_model_by_a_part_of_its_name(part: str) -> None:
    shop = Shop(listed("b/flux-2", "2026-11-22"))

    assert shop.prices(part) == (
        DatedPrice(listed=listed("b/flux-2", "2026-11-22"), age_days=0),
    )


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        ("flx-2", "Did you mean flux-2?"),
        ("dall-e", "Run `imagen prices` to list all prices"),
    ],
)
def test_a_model_without_a_price_is_a_mistake(part: str, hint: str) -> None:
    shop = Shop(listed("b/flux-2", "2026-11-22"))

    with pytest.raises(InvalidRequest, match="No price for a model") as caught:
        shop.prices(part)

    assert caught.value.hint.startswith(hint)
