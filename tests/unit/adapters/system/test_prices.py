from collections.abc import Mapping
from decimal import Decimal
from itertools import groupby
from math import inf

import pytest

from imagen.adapters.system.prices import load_price_table, look_up_price
from imagen.domain.consumption import Used
from imagen.domain.money.price import ListedPrice, calculate_cost, estimate_cost
from imagen.domain.size import Size

MODELS = [
    list(lines)
    for _, lines in groupby(
        load_price_table(), key=lambda line: (line.provider, line.model)
    )
]


def named(lines: list[ListedPrice]) -> str:
    return lines[0].model


@pytest.mark.parametrize("lines", MODELS, ids=named)
def test_every_price_has_a_date_and_a_source(lines: list[ListedPrice]) -> None:
    for line in lines:
        assert line.price.since
        assert line.price.source
        assert all(0 < rate.usd < 1 for rate in line.price.rates)


@pytest.mark.parametrize("lines", MODELS, ids=named)
def test_every_model_has_one_price_by_default(lines: list[ListedPrice]) -> None:
    provider, model = lines[0].provider, lines[0].model

    assert look_up_price(provider, model, {}) is not None
    assert len(lines) == 1 or sum(line.default for line in lines) == 1
    assert len(lines) == 1 or all(line.when for line in lines)


@pytest.mark.parametrize("lines", MODELS, ids=named)
def test_every_tier_is_found_by_each_of_its_values(lines: list[ListedPrice]) -> None:
    for line in lines:
        size: dict[str, object] = {}
        if line.from_megapixels < inf:
            side = 1024 * (1 + int(line.from_megapixels**0.5))
            size = {"size": Size(side, side)}
        for name, values in line.when.items():
            for value in values:
                given = {**size, name: value}
                found = look_up_price(line.provider, line.model, given)
                assert found == line.price


def test_a_model_stands_in_one_place_of_the_table() -> None:
    names = [(lines[0].provider, lines[0].model) for lines in MODELS]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("model", "parameters", "used", "micros"),
    [
        ("black-forest-labs/flux-schnell", {}, Used(images=4), 12_000),
        ("black-forest-labs/flux-schnell:5f2c", {}, Used(images=1), 3_000),
        ("black-forest-labs/flux-2-pro", {}, Used(images=1, megapixels=2), 45_000),
        ("google/nano-banana-2", {}, Used(images=1), 67_000),
        ("google/nano-banana-2", {"resolution": "4K"}, Used(images=1), 151_000),
        ("google/nano-banana-pro", {"resolution": "2K"}, Used(images=1), 150_000),
        ("hardware:gpu-h100", {}, Used(seconds=10), 15_250),
    ],
)
def test_replicate_charges(
    model: str, parameters: Mapping[str, object], used: Used, micros: int
) -> None:
    price = look_up_price("replicate", model, parameters)

    assert calculate_cost(price, used).micros == micros


@pytest.mark.parametrize(
    ("model", "parameters", "micros"),
    [
        ("gemini-nano-banana-2.1", {}, 33_600),
        ("gemini-nano-banana-2.1", {"size": Size(3072, 384)}, 33_600),
        ("gemini-nano-banana-2.1", {"size": Size(2400, 1792)}, 50_400),
        ("gemini-nano-banana-2.1", {"size": Size(6144, 768)}, 50_400),
        ("gemini-nano-banana-2.1", {"size": Size(4096, 4096)}, 113_400),
        ("gemini-nano-banana-2.1", {"image_size": "4K"}, 113_400),
        ("gemini-3-pro-image", {"size": Size(2048, 2048)}, 134_400),
        ("gemini-3.1-flash-lite-image", {}, 33_600),
        ("gemini-2.5-flash-image", {"size": Size(1344, 768)}, 38_700),
    ],
)
def test_google_is_expected_to_charge(
    model: str, parameters: Mapping[str, object], micros: int
) -> None:
    price = look_up_price("google", model, parameters)

    assert estimate_cost(price, images=1, megapixels=1).micros == micros


def test_figures_are_read_as_they_are_written() -> None:
    price = look_up_price("replicate", "black-forest-labs/flux-schnell", {})

    assert price is not None
    assert price.rates[0].usd == Decimal("0.003")


def test_a_model_of_the_community_has_no_price() -> None:
    assert look_up_price("replicate", "somebody/something:5f2c", {}) is None


def test_the_table_is_decoded_once() -> None:
    assert load_price_table() is load_price_table()


@pytest.mark.parametrize(
    ("model", "parameters", "estimate"),
    [
        ("gpt-image-2.5-flare", {"quality": "low", "size": Size()}, 6_150),
        ("gpt-image-2.5-flare-2026-09-08", {"quality": "low"}, 11_130),
        ("gpt-image-2.6-flare", {"size": Size()}, 221_100),
        ("gpt-image-2.6-flare", {"size": Size(3840, 2160)}, 400_260),
        ("gpt-image-2.6-flare", {"size": Size(3840, 2160), "quality": "low"}, 44_490),
    ],
)
@pytest.mark.parametrize("provider", ["openai", "azure"])
def test_a_price_for_tokens_has_an_estimate_by_quality_and_size(
    provider: str, model: str, parameters: Mapping[str, object], estimate: int
) -> None:
    price = look_up_price(provider, model, parameters)

    assert estimate_cost(price, images=1, megapixels=1).micros == estimate
    used = Used(images=1, tokens={"input_text": 14, "output_image": 439})
    assert calculate_cost(price, used).micros == 13_240
