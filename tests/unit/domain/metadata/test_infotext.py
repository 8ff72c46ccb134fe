import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.notes import NOTE, noted, sentences

from imagen.domain.metadata.infotext import Infotext, read_infotext, write_infotext
from imagen.domain.sidecar import Sidecar

PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""How AUTOMATIC1111's web UI reads the last line (modules/infotext_utils.py)."""

ONE_LINE = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1
)


def test_writes_the_lines_of_automatic1111() -> None:
    assert write_infotext(NOTE).split("\n") == [
        "a cat, wide",
        "Negative prompt: dogs",
        "Steps: 20, Seed: 42, Size: 64x64, Model: flux, Version: imagen 1.0",
    ]


def test_leaves_out_what_is_not_known() -> None:
    note = noted(negative="", seed=None, steps=None)

    assert write_infotext(note).split("\n") == [
        "a cat, wide",
        "Size: 64x64, Model: flux, Version: imagen 1.0",
    ]


@pytest.mark.parametrize(
    "note", [NOTE, noted(seed=None, steps=None, model="", backend="")]
)
def test_has_at_least_the_three_pairs_that_automatic1111_needs(note: Sidecar) -> None:
    assert len(PAIR.findall(write_infotext(note).split("\n")[-1])) >= 3


@pytest.mark.parametrize(
    "model", ["a, b", "a: b", "a\nb", 'a, "b"', "a\\, b", "猫, b", "plain"]
)
def test_quotes_as_automatic1111_does(model: str) -> None:
    last = write_infotext(noted(model=model)).split("\n")[-1]

    read = dict(PAIR.findall(last))
    shown = read["Model"]
    assert (json.loads(shown) if shown.startswith('"') else shown) == model
    assert read["Version"] == "imagen 1.0"


@given(ONE_LINE, ONE_LINE, sentences)
def test_reads_back_what_it_writes(prompt: str, negative: str, model: str) -> None:
    note = noted(prompt_sent=prompt, negative=negative, model=f"x{model}x")

    read = read_infotext(write_infotext(note))

    assert (read.prompt, read.negative) == (prompt, negative)
    assert read.pairs["Model"] == f"x{model}x"
    assert (read.pairs["Seed"], read.pairs["Size"]) == ("42", "64x64")


def test_prompts_may_have_many_lines() -> None:
    read = read_infotext(
        "a\nb: c, d\n\nNegative prompt: e\nf\nSteps: 1, Seed: 2, AA: 3"
    )

    assert read == Infotext(
        prompt="a\nb: c, d",
        negative="e\nf",
        pairs={"Steps": "1", "Seed": "2", "AA": "3"},
    )


@pytest.mark.parametrize(
    "text", ["a cat", "a cat\nmood: calm, light: low", "", "Steps: 1", "a:b:c"]
)
def test_without_three_settings_all_is_prompt(text: str) -> None:
    assert read_infotext(text) == Infotext(prompt=text)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("Size: 1x1, Seed: 2, Model: a b", "Model", "a b"),
        ('Size: 1x1, Seed: 2, Lora hashes: "a: 1, b: 2"', "Lora hashes", "a: 1, b: 2"),
        ('Size: 1x1, Seed: 2, Odd: "not closed', "Odd", '"not closed'),
        ('Size: 1x1, Seed: 2, Odd: "a\\xb", Last: 1', "Odd", '"a\\xb"'),
        ('Hashes: {"a": "b, c", "d": [1]}, Size: 1x1, Seed: 2', "Seed", "2"),
        (
            'Hashes: {"a": "b, }", "d": [1]}, Size: 1x1, Seed: 2',
            "Hashes",
            '{"a": "b, }", "d": [1]}',
        ),
        ("Odd: {a, Size: 1x1, Seed: 2", "Odd", "{a"),
        ("Skip layers: [7, 8, 9, ], Size: 1x1, Seed: 2", "Seed", "2"),
        ("no key, Size: 1x1, Seed: 2, Time: 12:30", "Time", "12:30"),
    ],
)
def test_reads_one_setting(line: str, name: str, value: str) -> None:
    assert read_infotext(f"a cat\n{line}").pairs[name] == value


@given(st.text(st.sampled_from('ab:, "\\{}[]\nNegative prompt:'), max_size=60))
def test_any_text_is_read(text: str) -> None:
    read = read_infotext(text)

    assert all(name and name == name.strip() for name in read.pairs)
