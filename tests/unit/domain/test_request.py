import pytest

from imagen.domain.errors import InvalidRequest
from imagen.domain.request import MAX_IMAGES, GenerationRequest
from imagen.domain.style import Style


def test_a_prompt_is_enough() -> None:
    request = GenerationRequest(prompt="a cat")

    assert (request.count, request.seed, request.steps) == (None, 0, 0)


@pytest.mark.parametrize(
    ("field", "wrong", "said"),
    [
        ("prompt", "", "The prompt is empty"),
        ("prompt", " \n\t", "The prompt is empty"),
        ("prompt", "a\0cat", "The prompt contains a NUL character"),
        ("prompt", "\udcff", "The prompt is not valid UTF-8"),
        ("negative", "a\0dog", "The negative contains a NUL character"),
        ("negative", "\ud83d", "The negative is not valid UTF-8"),
        ("seed", -1, "The seed -1 is out of range"),
        ("seed", 2**64, "The seed 18446744073709551616 is out of range"),
        ("steps", -1, "The number of steps (-1) is out of range"),
        ("count", 0, "The number of images (0) is out of range"),
        ("count", -1, "The number of images (-1) is out of range"),
        ("count", MAX_IMAGES + 1, "The number of images (1001) is out of range"),
        ("timeout", 0, "The timeout of 0 seconds"),
        ("timeout", -0.5, "The timeout of -0.5 seconds"),
        ("timeout", float("inf"), "The timeout of inf seconds"),
        ("timeout", float("nan"), "The timeout of nan seconds"),
        ("model", "", "The model name is empty"),
        ("model", "  ", "The model name is empty"),
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
