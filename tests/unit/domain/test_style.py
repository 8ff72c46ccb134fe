import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.errors import InvalidRequest
from imagen.domain.style import Style, apply_style, combine_negatives


@pytest.mark.parametrize(
    ("style", "said"),
    [
        (None, "a cat"),
        (Style(name="s"), "a cat"),
        (Style(name="s", prompt=""), "a cat"),
        (Style(name="s", prompt="watercolour"), "a cat, watercolour"),
        (Style(name="s", prompt="ink of {prompt}, wide"), "ink of a cat, wide"),
        (Style(name="s", prompt="{prompt} and {prompt}"), "a cat and a cat"),
        (Style(name="s", prompt="{slug} {prompt}"), "{slug} a cat"),
    ],
)
def test_joins_prompt_and_style(style: Style | None, said: str) -> None:
    assert apply_style("a cat", style) == said


@given(st.text())
def test_puts_the_prompt_in_literally(prompt: str) -> None:
    assert apply_style(prompt, Style(name="s", prompt="<{prompt}>")) == f"<{prompt}>"


@pytest.mark.parametrize(
    ("of_the_style", "of_the_request", "joined"),
    [
        ("", "", ""),
        ("text", "", "text"),
        ("", "dogs", "dogs"),
        ("text", "dogs", "text, dogs"),
    ],
)
def test_what_the_style_keeps_out_goes_first(
    of_the_style: str, of_the_request: str, joined: str
) -> None:
    style = Style(name="s", negative=of_the_style)

    assert combine_negatives(of_the_request, style) == joined


def test_refuses_a_seed_that_is_none() -> None:
    with pytest.raises(InvalidRequest, match="The seed -1 is out of range"):
        Style(name="s", seed=-1)


def test_refuses_negative_steps() -> None:
    with pytest.raises(InvalidRequest):
        Style(name="s", steps=-3)
