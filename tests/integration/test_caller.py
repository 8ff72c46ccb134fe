"""The caller's name from a real tmux, and from one that hangs or is missing."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagen.adapters.system.caller import LONGEST_NAME, TIMEOUT, find_caller
from imagen.settings.environment import Environment

needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed"
)

Fake = Callable[[str], Environment]


def patient(environment: Environment) -> str:
    """Find the caller with a time limit that a slow machine meets."""
    return find_caller(environment, timeout=60)


class Pane:
    """A pane of a separate tmux server."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self("new-session", "-d", "-x", "80", "-y", "24", "sleep 600")
        self.id = self("list-panes", "-F", "#{pane_id}").strip()

    def __call__(self, *words: str | bytes) -> str:
        return subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *words],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def call(self, name: str | bytes) -> None:
        self("set-option", "-p", "-t", self.id, "@mai-name", name)

    def environment(self, **variables: str) -> Environment:
        inside = {"TMUX": f"{self._socket},123,0", "TMUX_PANE": self.id}
        return Environment({**inside, **variables})


@pytest.fixture
def pane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pane]:
    pane = Pane(tmp_path_factory.mktemp("t") / "s")
    try:
        yield pane
    finally:
        subprocess.run(["tmux", "-S", pane._socket, "kill-server"], check=False)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Return a function that makes a program named tmux the only one on PATH."""

    def written(body: str) -> Environment:
        program = tmp_path / "tmux"
        program.write_text(f"#!{sys.executable}\nimport os, sys, time\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return Environment({"TMUX": "/no/socket,1,0", "TMUX_PANE": "%1"})

    return written


@needs_tmux
@pytest.mark.parametrize(
    ("name", "caller"),
    [
        ("ada", "ada"),
        ("Ada of 3.14 #{pane_id} $HOME", "Ada of 3.14 #{pane_id} $HOME"),
        ("Ада 茶 🦊", "Ада 茶 🦊"),
        (" two\nlines\tand\x1b[31m red ", "two lines and [31m red"),
        ("-v", "-v"),
        ("'\"\\", "'\"\\"),
        ("x" * 3000, "x" * LONGEST_NAME),
        ("", ""),
    ],
)
def test_the_pane_has_a_name(
    pane: Pane, name: str, caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    pane("set-option", "-p", "-t", pane.id, "--", "@mai-name", name)

    assert patient(pane.environment()) == caller


@needs_tmux
def test_bytes_that_are_no_text_become_text(pane: Pane) -> None:
    pane.call(b"ada\xff\xfe!")

    caller = patient(pane.environment())

    assert caller.startswith("ada")
    assert caller.encode().decode().isprintable()


@needs_tmux
def test_the_environment_goes_before_the_pane(pane: Pane) -> None:
    pane.call("pane")

    assert patient(pane.environment(MAI_FROM_ID="me")) == "me"
    assert patient(pane.environment(MAI_FROM_ID="")) == "pane"


@needs_tmux
def test_each_pane_has_its_own_name(pane: Pane) -> None:
    pane.call("first")
    pane("split-window", "-d", "sleep 600")
    other = next(
        each for each in pane("list-panes", "-F", "#{pane_id}").split()
        if each != pane.id
    )  # fmt: skip

    assert patient(pane.environment()) == "first"
    assert patient(pane.environment(TMUX_PANE=other)) == ""


@needs_tmux
@pytest.mark.parametrize("pane_id", ["", "%99", "main", "%1; kill-server", "-t"])
def test_a_pane_that_is_not_there_has_no_name(pane: Pane, pane_id: str) -> None:
    pane.call("ada")

    assert patient(pane.environment(TMUX_PANE=pane_id)) == ""
    assert patient(pane.environment()) == "ada"


@needs_tmux
def test_a_server_that_is_gone_is_not_started(tmp_path: Path) -> None:
    socket = tmp_path / "s"
    environment = Environment({"TMUX": f"{socket},1,0", "TMUX_PANE": "%0"})

    assert find_caller(environment) == ""
    assert not socket.exists()


def test_one_that_hangs_is_killed_in_time(fake: Fake, tmp_path: Path) -> None:
    environment = fake(
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    )
    began = time.monotonic()

    caller = find_caller(environment)

    assert caller == ""
    # The command sleeps for a minute.
    assert TIMEOUT <= time.monotonic() - began < 30
    if (tmp_path / "pid").exists():  # else it was killed before it could say so
        pid = int((tmp_path / "pid").read_text())
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("body", "caller"),
    [
        (r"sys.stdout.buffer.write(b'a\xffb\n')", "a\ufffdb"),
        ("print('late'); sys.exit(1)", ""),
        ("print('quiet'); print('loud', file=sys.stderr)", "quiet"),
        ("print(sys.argv[1:])", str(["-u", "-S", "/no/socket", "show-options", "-pqv",
                                     "-t", "%1", "@mai-name"])),
    ],
)  # fmt: skip
def test_is_asked_for_the_option_and_nothing_else(
    fake: Fake, body: str, caller: str
) -> None:
    assert patient(fake(body)) == caller


def test_without_a_tmux_there_is_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_caller(Environment({"TMUX": "/x,1,0", "TMUX_PANE": "%1"})) == ""


@pytest.mark.parametrize(
    "variables",
    [{}, {"TMUX": "/x,1,0"}, {"TMUX_PANE": "%1"}, {"TMUX": "", "TMUX_PANE": "%1"}],
)
def test_outside_of_tmux_nothing_is_run(
    fake: Fake, tmp_path: Path, variables: dict[str, str]
) -> None:
    fake(f"open({str(tmp_path / 'ran')!r}, 'w')")

    assert find_caller(Environment(variables)) == ""
    assert not (tmp_path / "ran").exists()


def test_outside_of_tmux_nothing_is_imported_to_run_it() -> None:
    program = (
        "import sys; from imagen.adapters.system.caller import find_caller;"
        "from imagen.settings.environment import Environment;"
        "find_caller(Environment({'MAI_FROM_ID': 'x', 'TMUX': '/x,1,0'}));"
        "find_caller(Environment({}));"
        "print('subprocess' in sys.modules)"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("said", "caller"),
    [
        ("ada\nlovelace\r\n", "ada lovelace"),
        ("\x1b]0;title\x07ada\u2028\u202e", "]0;title ada"),
        ("é" * 1000, "é" * LONGEST_NAME),
        ("\udcffada", "?ada"),
        ("\x00\x01", ""),
    ],
)
def test_whoever_the_environment_names_is_one_line_of_text(
    said: str, caller: str
) -> None:
    assert find_caller(Environment({"MAI_FROM_ID": said})) == caller
