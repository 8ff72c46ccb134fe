"""A cost that nobody can know, or that cannot be right, is recorded as unknown."""

from decimal import Decimal

import msgspec
import pytest
from tests.unit.usecases.scenes import FIVE_CENTS, PaidScene
from tests.unit.usecases.test_extras import BATCHES, outputs, sidecars

from imagen.domain.consumption import Used
from imagen.domain.errors import BackendError, OverBudget, Refused
from imagen.domain.money.budget import Budget
from imagen.domain.money.cost import Cost
from imagen.domain.money.price import Price, Rate
from imagen.domain.result import Generated

BY_TIME = Price(rates=(Rate(unit="per_second", usd=Decimal("0.001")),))
BY_SIZE = Price(rates=(Rate(unit="per_megapixel", usd=Decimal("0.05")),))


def reported(micros: int) -> Generated:
    return outputs(1, cost=Cost(micros=micros, source="reported"))


def used(**figures: object) -> Generated:
    return msgspec.structs.replace(outputs(1), used=Used(**figures))  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [Refused, BackendError])
@pytest.mark.parametrize(
    ("price", "seconds", "cost"),
    [
        (FIVE_CENTS, 2.0, None),
        (BY_SIZE, 2.0, None),
        (BY_TIME, 2.0, 2_000),
        (BY_TIME, None, None),
    ],
)
def test_a_failed_call_costs_what_the_vendor_reports(
    error: type[BackendError], price: Price, seconds: float | None, cost: int | None
) -> None:
    scene = PaidScene(error("Withheld.", used=Used(seconds=seconds)), price=price)

    scene.run()

    assert scene.ledger == [("failed", cost)]


def test_a_failed_call_of_unknown_cost_keeps_its_place_in_the_budget() -> None:
    withheld = Refused("Withheld.", used=Used())
    scene = PaidScene(withheld, outputs(1), budgets=(Budget(day=90_000),))
    scene.run()

    with pytest.raises(OverBudget, match=r"has \$0\.04 left"):
        scene.run()


def test_images_that_are_missing_leave_the_cost_unknown() -> None:
    scene = PaidScene(outputs(2), can=BATCHES)

    scene.run(count=3)

    assert scene.ledger == [("ok", None)]
    assert [each.cost_usd for each in sidecars(scene)] == [None, None]
    warning = "Its cost is unknown; the expected cost was $0.15."
    assert warning in scene.warnings
    assert warning in sidecars(scene)[-1].warnings


def test_the_number_of_images_that_the_vendor_charges_is_believed() -> None:
    charged = msgspec.structs.replace(outputs(2), used=Used(images=2))
    scene = PaidScene(charged, can=BATCHES)

    scene.run(count=3)

    assert scene.ledger == [("ok", 100_000)]


@pytest.mark.parametrize(
    ("answer", "price"),
    [
        (reported(10**21), FIVE_CENTS),
        (reported(5_000_001), FIVE_CENTS),
        (reported(-1), FIVE_CENTS),
        (used(images=10**9), FIVE_CENTS),
        (used(images=10**400), FIVE_CENTS),
        (used(images=-1), FIVE_CENTS),
        (used(megapixels=float("nan")), BY_SIZE),
        (used(megapixels=float("inf")), BY_SIZE),
        (reported(10**21), None),
        (used(seconds=1e9), BY_TIME),
        (used(seconds=1e300), BY_TIME),
    ],
)
def test_a_cost_out_of_proportion_is_recorded_as_unknown_with_a_warning(
    answer: Generated, price: Price | None
) -> None:
    scene = PaidScene(answer, price=price)

    [image] = scene.run().stored

    assert scene.ledger == [("ok", None)]
    assert (image.sidecar.cost_usd, image.sidecar.cost_source) == (None, "unknown")
    [warning] = image.sidecar.warnings
    assert "unknown" in warning
    assert scene.warnings == [warning]


@pytest.mark.parametrize(
    ("answer", "price", "cost"),
    [
        (reported(5_000_000), FIVE_CENTS, 5_000_000),
        (
            reported(900_000),
            Price(rates=(Rate(unit="per_image", usd=Decimal("0.001")),)),
            900_000,
        ),
        (reported(100_000_000), None, 100_000_000),
        (used(seconds=90_000), BY_TIME, 90_000_000),
        (reported(0), FIVE_CENTS, 0),
    ],
)
def test_a_cost_within_proportion_is_believed(
    answer: Generated, price: Price | None, cost: int
) -> None:
    scene = PaidScene(answer, price=price)

    scene.run()

    assert scene.ledger == [("ok", cost)]
    assert scene.warnings == []


def test_a_failed_call_has_no_cost_out_of_proportion() -> None:
    scene = PaidScene(Refused("Withheld.", used=Used(images=10**9)))

    scene.run()

    assert scene.ledger == [("failed", None)]
    assert any("out of proportion" in warning for warning in scene.warnings)


@pytest.mark.parametrize("steps", [10**12, -1])
@pytest.mark.parametrize("seed", [2**64, -1])
def test_steps_and_seeds_that_cannot_be_are_not_recorded(steps: int, seed: int) -> None:
    answer = outputs(1)
    [image] = answer.images
    odd = msgspec.structs.replace(image, seed=seed)
    scene = PaidScene(msgspec.structs.replace(answer, images=(odd,), steps=steps))

    scene.run(seed=7, steps=3)

    [note] = sidecars(scene)
    assert (note.seed, note.steps) == (7, 3)


def test_what_a_backend_says_about_an_image_is_recorded() -> None:
    answer = outputs(1)
    [image] = answer.images
    noted = msgspec.structs.replace(image, warnings=("it is all black",))
    scene = PaidScene(msgspec.structs.replace(answer, images=(noted,)))

    [stored] = scene.run().stored

    assert stored.sidecar.warnings == ("it is all black",)
    assert scene.warnings == ["it is all black"]
