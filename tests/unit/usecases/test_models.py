"""The models of a backend: what each costs, what it can do, when it ends."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import ImagenError, Misconfigured, Unavailable
from imagen.domain.instance import Instance
from imagen.domain.money.price import ListedPrice, Price, Rate
from imagen.domain.shutdown import ModelShutdown
from imagen.ports.backend import ImageBackend, Readiness
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import FakeClock, ScriptedBackend
from imagen.usecases.models import BackendModels, ListModels

CAN = Capabilities(
    model="a",
    models=("b",),
    largest_seed=9,
    negative=True,
    references=2,
    provider="shop",
)


class Shop(ScriptedBackend):
    """A backend with these capabilities; `own` are those of single models."""

    def __init__(self, can: Capabilities = CAN) -> None:
        super().__init__()
        self.can = can

    def capabilities(self) -> Capabilities:
        return self.can


class AskedShop(Shop):
    """A backend that looks its models up."""

    def __init__(self, **own: Capabilities | ImagenError) -> None:
        super().__init__()
        self.own = own
        self.asked: list[str] = []
        self.checked = 0

    def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
        self.asked.append(model)
        found = self.own.get(model, self.can)
        if isinstance(found, ImagenError):
            raise found
        return found

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        self.checked += 1
        return (Readiness(name="account", ready=True),)


def listed(model: str, usd: str) -> ListedPrice:
    rate = Rate(unit="per_image", usd=Decimal(usd))
    return ListedPrice(provider="shop", model=model, price=Price(rates=(rate,)))


PRICES = (listed("a", "0.05"), listed("a", "0.2"), listed("b", "0.01"))


def found_in(
    backend: ImageBackend | ImagenError,
    *,
    refresh: bool = False,
    price: Price | None = None,
    end: ModelShutdown | None = None,
) -> BackendModels:
    def build() -> ImageBackend:
        if isinstance(backend, ImagenError):
            raise backend
        return backend

    use_case = ListModels(
        prices=PRICES,
        shutdown_of=lambda *names: end if end and end.applies_to(*names) else None,
        clock=FakeClock(),
        refresh=refresh,
    )
    return use_case.run(Instance(name="box", adapter="fake", price=price), build)


def test_every_model_has_its_price_and_abilities() -> None:
    found = found_in(Shop())

    assert (found.backend, found.adapter, found.problem) == ("box", "fake", "")
    assert [(each.model, each.default, each.price) for each in found.models] == [
        ("a", True, "$0.05 to $0.20 an image"),
        ("b", False, "$0.01 an image"),
    ]
    assert found.models[0].abilities == (
        "seed",
        "negative prompt",
        "2 reference images",
    )
    assert not found.any_model


@pytest.mark.parametrize(
    ("can", "price", "expected"),
    [
        ({"may_cost": False}, None, (False, "")),
        ({"may_cost": False}, listed("", "0.07").price, (True, "$0.07 an image")),
        ({"model": "unknown"}, None, (True, "")),
        ({"model": "b:7"}, None, (True, "$0.01 an image")),
        ({"prices": (listed("a", "3"),)}, None, (True, "$3.00 an image")),
    ],
)
def test_the_price_is_that_of_the_config_of_the_vendor_or_of_the_table(
    can: dict[str, object], price: Price | None, expected: tuple[bool, str]
) -> None:
    found = found_in(Shop(msgspec.structs.replace(CAN, **can)), price=price)

    assert (found.models[0].may_cost, found.models[0].price) == expected


def test_prices_by_token_are_in_the_order_of_what_an_image_costs() -> None:
    rate = Rate(unit="per_token", usd=Decimal("0.00001"), kind="output_image")
    high, low = (
        ListedPrice(
            provider="shop",
            model="a",
            price=Price(rates=(rate,), expected_tokens={"output_image": tokens}),
        )
        for tokens in (7000, 300)
    )
    found = found_in(Shop(msgspec.structs.replace(CAN, prices=(high, low))))

    assert found.models[0].price == "about $0.003 to $0.07 an image, by tokens"


def test_a_model_that_ends_has_its_date_and_successor() -> None:
    day = date(2027, 1, 1)
    end = ModelShutdown(provider="shop", model="b", day=day, successor="c")

    first, second = found_in(Shop(), end=end).models

    assert (first.shutdown, first.successor) == (None, "")
    assert (second.shutdown, second.successor) == (day, "c")


def test_a_backend_is_asked_for_what_it_must_look_up() -> None:
    shop = AskedShop(b=msgspec.structs.replace(CAN, steps=True))

    found = found_in(shop)

    assert (shop.asked, shop.checked) == (["a", "b"], 0)
    assert "steps" not in found.models[0].abilities
    assert "steps" in found.models[1].abilities


def test_refresh_lets_the_backend_look_anew() -> None:
    shop = AskedShop()

    found_in(shop, refresh=True)

    assert shop.checked == 1


def test_a_backend_that_is_down_is_described_as_far_as_it_is_known() -> None:
    shop = AskedShop(a=Unavailable("It is down.", hint="Start it."))

    found = found_in(shop)

    assert found.problem == "It is down. Start it."
    assert [each.model for each in found.models] == ["a", "b"]
    assert shop.asked == ["a"]


def test_a_backend_that_cannot_be_built_has_no_models() -> None:
    found = found_in(Misconfigured("No such file."))

    assert (found.models, found.problem) == ((), "No such file.")


def test_a_backend_that_takes_any_name_says_so() -> None:
    found = found_in(Shop(msgspec.structs.replace(CAN, models=None)))

    assert found.any_model
    assert [each.model for each in found.models] == ["a"]
