import pytest

from imagen.domain.errors import InvalidRequest
from imagen.domain.request import MAX_IMAGES, GenerationRequest
from imagen.domain.style import Style


def test_a_prompt_is_enough() -> None:
    request = GenerationRequest(prompt="a cat")

    assert (request.count, request.seed, request.steps) == (1, 0, 0)


@pytest.mark.parametrize(
    ("field", "wrong", "said"),
    [
        ("prompt", "", "The prompt is empty"),
        ("prompt", " \n\t", "The prompt is empty"),
        ("prompt", "a\0cat", "The prompt contains a NUL character"),
        ("prompt", "\udcff", "The prompt is not valid UTF-8"),
        ("negative", "a\0dog", "The negative contains a NUL character"),
        ("negative", "\ud83d", "The negative is not valid UTF-8"),
        ("seed", -1, "-1 is not a seed"),
        ("seed", 2**64, "18446744073709551616 is not a seed"),
        ("steps", -1, "-1 steps cannot be made"),
        ("count", 0, "0 images cannot be asked for"),
        ("count", -1, "-1 images cannot be asked for"),
        ("count", MAX_IMAGES + 1, "1001 images cannot be asked for"),
        ("timeout", 0, "A timeout of 0 seconds"),
        ("timeout", -0.5, "A timeout of -0.5 seconds"),
        ("timeout", float("inf"), "A timeout of inf seconds"),
        ("timeout", float("nan"), "A timeout of nan seconds"),
        ("model", "", "The model has no name"),
        ("model", "  ", "The model has no name"),
    ],
)
def test_says_which_field_is_wrong(field: str, wrong: object, said: str) -> None:
    asked: dict[str, object] = {"prompt": "a cat", field: wrong}

    with pytest.raises(InvalidRequest) as refused:
        GenerationRequest(**asked)  # type: ignore[arg-type]

    assert refused.value.message.startswith(said)
    assert refused.value.message.endswith(".")


@pytest.mark.parametrize(
    ("field", "right"),
    [
        ("prompt", "猫" * 100_000),
        ("seed", 2**64 - 1),
        ("count", MAX_IMAGES),
        ("timeout", 0.001),
        ("model", "black-forest-labs/flux-dev"),
    ],
)
def test_takes_what_is_at_the_limits(field: str, right: object) -> None:
    asked: dict[str, object] = {"prompt": "a cat", field: right}

    request = GenerationRequest(**asked)  # type: ignore[arg-type]

    assert getattr(request, field) == right


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("model", "\udcff"),
        ("options", {"note": "\udcff"}),
        ("options", {"\udcff": 1}),
        ("options", {"mask": object()}),
        ("style", Style(name="s", prompt="\ud800")),
    ],
)
def test_refuses_what_no_sidecar_could_hold(field: str, wrong: object) -> None:
    asked: dict[str, object] = {"prompt": "a cat", field: wrong}

    with pytest.raises(InvalidRequest):
        GenerationRequest(**asked)  # type: ignore[arg-type]
