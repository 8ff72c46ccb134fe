"""TAB in a real bash, zsh and fish; each is skipped by name where it is missing."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from imagen.domain.call import CallSending
from tests.e2e.accounts import Accounts, call_into
from tests.e2e.conftest import (
    IMAGEN,
    Ask,
    Imagen,
    assert_one_sentence,
    clean_environment,
    left_behind,
)
from tests.nightly import some_by_day

PROMPT = "READY> "
START_UP = {
    "bash": (".bashrc", f"PS1='{PROMPT}'\n"),
    "zsh": (".zshrc", f"autoload -Uz compinit && compinit -u\nPROMPT='{PROMPT}'\n"),
    "fish": (
        ".config/fish/config.fish",
        f"set fish_greeting\nfunction fish_prompt; echo -n '{PROMPT}'; end\n",
    ),
}
INSTALLED = {
    "bash": ".local/share/bash-completion/completions/imagen",
    "zsh": ".zsh/completions/_cyclopts_imagen",
    "fish": ".config/fish/completions/imagen.fish",
}
CONFIG = """
default_backend: lab
backends:
  lab: {adapter: mock}
  lab-two: {adapter: mock}
styles:
  ink: {prompt: ink}
  watercolour: {prompt: watercolour}
"""


class Shell:
    """An interactive shell in which somebody presses TAB."""

    def __init__(self, kind: str, folder: Path, env: dict[str, str]) -> None:
        self._shell = pexpect.spawn(
            kind,
            ["-i"],
            cwd=str(folder),
            env=env,
            encoding="utf-8",
            dimensions=(40, 200),
            timeout=60,
        )
        self._shell.expect_exact(PROMPT)
        self._commands = 0

    def close(self) -> None:
        self._shell.close(force=True)

    def run(self, command: str) -> None:
        """Run a command, and wait for the prompt after it."""
        self._commands += 1
        # The shell prints the word in one piece only when it runs the command.
        self._shell.send(f"{command}; echo FIN''ISHED{self._commands}\r")
        self._shell.expect_exact(f"FINISHED{self._commands}")
        self._shell.expect_exact(PROMPT)

    def completes(self, typed: str, whole: str) -> None:
        """Press TAB after what is typed, and see the last word become whole."""
        self._shell.send(f"{typed}\t")
        try:
            self._shell.expect_exact(whole)
        except pexpect.TIMEOUT:
            pytest.fail(f"{typed!r} did not become {whole!r}: {self._shell.before!r}")
        self._empty_the_line()

    def offers_nothing(self, typed: str) -> None:
        """Press TAB twice, and see nothing but what was typed."""
        self._shell.send(f"{typed}\t\t")
        seen = self._empty_the_line()
        assert "imagen: " not in seen
        assert "Traceback" not in seen

    def _empty_the_line(self) -> str:
        """Return what the shell printed until it had handled everything typed."""
        self._shell.sendcontrol("u")
        self._shell.send("echo EM''PTY\r")
        self._shell.expect_exact("EMPTY")
        seen = str(self._shell.before)
        self._shell.expect_exact(PROMPT)
        return seen


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def kind(request: pytest.FixtureRequest) -> str:
    shell: str = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    return shell


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of the shells."""
    folder = tmp_path_factory.mktemp("here")
    (folder / "active.yaml").write_text(CONFIG)
    (folder / "other.yaml").write_text(CONFIG.replace("lab-two", "garage"))
    (folder / "broken.yaml").write_text("backends: [")
    (folder / "some-config.yaml").touch()
    (folder / "pictures").mkdir()
    return folder


@pytest.fixture(scope="module")
def shell(
    kind: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    """A shell whose home has the completion installed."""
    home = tmp_path_factory.mktemp("home")
    env = clean_environment(home)
    file, content = START_UP[kind]
    (home / file).parent.mkdir(parents=True, exist_ok=True)
    (home / file).write_text(content)
    install = [IMAGEN, "--install-completion", "--shell", kind]
    subprocess.run(install, env=env, check=True, capture_output=True, timeout=60)
    path = f"{Path(IMAGEN).parent}{os.pathsep}{env['PATH']}"
    shell = Shell(
        kind, folder, {**env, "PATH": path, "TERM": "dumb", "PYTHONWARNINGS": ""}
    )
    try:
        yield shell
    finally:
        shell.close()


def test_commands_and_flags_are_completed(shell: Shell) -> None:
    for typed, whole in [
        ("imagen gen", "imagen generate"),
        ("imagen hist", "imagen history"),
        ("imagen backends ch", "imagen backends check"),
        ("imagen config val", "imagen config validate"),
        ("imagen generate cat --neg", "--negative"),
        ("imagen usage --pl", "--plot"),
        ("imagen history fo", "imagen history forget"),
        ("imagen jobs fo", "imagen jobs forget"),
        ("imagen trash res", "imagen trash restore"),
        ("imagen generate cat --fit res", "resize"),
        ("imagen history --sea", "rch"),  # zsh only prints the rest
    ]:
        shell.completes(typed, whole)


def test_names_of_the_active_config_are_completed(shell: Shell, folder: Path) -> None:
    shell.run(f"export IMAGEN_CONFIG={folder / 'active.yaml'}")

    for typed, whole in some_by_day(
        [
            ("imagen generate 'a cat' --backend lab-", "lab-two"),
            ("imagen generate 'a cat' --backend=lab-", "--backend=lab-two"),
            ("imagen generate cat --style wat", "watercolour"),
            ("imagen generate cat --backend lab --model mo", "mock"),
            ("imagen history --backend lab-", "lab-two"),
            ("imagen backends check mock lab-", "lab-two"),
            ("imagen generate cat --config other.yaml --backend gar", "garage"),
            ("imagen generate cat --config './other.yaml' --backend gar", "garage"),
            ("imagen backends check --config other.yaml gar", "garage"),
        ],
        2,
    ):
        shell.completes(typed, whole)


def offered(ask: Ask, *words: str) -> list[str]:
    """Return what the shell is offered for the last word."""
    run = ask("__complete", *words)
    assert (run.code, run.err) == (0, "")
    _, begin, *candidates = run.out.split("\n")[:-1]
    assert begin == "\x1fbegin"
    return candidates


def test_models_are_those_of_the_backend_that_is_typed(ask: Ask, here: Path) -> None:
    (here / "c.yaml").write_text(
        "backends: {g: {adapter: gemini}, r: {adapter: replicate}}"
    )
    words = ("generate", "cat", "--config", "c.yaml", "--backend")

    google = offered(ask, *words, "g", "--model", "")
    replicate = offered(ask, *words, "r", "--model", "")

    assert "gemini-3-pro-image" in google
    assert "black-forest-labs/flux-dev" in replicate
    assert not {*google} & {*replicate}
    assert {*google, *replicate} <= {*offered(ask, "prices", "")}


def test_ids_are_those_that_the_command_can_use(
    ask: Ask, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = Accounts(home / "data")
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(accounts.folder))
    made = "generate", "a red fox", "--size", "32x32", "-o", "x.png"
    for _ in range(2):
        ask(*made)
    job = accounts.leave(call_into(accounts.folder), CallSending())
    newest = ask("history", "--json").objects[0]["id"]

    images = offered(ask, "history", "forget", "")
    jobs = offered(ask, "jobs", "forget", "")
    (trashed,) = offered(ask, "trash", "restore", "")

    start, _, prompt = images[0].partition("\t")
    assert (newest.startswith(start), prompt) == (True, "a red fox")
    assert images == offered(ask, "fetch", "")
    assert [each.split("\t")[0] for each in jobs] == [job.id[:13]]
    assert jobs == offered(ask, "resume", "")
    assert trashed.endswith("\tx.png")


def test_commands_are_completed_behind_help(ask: Ask) -> None:
    assert {"generate", "setup", "config"} <= {*offered(ask, "help", "")}
    assert offered(ask, "help", "trash", "") == ["list", "restore", "empty"]


def test_files_are_completed_where_files_go(shell: Shell) -> None:
    for typed, whole in [
        ("imagen generate cat --config some", "some-config.yaml"),
        ("imagen generate cat -o pic", "pictures"),
        ("imagen config validate --config some", "some-config.yaml"),
    ]:
        shell.completes(typed, whole)


def test_a_broken_config_says_nothing_into_the_line(shell: Shell, folder: Path) -> None:
    shell.run(f"export IMAGEN_CONFIG={folder / 'broken.yaml'}")

    shell.offers_nothing("imagen generate cat --backend la")
    shell.completes("imagen generate cat --neg", "--negative")


def test_the_path_is_printed_and_installing_again_changes_nothing(
    kind: str, ask: Ask, home: Path
) -> None:
    first = ask("--install-completion", "--shell", kind)
    before = {name: (home / name).read_bytes() for name in left_behind(home)}
    second = ask("--install-completion", "--shell", kind)

    assert first.lines == second.lines == [str(home / INSTALLED[kind])]
    assert first.err.splitlines()[0] == "imagen: Open a new shell to use it."
    assert {name: (home / name).read_bytes() for name in left_behind(home)} == before


def test_a_zsh_that_would_complete_nothing_is_told_why(ask: Ask, home: Path) -> None:
    lacking = ask("--install-completion", "--shell", "zsh")
    (home / ".zshrc").write_text("autoload -Uz compinit && compinit")
    complete = ask("--install-completion", "--shell", "zsh")

    assert "autoload -Uz compinit && compinit" in lacking.err
    assert "compinit" not in complete.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_home_that_cannot_be_written_is_one_sentence(ask: Ask, shell: str) -> None:
    run = ask("--install-completion", "--shell", shell, env={"HOME": "/dev/null"})

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, "could not be installed: Not a directory")


def test_a_shell_that_is_not_known_is_asked_for(imagen: Imagen, home: Path) -> None:
    run = imagen("--install-completion", env={"SHELL": "/bin/tcsh"})

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, "--install-completion --shell zsh")
    assert left_behind(home) == []


def test_the_shell_that_it_runs_in_is_found(imagen: Imagen, home: Path) -> None:
    run = imagen("--install-completion", env={"SHELL": "/usr/bin/fish"})

    assert run.code == 0
    assert left_behind(home) == [INSTALLED["fish"]]


def test_the_shells_question_is_answered_without_a_word_on_stderr(
    imagen: Imagen, here: Path
) -> None:
    (here / "broken.yaml").write_text("backends: [")

    asked = ("__complete", "generate", "cat", "--backend", "")
    good = imagen(*asked)
    bad = imagen(*asked, env={"IMAGEN_CONFIG": "broken.yaml"})

    assert (good.code, good.err) == (0, "")
    assert good.lines[-1] == "mock"
    assert (bad.code, bad.err) == (0, "")
    assert "mock" not in bad.out


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_a_home_with_a_space_in_its_name_works_in_zsh(tmp_path: Path, ask: Ask) -> None:
    home = tmp_path / "my $HOME's (home)"
    home.mkdir()
    ask("--install-completion", "--shell", "zsh", env={"HOME": str(home)})

    found = subprocess.run(
        ["zsh", "-ic", "print -l $fpath"],
        env={"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert str(home / ".zsh/completions") in found.stdout.splitlines()
