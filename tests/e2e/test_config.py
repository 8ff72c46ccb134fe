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


def test_the_sample_is_written_where_the_config_is_looked_for(
    ask: Ask, home: Path
) -> None:
    run = ask("config", "init", "--write")

    assert (run.code, run.out) == (0, f"{home}/.config/imagen.yaml\n")
    assert_one_sentence(run.err)
    written = home / ".config" / "imagen.yaml"
    assert written.read_bytes() == ask("config", "init").bytes
    assert ask("config", "validate").out.startswith(f"{written}: valid")


def test_the_sample_replaces_no_file(ask: Ask, here: Path, home: Path) -> None:
    (here / "c.yaml").write_text("mine")
    (here / "link.yaml").symlink_to("gone.yaml")

    for name in ("c.yaml", "link.yaml"):
        run = ask("config", "init", "--write", "--config", name)

        assert (run.code, run.out) == (2, "")
        assert_one_sentence(run.err, f"The config file {name} exists already")
    assert (here / "c.yaml").read_text() == "mine"
    assert left_behind(here) + left_behind(home) == ["c.yaml"]


@pytest.mark.parametrize("name", ["/proc/imagen.yaml", "file/imagen.yaml", "a" * 300])
def test_a_sample_that_cannot_be_written_is_one_sentence(
    ask: Ask, here: Path, name: str
) -> None:
    (here / "file").touch()

    run = ask("config", "init", "--write", "--config", name)

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, "cannot be written: ", "--config PATH")


def test_the_commands_about_the_config_answer_in_json(ask: Ask, home: Path) -> None:
    sample = ask("config", "init")
    path = f"{home}/.config/imagen.yaml"

    assert ask("config", "init", "--json").objects == [{"config": sample.out}]
    assert ask("config", "path", "--json").objects == [{"path": path}]
    assert ask("config", "init", "--write", "--json").objects == [{"path": path}]
    (found,) = ask("config", "validate", "--json").objects
    assert (found["path"], found["exists"]) == (path, True)
    assert found["backends"][:2] == ["mock", "flux-schnell-local"]
    (sql,) = ask("config", "migrations", "--json").objects
    assert "create table" in sql["sql"]


@pytest.mark.parametrize(
    "words",
    [
        ("jobs",),
        ("usage",),
        ("history",),
        ("trash", "list"),
        ("show", "x"),
        ("strip", "x"),
        ("version",),
    ],
)
def test_a_config_that_is_missing_is_an_error_of_any_command(
    ask: Ask, words: tuple[str, ...]
) -> None:
    run = ask(*words, "--config", "no.yaml")

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, "The config file no.yaml does not exist.")


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
        ["good", "mock", "mock", "default"],
        ["bad", "mock", "mock"],
        ["mock", "mock", "mock"],
    ]
    assert "mock" in [line.split()[0] for line in adapters.splitlines()]


def test_the_list_in_json_is_one_object(ask: Ask, config: str) -> None:
    run = ask("backends", "list", "--config", config, "--json")

    (answer,) = run.objects
    assert answer["backends"] == [
        {
            "name": name,
            "adapter": "mock",
            "model": "mock",
            "default": name == "good",
            "problem": "",
        }
        for name in ("good", "bad", "mock")
    ]
    assert all(each["name"] and each["summary"] for each in answer["adapters"])


def test_the_list_has_the_model_and_names_a_backend_that_cannot_be_used(
    ask: Ask, here: Path
) -> None:
    (here / "c.yaml").write_text(
        "backends:\n"
        "  flux: {adapter: replicate, model: black-forest-labs/flux-dev}\n"
        "  gone: {adapter: comfyui, workflow: gone.json}\n"
    )

    run = ask("backends", "list", "--config", "c.yaml")

    assert run.code == 0
    assert [line.split() for line in run.lines[1:3]] == [
        ["flux", "replicate", "black-forest-labs/flux-dev"],
        ["gone", "comfyui", "-", "cannot", "be", "used"],
    ]
    assert_one_sentence(run.err, "imagen: gone: Unknown workflow gone.json")


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
