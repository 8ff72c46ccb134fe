"""What `--help` and `version` say."""

import re
import sys
from pathlib import Path

import pytest

from imagen.cli.app import COMMANDS, GROUPS, SUMMARY, build_app
from imagen.version import __version__
from tests.e2e.conftest import Ask, Imagen, Shell, left_behind


def flags_of(command: str) -> list[str]:
    app = build_app()
    for word in command.split():
        app = app[word]
    return [
        flag
        for argument in app.assemble_argument_collection()
        for flag in argument.parameter.name or ()
        if flag.startswith("-")
    ]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_takes_in_eighty_columns(
    ask: Ask, here: Path, command: str
) -> None:
    run = ask(*command.split(), "--help")

    assert (run.code, run.err) == (0, "")
    assert run.lines[0].startswith(f"Usage: imagen {command}")
    assert max(map(len, run.lines)) <= 80
    assert "\x1b" not in run.out
    for each in flags_of(command):
        assert re.search(rf"(?<![\w-]){re.escape(each)}(?![\w-])", run.out), each
    assert left_behind(here) == []


def test_the_short_flag_prints_the_same(ask: Ask) -> None:
    for command in ("generate", "history"):
        assert ask(command, "-h").out == ask(command, "--help").out


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_the_first_help_names_every_command(ask: Ask, words: tuple[str, ...]) -> None:
    run = ask(*words)

    assert (run.code, run.err) == (0, "")
    assert SUMMARY in run.out
    assert max(map(len, run.lines)) <= 80
    for name, (_, summary) in COMMANDS.items():
        group, _, _ = name.rpartition(" ")
        assert f"│ {group or name} " in run.out
        assert (GROUPS[group] if group else summary) in run.out


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (group, words)
        for group in GROUPS
        for words in [(), ("--help",), ("-h",)]
        if words or group not in COMMANDS  # else it does something
    ],
)
def test_a_group_names_its_commands(
    ask: Ask, group: str, words: tuple[str, ...]
) -> None:
    run = ask(group, *words)

    assert (run.code, run.err) == (0, "")
    for name, (_, summary) in COMMANDS.items():
        if name.startswith(f"{group} "):
            assert f"│ {name.removeprefix(group).strip()} " in run.out
            assert summary in run.out


def test_the_flags_of_generate_are_grouped_and_explained(ask: Ask) -> None:
    run = ask("generate", "--help")

    groups = re.findall(r"^╭─ (.+?) ─+╮$", run.out, re.MULTILINE)
    assert groups == [
        *("Arguments", "Image", "Generation", "Output"),
        "General",
    ]


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("generate", 'imagen generate "a cat in a fishbowl" --seed 42 -o cat.png'),
        ("backends list", "imagen backends list --json"),
        ("backends check", "imagen backends check mock"),
        ("config init", "imagen config init --write"),
        ("config validate", "imagen config validate --config ./imagen.yaml"),
        ("jobs", "imagen jobs forget 01a2055c-f0e1"),
        ("jobs forget", "imagen jobs forget 01a2055c-f0e1"),
        ("resume", "imagen resume 01a2055c-f0e1"),
        ("history", 'imagen history --search "red fox" --since 2026-05-01'),
        ("history forget", "imagen history forget 01a2055c-f0e1"),
        ("trash list", "imagen trash restore last"),
        ("trash restore", "imagen trash restore last"),
        ("trash empty", "imagen trash empty --yes"),
        ("usage", "imagen usage --raw --csv > calls.csv"),
    ],
)
def test_the_help_of_a_command_has_an_example(
    ask: Ask, command: str, example: str
) -> None:
    assert example in ask(*command.split(), "--help").out


@pytest.mark.parametrize("words", [(), ("generate",), ("config", "init"), ("config",)])
def test_help_is_a_command_too(ask: Ask, words: tuple[str, ...]) -> None:
    run = ask("help", *words)

    assert (run.code, run.err) == (0, "")
    assert run.out == ask(*words, "--help").out


def test_help_has_at_most_a_hundred_columns(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    for words in (("--help",), ("generate", "-h"), ("config",), ("help", "sweep")):
        assert max(map(len, ask(*words).lines)) == 100


@pytest.mark.parametrize("command", [name for name in COMMANDS if name[0] != "-"])
def test_every_command_takes_a_config(command: str) -> None:
    flags = flags_of(command)

    assert "--config" in flags
    assert "--json" in flags or command in {"serve", "help"}


def test_help_wins_over_what_else_is_wrong(ask: Ask) -> None:
    assert ask("generate", "--help", "--frob").code == 0
    assert ask("generate", "--size", "x", "--help").code == 0


@pytest.mark.parametrize("words", [("version",), ("--version",)])
def test_the_version_is_one_line(ask: Ask, words: tuple[str, ...]) -> None:
    run = ask(*words)

    assert (run.code, run.out, run.err) == (0, f"{__version__}\n", "")


def test_the_installed_command_and_the_module_are_the_same_program(
    imagen: Imagen, sh: Shell
) -> None:
    def module(*words: str) -> tuple[int, str]:
        run = sh(f'"{sys.executable}" -m imagen "$@"', *words)
        return run.code, run.out

    assert module("--version") == (0, f"{__version__}\n")
    assert module("version") == (0, imagen("version").out)
    assert module("generate", "a cat", "--size", "x") == (2, "")
    assert module("--help") == (0, imagen("--help").out)


def test_a_pipe_that_closes_early_is_no_traceback(sh: Shell) -> None:
    run = sh('"$0" generate --help | head -1')

    assert run.out.startswith("Usage: imagen generate")
    assert run.err == ""
