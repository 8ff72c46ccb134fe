"""The installed command, run as a user runs it: a process, a folder, an empty home."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

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


Imagen = Callable[..., Run]


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


@pytest.fixture
def clean_env(home: Path) -> dict[str, str]:
    kept = {"PATH", "LANG", "LC_ALL", "TERM", "TZ"}
    env = {name: value for name, value in os.environ.items() if name in kept}
    return {**env, "HOME": str(home), "PYTHONWARNINGS": "error"}


@pytest.fixture
def imagen(here: Path, clean_env: dict[str, str]) -> Imagen:
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


def left_behind(folder: Path) -> list[str]:
    """Every file under the folder, drafts included."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    )
