"""The commands about the config: `config ...` and `backends ...`."""

import re
from pathlib import Path

import pytest

from tests.e2e.conftest import Ask, Imagen, Shell, assert_one_sentence, left_behind

TWO = """
default_backend: good
backends:
  good: {adapter: mock}
  bad: {adapter: mock, fail: unavailable}
styles: {}
"""


@pytest.fixture
def config(here: Path) -> str:
    (here / "c.yaml").write_text(TWO)
    return "c.yaml"


def test_the_sample_goes_through_a_pipe_into_validate(sh: Shell) -> None:
    run = sh('"$0" config init | "$0" config validate --config /dev/stdin')

    assert (run.code, run.err) == (0, "")
    assert re.fullmatch(r"/dev/stdin: valid, 3 backends, 4 styles\n", run.out)


def test_the_sample_works_as_a_config(ask: Ask, here: Path) -> None:
    (here / "imagen.yaml").write_bytes(ask("config", "init").bytes)

    words = ("generate", "a cat", "--style", "blog-header", "-o", "x.png")
    run = ask(*words, "--backend", "mock", "--size", "32x32", "--config", "imagen.yaml")

    assert (run.code, run.out, run.err) == (0, "x.png\n", "")


def test_the_sample_is_printed_and_not_written(
    ask: Ask, here: Path, home: Path
) -> None:
    run = ask("config", "init")

    assert (run.code, run.err) == (0, "")
    assert run.lines[0].startswith("# imagen.yaml.")
    assert max(map(len, run.lines)) <= 80
    assert left_behind(here) + left_behind(home) == []


def test_the_path_is_the_flag_the_variable_or_the_usual_place(
    ask: Ask, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = ask("config", "path")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    xdg = ask("config", "path")
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    relative = ask("config", "path")
    monkeypatch.setenv("IMAGEN_CONFIG", "~/mine.yaml")
    variable = ask("config", "path")
    flag = ask("config", "path", "--config", "here.yaml")
    monkeypatch.setenv("IMAGEN_CONFIG", "")
    empty = ask("config", "path")

    assert usual.out == f"{home}/.config/imagen.yaml\n"
    assert xdg.out == f"{home}/xdg/imagen.yaml\n"
    assert relative.out == usual.out
    assert variable.out == f"{home}/mine.yaml\n"
    assert flag.out == "here.yaml\n"
    assert empty.out == relative.out
    assert left_behind(home) == []


def test_a_path_that_is_no_text_is_printed_as_it_is(imagen: Imagen) -> None:
    run = imagen("config", "path", "--config", b"\xff.yaml")

    assert (run.code, run.bytes) == (0, b"\xff.yaml\n")


def test_validate_says_what_holds(ask: Ask, config: str, home: Path) -> None:
    absent = ask("config", "validate")
    given = ask("config", "validate", "--config", config)

    assert absent.out == f"{home}/.config/imagen.yaml: not found, using the defaults\n"
    assert given.out == "c.yaml: valid, 3 backends, 4 styles\n"
    assert (absent.code, absent.err) == (given.code, given.err) == (0, "")


@pytest.mark.parametrize(
    "words", [("generate", "a fox"), ("sweep", "a fox", "--seed", "1..2")]
)
def test_with_several_backends_and_no_default_one_is_named(
    ask: Ask, here: Path, words: tuple[str, ...]
) -> None:
    (here / "c.yaml").write_text("backends: {a: {adapter: mock}, b: {adapter: mock}}")
    options = ("--size", "32x32", "--config", "c.yaml")

    unnamed = ask(*words, *options)
    named = ask(*words, "--backend", "b", *options)

    assert (unnamed.code, unnamed.out) == (2, "")
    assert "without a default_backend: a, b, mock." in unnamed.err
    assert named.code == 0


def test_a_rerun_without_its_backend_needs_a_default_or_a_name(
    ask: Ask, here: Path
) -> None:
    text = "default_backend: c\nbackends: {c: {adapter: mock}}"
    (here / "c.yaml").write_text(text)
    ask("generate", "a fox", "--size", "32x32", "--config", "c.yaml", "-o", "x.png")
    note = here / "x.png.json"
    note.write_text(note.read_text().replace('"adapter": "mock"', '"adapter": "z"'))
    text = "backends: {a: {adapter: mock}, b: {adapter: mock}}"
    (here / "c.yaml").write_text(text)

    unnamed = ask("rerun", "x.png", "--config", "c.yaml")
    named = ask("rerun", "x.png", "--config", "c.yaml", "--backend", "b")

    assert (unnamed.code, unnamed.out) == (2, "")
    assert "without a default_backend: a, b, mock." in unnamed.err
    assert named.code == 0, named.err


def test_built_in_styles_stay_beside_those_of_the_config(ask: Ask, here: Path) -> None:
    (here / "c.yaml").write_text(
        "styles: {photo: {prompt: 'mine, {prompt}', size: 32x32}}"
    )

    own = ask("generate", "a fox", "--style", "photo", "--config", "c.yaml", "--json")
    built_in = ask(
        *("generate", "a fox", "--style", "line-art", "--size", "32x32"),
        *("--config", "c.yaml", "--json"),
    )

    assert own.objects[0]["prompt_sent"] == "mine, a fox"
    assert built_in.objects[0]["prompt_sent"].startswith("a fox, clean black line")


def test_a_variable_that_names_no_file_is_an_error_everywhere(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEN_CONFIG", "gone.yaml")

    for words in (
        ("config", "validate"),
        ("backends", "list"),
        ("backends", "check"),
        ("generate", "a cat"),
    ):
        run = ask(*words)
        assert (run.code, run.out) == (2, "")
        assert_one_sentence(run.err, "The config file gone.yaml does not exist.")


def test_the_list_has_the_instances_and_the_adapters(ask: Ask, config: str) -> None:
    run = ask("backends", "list", "--config", config)

    assert (run.code, run.err) == (0, "")
    instances, _, adapters = run.out.partition("adapters:\n")
    assert [line.split() for line in instances.splitlines()] == [
        ["configured", "backends:"],
        ["good", "mock", "default"],
        ["bad", "mock"],
        ["mock", "mock"],
    ]
    assert "mock" in [line.split()[0] for line in adapters.splitlines()]


def test_the_list_in_json_is_one_object(ask: Ask, config: str) -> None:
    run = ask("backends", "list", "--config", config, "--json")

    (answer,) = run.objects
    assert answer["backends"] == [
        {"name": "good", "adapter": "mock", "default": True},
        {"name": "bad", "adapter": "mock", "default": False},
        {"name": "mock", "adapter": "mock", "default": False},
    ]
    assert all(each["name"] and each["summary"] for each in answer["adapters"])


def test_the_check_is_1_when_one_is_not_ready(ask: Ask, config: str) -> None:
    run = ask("backends", "check", "--config", config)

    assert (run.code, run.err) == (1, "")
    assert run.lines == [
        "good: ready: built in",
        "bad: NOT READY: simulated failure (fail: unavailable)",
        "mock: ready: built in",
    ]


def test_only_what_is_named_is_checked(ask: Ask, config: str) -> None:
    good = ask("backends", "check", "good", "mock", "--config", config)
    bad = ask("backends", "check", "bad", "--config", config)

    assert (good.code, len(good.lines)) == (0, 2)
    assert (bad.code, len(bad.lines)) == (1, 1)


def test_the_check_in_json_is_one_object_for_each(ask: Ask, config: str) -> None:
    run = ask("backends", "check", "--config", config, "--json")

    assert run.code == 1
    assert [(each["name"], each["ready"]) for each in run.objects] == [
        ("good", True),
        ("bad", False),
        ("mock", True),
    ]
    assert run.objects[1]["findings"] == [
        {"what": "simulated failure", "ready": False, "note": "fail: unavailable"}
    ]


def test_a_name_is_checked_before_anything_is(ask: Ask, config: str) -> None:
    run = ask("backends", "check", "good", "frob", "--config", config)

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, "Configured backends: good, bad, mock.")
