"""`imagen show` on terminals with different protocols."""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

WAIT = 30
ASKED = b"\x1b[16t\x1b[14t\x1b[c"
VT220, VT340 = b"\x1b[?62;22c", b"\x1b[?62;4;22c"
GRAPHICS = b"\x1b_Gi=4211;OK\x1b\\"
BLOCK = "▀".encode()
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"

Show = Callable[..., "pexpect.spawn[bytes]"]


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Show]:
    """Return a function that starts the command on its own terminal."""
    started: list[pexpect.spawn[bytes]] = []
    words = PngInfo()
    words.add_text("parameters", "a \x1b[31mlighthouse\nSteps: 4, Seed: 5, Size: 8x8")
    Image.new("RGB", (40, 40), (200, 30, 30)).save(tmp_path / "x.png", pnginfo=words)

    def start(*words: str, **env: str) -> "pexpect.spawn[bytes]":
        kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
        started.append(
            pexpect.spawn(
                sys.executable,
                ["-W", "error", "-m", "imagen", "show", *words],
                cwd=str(tmp_path),
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


def test_a_terminal_that_says_nothing_is_not_waited_for_without_end(
    show: Show,
) -> None:
    said = finished(show("x.png"))

    assert BLOCK in said


@pytest.mark.parametrize("term", ["linux", "screen-256color", "vt100"])
def test_one_that_would_print_the_question_is_not_asked(show: Show, term: str) -> None:
    said = finished(show("x.png", TERM=term))

    assert BLOCK in said
    assert b"\x1b_G" not in said
    assert b"\x1b[c" not in said


def test_a_way_can_be_forced(show: Show) -> None:
    said = answered(show("--as", "iterm2", "x.png"), VT220)

    assert b"\x1b]1337;File=" in said


@pytest.mark.parametrize(
    ("words", "env"), [(("--as", "text"), {}), ((), {"TERM": "dumb"})]
)
def test_words_alone_are_words(
    show: Show, words: tuple[str, ...], env: dict[str, str]
) -> None:
    said = finished(show(*words, "x.png", **env))

    assert b"\x1b" not in said
    assert b"seed 5" in said


def test_nothing_in_a_file_moves_the_cursor(show: Show, tmp_path: Path) -> None:
    (tmp_path / "x.png").rename(tmp_path / "\x1b[2J.png")

    said = finished(show("--as", "text", "\x1b[2J.png"))

    assert b"\x1b" not in said
    assert b"a \\x1b[31mlighthouse" in said


def test_what_is_typed_ahead_is_left_to_whoever_reads_next(
    show: Show, tmp_path: Path
) -> None:
    terminal = pexpect.spawn(
        "/bin/sh",
        ["-c", f"read a; {sys.executable} -m imagen show x.png; read b; echo $a.$b."],
        cwd=str(show("--as", "text", "x.png").cwd or tmp_path),
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm"},
        timeout=WAIT,
    )
    terminal.send(b"one\ntwo\n")  # the second before anybody reads it
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


@pytest.mark.parametrize("key", [b" ", b"q", b"\x1b", b"\x1b[A", b"\n"])
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


def test_in_a_pipe_there_are_only_words(show: Show, tmp_path: Path) -> None:
    import subprocess

    show("--as", "text", "x.png")  # makes the file
    run = subprocess.run(
        [sys.executable, "-m", "imagen", "show", "--hold", "x.png", "x.png"],
        capture_output=True,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "TERM": "xterm-kitty"},
        timeout=WAIT,
        check=True,
    )

    assert run.stdout.count(b"x.png\n") == 2
    assert not re.search(rb"[\x00-\x09\x0b-\x1f]", run.stdout)
    assert run.stderr == b""


@pytest.mark.parametrize(
    ("words", "said"),
    [((), b"IMAGE is missing"), (("nothing.png",), b"No such file: nothing.png")],
)
def test_what_is_not_there_is_said(
    show: Show, words: tuple[str, ...], said: bytes
) -> None:
    terminal = show(*words)
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 2
    assert said in (terminal.before or b"")


def test_a_picture_that_cannot_be_drawn_is_said_and_the_others_are_shown(
    show: Show, tmp_path: Path
) -> None:
    from imagen.formats.container import PNG_SIGNATURE, png_chunk, png_chunks

    show("--as", "text", "x.png")  # makes the file
    whole = (tmp_path / "x.png").read_bytes()
    chunks = [
        png_chunk(kind, b"no pixels" if kind == b"IDAT" else whole[start + 8 : end - 4])
        for kind, start, end in png_chunks(whole)
    ]
    broken = PNG_SIGNATURE + b"".join(chunks)
    terminal = show("broken.png", "x.png", TERM="linux")
    (tmp_path / "broken.png").write_bytes(broken)
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 2
    assert b"imagen: broken.png cannot be drawn: " in (terminal.before or b"")
    assert BLOCK in (terminal.before or b"")
