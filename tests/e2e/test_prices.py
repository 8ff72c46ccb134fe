"""The command `imagen prices`."""

import re
from pathlib import Path

import pytest

from tests.e2e.conftest import Ask, assert_one_sentence

CONFIG = """
backends:
  mine: {adapter: mock, price: {per_call: 0.015, per_megapixel: 0.01}}
  free: {adapter: mock}
"""


@pytest.fixture
def config(here: Path) -> str:
    (here / "c.yaml").write_text(CONFIG)
    return "c.yaml"


def test_prints_a_table(ask: Ask) -> None:
    run = ask("prices", "google/nano-banana-pro")

    assert run.code == 0
    assert run.lines[0].split() == ["provider", "model", "price", "as", "of", "age"]
    assert [line.split("  ")[1:3] for line in run.lines[1:]] == [
        ["replicate", "google/nano-banana-pro"],
        ["replicate", "google/nano-banana-pro"],
    ]
    assert " 1K or 2K (default): $0.15 an image " in run.lines[1]
    assert " 4K: $0.30 an image " in run.lines[2]


def test_warns_on_stderr_in_one_line_that_prices_are_old(ask: Ask) -> None:
    run = ask("prices", "hardware:gpu-t4")

    assert (run.code, len(run.lines)) == (0, 2)
    assert_one_sentence(run.err, "1 of 1 prices may be older than a quarter")


def test_the_config_goes_before_the_table(ask: Ask, config: str) -> None:
    run = ask("prices", "--config", config)

    assert run.code == 0
    assert re.split(" {2,}", run.lines[1].strip()) == [
        *("config", "mine", "$0.015 a call + $0.01 a megapixel"),
    ]
    assert " free " not in run.out
    assert len(run.lines) > 50


def test_in_json_each_price_is_an_object(ask: Ask, config: str) -> None:
    run = ask("prices", "mine", "--json", "--config", config)

    assert (run.code, run.err) == (0, "")
    assert run.objects == [
        {
            "provider": "config",
            "model": "mine",
            "price": "$0.015 a call + $0.01 a megapixel",
            "rates": [
                {"unit": "per_call", "kind": "", "usd": 0.015},
                {"unit": "per_megapixel", "kind": "", "usd": 0.01},
            ],
            "when": {},
            "default": False,
            "as_of": "",
            "age_days": None,
            "source": "config",
            "note": "",
        }
    ]


def test_the_help_has_an_example(ask: Ask) -> None:
    assert "imagen prices flux" in ask("prices", "--help").out


def test_an_unknown_model_is_a_mistake(ask: Ask) -> None:
    run = ask("prices", "flux-shnell")

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, "Did you mean flux-schnell?")


@pytest.mark.parametrize("number", range(3))
def test_the_configs_of_the_docs_are_valid(ask: Ask, here: Path, number: int) -> None:
    page = Path(__file__).parents[2] / "docs" / "prices-and-budgets.md"
    blocks = re.findall(
        r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (here / "imagen.yaml").write_text(blocks[number])

    run = ask("config", "validate", "--config", "imagen.yaml")

    assert (run.code, run.err, len(blocks)) == (0, "", 3)
