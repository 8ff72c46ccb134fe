import math

import pytest

from imagen.domain.metadata.embedded import FieldNames, Recipe, build_recipe
from imagen.domain.size import Size

KEYS = FieldNames(size=("Size",))


def read(**said: object) -> Recipe:
    return build_recipe("x", said, KEYS)


@pytest.mark.parametrize("seed", [7, "7", 7.0, "07"])
def test_a_seed_may_be_written_in_several_ways(seed: object) -> None:
    assert read(seed=seed) == Recipe(tool="x", seed=7)


@pytest.mark.parametrize("seed", [-1, 2**64, "-1", 1.5, True, "7a", "²", "9" * 30, []])
def test_what_is_no_seed_stays_a_parameter(seed: object) -> None:
    assert read(seed=seed) == Recipe(tool="x", parameters={"seed": seed})


@pytest.mark.parametrize(("guidance", "number"), [(3, 3.0), ("3.5", 3.5), ("-1", -1.0)])
def test_guidance_is_a_number(guidance: object, number: float) -> None:
    assert read(guidance=guidance).guidance == number


@pytest.mark.parametrize(
    "guidance", [math.inf, -math.inf, 10**400, "nan", "1e5", True, "x"]
)
def test_what_is_no_number_stays_a_parameter(guidance: object) -> None:
    assert read(guidance=guidance) == Recipe(
        tool="x", parameters={"guidance": guidance}
    )


@pytest.mark.parametrize(
    "size", ["64x32", "64X32", "(64, 32)", "64\N{MULTIPLICATION SIGN}32", "64*32"]
)
def test_a_size_may_be_written_in_several_ways(size: str) -> None:
    assert read(Size=size) == Recipe(tool="x", size=Size(64, 32))


@pytest.mark.parametrize(
    "sides", [{"width": 64, "height": 32}, {"width": "64", "height": "32"}]
)
def test_a_size_may_come_as_two_sides(sides: dict[str, object]) -> None:
    assert read(**sides) == Recipe(tool="x", size=Size(64, 32))


@pytest.mark.parametrize(
    "said",
    [{"Size": "1x1"}, {"Size": "64"}, {"width": 64}, {"width": 64, "height": 1e9}],
)
def test_what_is_no_size_stays_a_parameter(said: dict[str, object]) -> None:
    assert read(**said) == Recipe(tool="x", parameters=said)


@pytest.mark.parametrize("model", ["a", {"name": "a"}, {"model_name": "a", "x": 1}])
def test_a_model_may_be_a_record(model: object) -> None:
    assert read(model=model) == Recipe(tool="x", model="a")


def test_what_is_null_is_not_said() -> None:
    assert read(prompt=None, strength=None) == Recipe(tool="x")
