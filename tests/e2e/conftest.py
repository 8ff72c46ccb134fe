"""Two ways to run the command in an empty folder with an empty home.

`imagen` starts the installed command, as a user does; `ask` calls it in this process,
which takes a tenth of the time.
"""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from imagen.cli.app import main

SET_BY_TESTS = {"COLUMNS"}
IMAGEN = str(Path(sys.executable).with_name("imagen"))


class Run:
    """What one run of the command left behind."""

    def __init__(self, process: "subprocess.CompletedProcess[bytes]") -> None:
        self.code = process.returncode
        self.out = process.stdout.decode(errors="replace")
        self.bytes = process.stdout
        self.err = process.stderr.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]


Ask = Callable[..., Run]
Imagen = Callable[..., Run]
Process = subprocess.Popen[bytes]
Shell = Callable[..., Run]
Start = Callable[..., Process]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def here(tmp_path: Path) -> Path:
    here = tmp_path / "here"
    here.mkdir()
    return here


def clean_environment(home: Path) -> dict[str, str]:
    """Return the environment of a user who has set nothing."""
    kept = {"PATH", "LANG", "LC_ALL", "TERM", "TZ"}
    env = {name: value for name, value in os.environ.items() if name in kept}
    return {**env, "HOME": str(home), "PYTHONWARNINGS": "error"}


@pytest.fixture
def clean_env(home: Path) -> dict[str, str]:
    return clean_environment(home)


@pytest.fixture
def imagen(here: Path, clean_env: dict[str, str]) -> Imagen:
    """Run the command in a process of its own."""

    def run(
        *words: str | bytes,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Run:
        process = subprocess.run(
            [IMAGEN, *words],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            cwd=cwd or here,
            env={**clean_env, **(env or {})},
            timeout=60,
            check=False,
        )
        return Run(process)

    return run


@pytest.fixture
def sh(here: Path, clean_env: dict[str, str]) -> Shell:
    """Run a line of shell in which `"$0"` is the command, and `"$@"` the words."""

    def run(line: str, *words: str) -> Run:
        process = subprocess.run(
            ["/bin/sh", "-c", line, IMAGEN, *words],
            capture_output=True,
            cwd=here,
            env=clean_env,
            timeout=60,
            check=False,
        )
        return Run(process)

    return run


@pytest.fixture
def start(here: Path, clean_env: dict[str, str]) -> Iterator[Start]:
    """Run the command beside the test, and no longer than that, even if it fails."""
    with ExitStack() as started:

        def start_one(*words: str, env: Mapping[str, str] | None = None) -> Process:
            process = started.enter_context(
                subprocess.Popen(
                    [IMAGEN, *words],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=here,
                    env={**clean_env, **(env or {})},
                )
            )
            started.callback(process.kill)
            return process

        yield start_one


@pytest.fixture
def ask(
    here: Path,
    clean_env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Ask:
    """Run the command in this process; otherwise like `imagen`.

    The environment and the working folder hold for the test, so that its fixtures may
    change them. What only a process has is not shown here: signals, closed streams,
    a terminal, modules loaded at start-up.
    """
    for name in os.environ.keys() - clean_env.keys():
        if not name.startswith("PYTEST_") and name not in SET_BY_TESTS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", clean_env["HOME"])
    monkeypatch.chdir(here)

    def run(
        *words: str | bytes,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Run:
        capfdbinary.readouterr()
        with monkeypatch.context() as patch, ExitStack() as streams:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            if cwd:
                patch.chdir(cwd)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin or b"")))
            for number, name in ((1, "stdout"), (2, "stderr")):
                # As Python opens it: pytest's own would replace what it cannot encode.
                stream = streams.enter_context(
                    open(number, "w", encoding="utf-8", closefd=False)
                )
                patch.setattr(sys, name, stream)
            time.tzset()
            code = main([os.fsdecode(word) for word in words])
        time.tzset()
        out, err = capfdbinary.readouterr()
        return Run(subprocess.CompletedProcess(words, code, out, err))

    return run


def assert_one_sentence(err: str, *fragments: str) -> None:
    lines = err.splitlines()
    assert 1 <= len(lines) <= 2, err
    assert all(line.startswith("imagen: ") for line in lines), err
    assert "Traceback" not in err
    assert "Error" not in err, "a name of Python's is no sentence"
    assert err.rstrip().endswith((".", "?", "`")), err
    for fragment in fragments:
        assert fragment in err


def left_behind(folder: Path) -> list[str]:
    """Every file under the folder, drafts included."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    )
