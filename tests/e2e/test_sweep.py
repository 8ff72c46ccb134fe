"""Every combination is made, and a contact sheet of them, for people and scripts."""

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import Ask, Start, assert_one_sentence, left_behind

SMALL = ("--size", "48x32")
CONFIG = """\
default_backend: a
usage: {remote: off}
backends:
  a: {adapter: mock, price: 0.01}
  b: {adapter: mock, price: 0.04, concurrency: 2}
  broken: {adapter: mock, fail: refused}
budget: {day_usd: 0.2}
"""


@pytest.fixture
def config(here: Path) -> tuple[str, str]:
    (here / "c.yaml").write_text(CONFIG)
    return ("--config", "c.yaml")


def test_paths_go_to_stdout_and_the_sheet_is_named_on_stderr(
    ask: Ask, here: Path, config: tuple[str, str]
) -> None:
    words = ("--seed", "1..2", "--steps", "4,8", "--backend", "a,b", *SMALL)

    run = ask("sweep", "a fox", *words, *config, "-o", "x.png")

    assert run.code == 0
    assert sorted(run.lines) == [f"x-{number}.png" for number in range(1, 9)]
    assert run.err.splitlines() == [
        "imagen: 8 images · $0.20",
        "imagen: sheet: x-sheet.png",
        "imagen: sheet: x-sheet.html",
    ]
    page = (here / "x-sheet.html").read_text("utf-8")
    assert page.count("<img") == 8
    assert 'href="./x-8.png"' in page
    eighth = json.loads((here / "x-8.png.json").read_bytes())
    assert (eighth["backend"], eighth["steps"], eighth["seed"]) == ("b", 8, 2)


def test_json_has_the_cell_of_each_image_and_at_last_the_sheet(ask: Ask) -> None:
    run = ask("sweep", "a fox", "--seed", "7,9", *SMALL, "--json", "--jobs", "1")

    first, second, last = run.objects
    assert first["cell"] == {"size": "48x32", "seed": 7}
    assert second["seed"] == second["cell"]["seed"] == 9
    assert set(last["sheet"]) == {"page", "picture"}
    assert run.err == ""


def test_one_that_fails_does_not_stop_the_others(
    ask: Ask, here: Path, config: tuple[str, str]
) -> None:
    run = ask("sweep", "a fox", "--backend", "broken,a", *SMALL, *config, "--json")

    assert run.code == 4
    failed = next(each for each in run.objects if "error" in each)
    assert failed["error"]["code"] == "refused"
    assert failed["image"] == "broken · 48x32"
    (page,) = here.glob("*-sheet.html")
    assert "failure simulated by" in page.read_text("utf-8")


def test_where_nothing_was_made_there_is_no_sheet(
    ask: Ask, here: Path, config: tuple[str, str]
) -> None:
    run = ask("sweep", "a fox", "--backend", "broken", *SMALL, *config)

    assert run.code == 4
    assert left_behind(here) == ["c.yaml"]


def test_the_budget_is_for_all_of_it(
    ask: Ask, here: Path, config: tuple[str, str]
) -> None:
    run = ask("sweep", "a fox", "--seed", "1..6", "--backend", "b", *SMALL, *config)

    assert run.code == 5
    assert_one_sentence(run.err, "$0.24", "day_usd")
    assert left_behind(here) == ["c.yaml"]
    assert ask("usage", "--json").lines == []


def test_an_estimate_sends_nothing(
    ask: Ask, here: Path, config: tuple[str, str]
) -> None:
    words = ("sweep", "a fox", "--seed", "1..2", "--backend", "a,b", *SMALL, *config)

    run = ask(*words, "--estimate")

    assert run.code == 0
    assert run.lines[-1] == "4 images, cost: $0.10"
    (said,) = ask(*words, "--estimate", "--json").objects
    assert (said["images"], said["cost_usd"]) == (4, 0.1)
    assert said["cells"][0]["cell"] == {"backend": "a", "size": "48x32", "seed": 1}
    assert left_behind(here) == ["c.yaml"]
    assert ask(*words, "--max-cost", "0.09").code == 5


def test_parameters_of_the_backends_own_vary_too(ask: Ask) -> None:
    run = ask("sweep", "a fox", "--set", "delay=0,0.01", *SMALL, "--json")

    assert [each["parameters"]["delay"] for each in run.objects[:2]] == [0, 0.01]


def test_the_sheet_can_be_left_out_and_is_never_overwritten(
    ask: Ask, here: Path
) -> None:
    ask("sweep", "a fox", *SMALL, "--no-sheet", "-o", "bare/")
    for _ in range(2):
        (here / "c.yaml").write_text("output: {naming: '{date}/{slug}.{ext}'}")
        ask("sweep", "a fox", *SMALL, "--config", "c.yaml", "-o", "both/")

    assert len(left_behind(here / "bare")) == 2
    assert len(list((here / "both").glob("*/*-sheet*.html"))) == 2
    assert len(list((here / "both").glob("*/*-sheet*.png"))) == 2


def test_a_signal_ends_it_and_the_sheet_shows_what_was_made(
    start: Start, here: Path
) -> None:
    process = start(
        *("sweep", "a fox", "--set", "delay=0,3600", "--jobs", "1", *SMALL, "-o", "x/")
    )
    assert process.stdout
    first = process.stdout.readline().decode().strip()

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == 130
    assert {first, f"{first}.json"} < {f"x/{n}" for n in left_behind(here / "x")}
    (page,) = (here / "x").glob("*-sheet.html")
    assert page.read_text("utf-8").count("<img") == 1


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--seed", "4..1"), "is empty"),
        (("--seed", "one"), "Invalid value 'one' for seed"),
        (("--steps", "4,4"), "steps has the value 4 twice"),
        (("--backend", "mock,nowhere"), "Unknown backend 'nowhere'"),
        (("--style", "none-such"), "Unknown style 'none-such'"),
        (("--size", "48x32,big"), "Invalid size 'big'"),
        (("--seed", "1..1001"), "1001 values"),
        (("--set", "delay"), "not KEY=VALUE"),
        (("--set", "mood=grave,gay"), "no parameter 'mood'"),
        (("--jobs", "0"), "below 1"),
        (("-o", "-"), "cannot go to standard output"),
        (("-o", "x.txt"), "the extension .txt is not supported"),
        (("--max-cost", "-1"), "max_cost"),
        (("and", "more"), "Put the prompt in quotes"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_made(
    ask: Ask, here: Path, words: tuple[str, ...], fragment: str
) -> None:
    run = ask("sweep", "a fox", *words)

    assert run.code == 2
    assert_one_sentence(run.err, fragment)
    assert left_behind(here) == []
