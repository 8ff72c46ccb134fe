"""What the user is told about costs and outputs that imagen cannot take as they are."""

import json
from typing import Any

import pytest

from tests.e2e.test_paid import Customer, customer, server
from tests.integration.replicate.models import SKETCH
from tests.integration.replicate.server import ReplicateServer
from tests.integration.replicate.test_money import SAFETY_LINE
from tests.integration.replicate.trouble import NSFW

__all__ = ["customer", "server"]  # fixtures


def sidecar(customer: Customer) -> Any:
    [path] = customer.images.glob("*.json")
    return json.loads(path.read_bytes())


def test_a_withheld_image_has_an_unknown_cost_that_is_counted(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(ends="failed", error=NSFW)

    made = customer.generate()

    assert made.code == 4
    assert "Its cost is unknown; the expected cost was $0.003." in made.err
    assert customer.ledger == [("failed", None)]
    [week] = customer.run("usage", "--json").objects
    assert (week["calls"], week["unknown"], week["cost_usd"]) == (1, 1, None)


def test_a_black_image_is_stored_and_the_warning_is_shown_and_recorded(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(file="black", logs=SAFETY_LINE)

    made = customer.generate("--json")

    assert made.code == 0
    assert len(customer.stored) == 1
    assert made.err.count("the image is all black") == 1
    for note in (sidecar(customer), made.objects[0]):
        assert any("the image is all black" in each for each in note["warnings"])


def test_a_figure_out_of_proportion_is_shown_and_recorded(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(metrics={"predict_time": 0.5, "image_count": 1e12})

    made = customer.generate()

    assert made.code == 0
    assert "out of proportion; the expected cost was $0.003" in made.err
    assert customer.ledger == [("ok", None)]
    assert sidecar(customer)["cost_source"] == "unknown"


@pytest.mark.parametrize(
    ("example", "words"),
    [("x.svg", "returns SVG images"), ("x.mp4", "returns video/mp4 files")],
)
def test_the_kind_of_output_is_told_before_anything_is_sent(
    customer: Customer, server: ReplicateServer, example: str, words: str
) -> None:
    server.models[SKETCH].example = f"https://replicate.delivery/{example}"
    model = ("--model", SKETCH)

    estimate = customer.generate(*model, "--estimate")
    listed = customer.generate(*model, "--estimate", "--json")

    assert server.orders == []
    assert f"notes: {SKETCH} {words}" in estimate.out
    assert words in listed.objects[0]["notes"][0]
    assert words in customer.generate(*model).err
