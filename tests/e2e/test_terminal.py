"""What somebody sees in a terminal: a real one, with a real tmux where there is one."""

import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.e2e.conftest import IMAGEN, left_behind

SMALL = ("--size", "32x32")
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """A terminal in which one command runs."""

    def __init__(self, here: Path, env: dict[str, str]) -> None:
        self._here = here
        self._env = {**env, "TERM": "xterm-256color"}
        self._started: list[pexpect.spawn[str]] = []

    def start(self, *words: str, **env: str) -> "pexpect.spawn[str]":
        process = pexpect.spawn(
            words[0],
            list(words[1:]),
            cwd=str(self._here),
            env={**self._env, **env},
            encoding="utf-8",
            dimensions=(24, 100),
            timeout=60,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.close(force=True)

    def run(self, *words: str, **env: str) -> tuple[int | None, str]:
        process = self.start(*words, **env)
        process.expect(pexpect.EOF)
        process.close()
        return process.exitstatus, process.before or ""


@pytest.fixture
def screen(here: Path, clean_env: dict[str, str]) -> Iterator[Screen]:
    screen = Screen(here, clean_env)
    yield screen
    screen.close()


def last_words(seen: str) -> list[str]:
    """The lines that stay on the screen in the end."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", seen):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\x1b[1A":
            row -= 1
        elif not part.startswith(("\r", "\x1b")):
            lines[row] += part
    return lines


def test_a_bar_shows_steps_rate_and_time_and_then_is_gone(screen: Screen) -> None:
    code, seen = screen.run(
        IMAGEN, "generate", "a cat", *SMALL, "--set", "delay=0.6", "-o", "x.png"
    )

    plain = CONTROL.sub("", seen)
    assert code == 0
    assert "generating" in plain
    assert COLOUR.search(seen)
    assert re.search(r"\d+/20 steps, \d+\.\d/s", plain)
    assert re.search(r"\d:\d\d:\d\d", plain)
    assert last_words(seen) == ["x.png", ""]
    assert seen.rindex(SHOW_CURSOR) > seen.rindex(HIDE_CURSOR)


def test_each_path_has_a_line_of_its_own_beside_the_bar(screen: Screen) -> None:
    words = ("--set", "delay=0.2", "--count", "3", "-o", "x.png")
    code, seen = screen.run(IMAGEN, "generate", "a cat", *SMALL, *words)

    assert code == 0
    assert "image 2 of 3" in CONTROL.sub("", seen)
    assert last_words(seen) == ["x-1.png", "x-2.png", "x-3.png", ""]


def test_a_redirected_stdout_gets_the_path_and_the_terminal_the_bar(
    screen: Screen, here: Path
) -> None:
    words = ["generate", "a cat", *SMALL, "--set", "delay=0.3", "-o", "x.png"]
    code, seen = screen.run("/bin/sh", "-c", f"{shlex.join([IMAGEN, *words])} > out")

    assert code == 0
    assert "steps" in seen
    assert (here / "out").read_bytes() == b"x.png\n"
    assert last_words(seen) == [""]


def test_a_redirected_stderr_has_no_bar(screen: Screen, here: Path) -> None:
    words = ["generate", "a cat", *SMALL, "--set", "delay=0.3", "-o", "x.png"]
    code, seen = screen.run("/bin/sh", "-c", f"{shlex.join([IMAGEN, *words])} 2> err")

    assert (code, seen) == (0, "x.png\r\n")
    assert (here / "err").read_bytes() == b""


def test_quiet_has_no_bar(screen: Screen) -> None:
    words = ("--set", "delay=0.2", "-o", "x.png", "--quiet")

    assert screen.run(IMAGEN, "generate", "a cat", *SMALL, *words) == (0, "x.png\r\n")


def test_a_dumb_terminal_gets_no_bar_and_no_escape_codes(screen: Screen) -> None:
    words = ("--set", "delay=0.2", "-o", "x.png")
    code, seen = screen.run(IMAGEN, "generate", "a cat", *SMALL, *words, TERM="dumb")

    assert (code, seen) == (0, "x.png\r\n")


def test_no_color_is_honoured(screen: Screen) -> None:
    words = ("generate", "a cat", *SMALL, "--set", "delay=0.2")
    code, plain = screen.run(IMAGEN, *words, NO_COLOR="1")

    assert code == 0
    assert "steps" in CONTROL.sub("", plain)
    assert not COLOUR.search(plain)


def test_what_verbose_says_is_not_garbled_by_a_bar(screen: Screen) -> None:
    words = ("generate", "a cat", *SMALL, "-o", "x.png", "--verbose")
    words = (*words, "--set", "delay=0.2")
    _, coloured = screen.run(IMAGEN, *words)
    _, plain = screen.run(IMAGEN, *words, NO_COLOR="1")

    assert COLOUR.search(coloured)
    assert not COLOUR.search(plain)
    *said, end = plain.split("\r\n")
    assert end == ""
    assert "x.png" in said
    assert all(line.startswith("imagen: ") for line in said if line != "x.png")


def test_a_narrow_terminal_is_no_fault(screen: Screen) -> None:
    words = ("--set", "delay=0.2", "-o", "x.png")
    code, seen = screen.run(IMAGEN, "generate", "a cat", *SMALL, *words, COLUMNS="10")

    assert code == 0
    assert last_words(seen) == ["x.png", ""]


def test_control_c_is_one_line_and_the_cursor_comes_back(
    screen: Screen, here: Path
) -> None:
    process = screen.start(
        IMAGEN, "generate", "a cat", *SMALL, "--set", "delay=30", "-o", "x.png"
    )
    process.expect("steps")

    process.sendintr()
    process.expect(pexpect.EOF)
    process.close()

    after = process.before or ""
    assert process.exitstatus == 130
    assert after.rindex(SHOW_CURSOR) > after.rfind(HIDE_CURSOR)
    assert last_words(after) == ["imagen: The job was cancelled.", ""]
    assert left_behind(here) == []


def test_a_signal_after_control_c_leaves_at_once_and_shows_the_cursor(
    screen: Screen,
) -> None:
    process = screen.start(
        IMAGEN, "generate", "a cat", *SMALL, "--set", "fail=deaf", "--steps", "2"
    )
    process.expect("2/2 steps")

    process.sendintr()
    process.kill(signal.SIGTERM)  # two of the same signal could be one
    process.expect(pexpect.EOF)
    process.close()

    after = process.before or ""
    assert process.exitstatus in {130, 143}  # of the signal that comes second
    assert "did not respond in time" not in after  # which comes after 3 s
    assert after.rindex(SHOW_CURSOR) > after.rfind(HIDE_CURSOR)


class Tmux:
    """A tmux server of our own, with one window, in which one command runs."""

    def __init__(self, socket: Path, here: Path, env: dict[str, str]) -> None:
        self._socket, self._here = socket, here
        self._env = {**env, "TERM": "xterm-256color"}

    def start(self, *words: str) -> None:
        script = f"{shlex.join(words)}; echo exit $?; exec cat"
        where = ("-x", "100", "-y", "30", "-c", str(self._here))
        self("new-session", "-d", *where, "/bin/sh", "-c", script)

    def __call__(self, *words: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *words]
        return subprocess.run(
            command,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    def shows(self, pattern: str) -> str:
        """Wait until the pane shows it, and return all of the pane."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            pane = self("capture-pane", "-p")
            if re.search(pattern, pane, re.MULTILINE):
                return pane
            time.sleep(0.05)
        pytest.fail(f"{pattern!r} never came:\n{self('capture-pane', '-p')}")


@pytest.fixture
def tmux(
    tmp_path_factory: pytest.TempPathFactory, here: Path, clean_env: dict[str, str]
) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    server = Tmux(tmp_path_factory.mktemp("t") / "s", here, clean_env)
    try:
        yield server
    finally:
        server("kill-server")  # one of our own, by its socket


def test_a_tmux_pane_shows_the_bar_and_then_only_the_paths(tmux: Tmux) -> None:
    words = ("a cat", *SMALL, "--set", "delay=1", "-n", "2", "-o", "x.png")
    tmux.start(IMAGEN, "generate", *words)

    tmux.shows(r"image 1 of 2 .*━.* \d+/20 steps, \d+\.\d/s \d:\d\d:\d\d")
    tmux.shows(r"^x-1\.png\n.*image 2 of 2 ")
    pane = tmux.shows(r"^exit 0$")
    assert pane.split() == ["x-1.png", "x-2.png", "exit", "0"]
    assert tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"


def test_a_finished_image_is_drawn_below_its_path(screen: Screen, here: Path) -> None:
    words = ["generate", "a cat", *SMALL, "--count", "2", "-o", "x.png", "--show"]
    # This terminal is not queried for its graphics, which would take a second.
    code, seen = screen.run(IMAGEN, *words, TERM="linux")
    redirected, drawn = screen.run(
        "/bin/sh", "-c", f"{shlex.join([IMAGEN, *words])} > out", TERM="linux"
    )

    first, second = seen.index("x-1.png"), seen.index("x-2.png")
    assert (code, redirected) == (0, 0)
    assert first < seen.index("▀") < second < seen.rindex("▀")
    assert "▀" in drawn
    assert (here / "out").read_text() == "x-1.png\nx-2.png\n"
