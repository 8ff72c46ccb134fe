"""`imagen show` on terminals with different protocols."""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pexpect
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tests.integration.terminals import PATIENT_IMAGEN
from tests.nightly import some_by_day

from imagen.cli.app import main

WAIT = 30
ASKED = b"\x1b[16t\x1b[14t\x1b[c"
VT220, VT340 = b"\x1b[?62;22c", b"\x1b[?62;4;22c"
GRAPHICS = b"\x1b_Gi=4211;OK\x1b\\"
BLOCK = "▀".encode()
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"

Show = Callable[..., "pexpect.spawn[bytes]"]
Captured = pytest.CaptureFixture[bytes]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a red picture and text about how it was made."""
    words = PngInfo()
    words.add_text("parameters", "a \x1b[31mlighthouse\nSteps: 4, Seed: 5, Size: 8x8")
    Image.new("RGB", (40, 40), (200, 30, 30)).save(tmp_path / "x.png", pnginfo=words)
    return tmp_path


@pytest.fixture
def show(pictures: Path) -> Iterator[Show]:
    """Return a function that starts the command on its own terminal."""
    started: list[pexpect.spawn[bytes]] = []

    def start(
        *words: str, command: Sequence[str] = PATIENT_IMAGEN, **env: str
    ) -> "pexpect.spawn[bytes]":
        kept = {"PATH": os.environ["PATH"], "HOME": str(pictures), "LANG": "C.UTF-8"}
        started.append(
            pexpect.spawn(
                command[0],
                [*command[1:], "show", *words],
                cwd=str(pictures),
                env={**kept, "TERM": "xterm-256color", **env},
                dimensions=(30, 80),
                timeout=WAIT,
            )
        )
        return started[-1]

    yield start
    for each in started:
        each.close(force=True)


def finished(terminal: "pexpect.spawn[bytes]") -> bytes:
    """Return the rest of the output of a command that succeeds."""
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0, terminal.before
    return terminal.before or b""


def answered(terminal: "pexpect.spawn[bytes]", answer: bytes) -> bytes:
    terminal.expect_exact(ASKED)
    terminal.send(answer)
    return finished(terminal)


def test_kitty_is_sent_the_file(show: Show) -> None:
    said = answered(show("x.png"), GRAPHICS + VT220)

    assert b"\x1b_Ga=T,f=100," in said
    assert b"c=4,r=2," in said
    assert BLOCK not in said
    assert b"seed 5" in said


def test_sixel_is_drawn_where_the_terminal_says_that_it_knows_it(show: Show) -> None:
    pytest.importorskip("textual_image", reason="the extra show is not installed")

    said = answered(show("x.png"), b"\x1b[6;16;8t" + VT340)

    assert b'"1;1;40;32' in said or b'"1;1;40;48' in said, "in cells of 8x16"
    assert BLOCK not in said


@pytest.mark.parametrize(
    ("env", "name"),
    [({}, b"\x1bP>|iTerm2 3.5.0\x1b\\"), ({"TERM_PROGRAM": "iTerm.app"}, b"")],
)
def test_iterm2_is_known_by_its_name(
    show: Show, env: dict[str, str], name: bytes
) -> None:
    said = answered(show("x.png", **env), name + VT220)

    assert b"\x1b]1337;File=inline=1;" in said


def test_every_other_terminal_shows_half_blocks(show: Show) -> None:
    said = answered(show("x.png", COLORTERM="truecolor"), VT220)

    assert b"\x1b[38;2;200;30;30;48;2;200;30;30m" + BLOCK in said


def test_the_wait_for_a_silent_terminal_ends(show: Show) -> None:
    said = finished(show("x.png", command=[sys.executable, "-m", "imagen"]))

    assert BLOCK in said


@pytest.mark.parametrize("term", some_by_day(["linux", "screen-256color", "vt100"], 1))
def test_a_terminal_that_would_print_the_query_is_not_queried(
    show: Show, term: str
) -> None:
    said = finished(show("x.png", TERM=term))

    assert BLOCK in said
    assert b"\x1b_G" not in said
    assert b"\x1b[c" not in said


def test_a_way_can_be_forced(show: Show) -> None:
    said = answered(show("--as", "iterm2", "x.png"), VT220)

    assert b"\x1b]1337;File=" in said


def test_a_dumb_terminal_gets_captions_only(show: Show) -> None:
    said = finished(show("x.png", TERM="dumb"))

    assert b"\x1b" not in said
    assert b"seed 5" in said


def test_nothing_in_a_file_moves_the_cursor(show: Show, pictures: Path) -> None:
    (pictures / "x.png").rename(pictures / "\x1b[2J.png")

    said = finished(show("--as", "text", "\x1b[2J.png"))

    assert b"\x1b" not in said
    assert b"a \\x1b[31mlighthouse" in said


def test_keys_typed_ahead_are_left_to_the_next_program(pictures: Path) -> None:
    terminal = pexpect.spawn(
        "/bin/sh",
        ["-c", f"read a; {sys.executable} -m imagen show x.png; read b; echo $a.$b."],
        cwd=str(pictures),
        env={"PATH": os.environ["PATH"], "HOME": str(pictures), "TERM": "xterm"},
        timeout=WAIT,
    )
    terminal.send(b"one\ntwo\n")  # the second before a program reads it
    terminal.expect_exact(b"one.two.")
    terminal.close(force=True)


# --hold


def held(show: Show, *words: str) -> "pexpect.spawn[bytes]":
    terminal = show("--hold", *words)
    terminal.expect_exact(ASKED)
    terminal.send(VT220)
    terminal.expect_exact(ENTER)
    terminal.expect_exact(b"x.png\r\n")
    return terminal


@pytest.mark.parametrize("key", some_by_day([b"\x1b[A", b" ", b"\x1b", b"\n"], 1))
def test_it_stays_until_a_key(show: Show, key: bytes) -> None:
    terminal = held(show, "x.png")
    terminal.send(key)

    assert LEAVE in finished(terminal)


def test_a_key_goes_on_to_the_next_one_and_q_leaves(show: Show) -> None:
    terminal = held(show, "x.png", "x.png", "x.png")
    terminal.send(b" ")
    terminal.expect_exact(b"x.png\r\n")
    terminal.send(b"q")

    assert b"x.png" not in finished(terminal)


def test_in_a_window_of_another_size_it_is_drawn_anew(show: Show) -> None:
    terminal = held(show, "x.png")
    terminal.setwinsize(10, 30)
    terminal.expect_exact(b"x.png\r\n")

    drawn = (terminal.before or b"").count(b"\r\n")
    assert drawn <= 10
    terminal.send(b"q")
    finished(terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_terminal_back(show: Show, number: signal.Signals) -> None:
    import termios

    terminal = held(show, "x.png")
    during = termios.tcgetattr(terminal.child_fd)[3]
    terminal.kill(number)
    terminal.expect(pexpect.EOF)
    terminal.wait()

    assert LEAVE in (terminal.before or b"")
    assert terminal.exitstatus == 128 + number
    assert not during & termios.ICANON


# Where stdout is no terminal


@pytest.fixture
def here(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, current and the home, for a command in this process."""
    monkeypatch.chdir(pictures)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(pictures))
    return pictures


def test_without_a_terminal_only_captions_are_printed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Captured
) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")

    assert main(["show", "--hold", "x.png", "x.png"]) == 0

    out, err = capfdbinary.readouterr()
    assert out.count(b"x.png\n") == 2
    assert b"seed 5" in out
    assert not re.search(rb"[\x00-\x09\x0b-\x1f]", out)
    assert err == b""


@pytest.mark.parametrize(
    ("words", "said"),
    [((), b"IMAGE is missing"), (("nothing.png",), b"No such file: nothing.png")],
)
def test_a_missing_image_is_a_usage_error(
    here: Path, capfdbinary: Captured, words: tuple[str, ...], said: bytes
) -> None:
    assert main(["show", *words]) == 2

    assert said in capfdbinary.readouterr().err


def test_after_a_picture_that_cannot_be_drawn_the_others_are_drawn(
    show: Show, pictures: Path
) -> None:
    from imagen.formats.container import PNG_SIGNATURE, png_chunk, png_chunks

    whole = (pictures / "x.png").read_bytes()
    chunks = [
        png_chunk(kind, b"no pixels" if kind == b"IDAT" else whole[start + 8 : end - 4])
        for kind, start, end in png_chunks(whole)
    ]
    broken = PNG_SIGNATURE + b"".join(chunks)
    (pictures / "broken.png").write_bytes(broken)
    terminal = show("broken.png", "x.png", TERM="linux")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 2
    assert b"imagen: broken.png cannot be drawn: " in (terminal.before or b"")
    assert BLOCK in (terminal.before or b"")
