"""Signals that end a generation."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Process, Start, left_behind
from tests.nightly import examples

# The message about a backend that does not stop within three seconds.
GIVEN_UP = b"the backend did not respond in time"


def at_work(start: Start, *words: str) -> Process:
    """Start a generation, and return when the backend works on it."""
    sign = b'"fraction": 1.0' if "fail=deaf" in words else b'"Started"'
    process = start(
        *("generate", "a cat", "--size", "64x64", *words), env={"IMAGEN_LOG": "json"}
    )
    assert process.stderr
    for line in process.stderr:
        if sign in line:
            break
    return process


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_a_signal_cancels_the_job_and_leaves_nothing(
    start: Start, here: Path, number: signal.Signals, code: int
) -> None:
    process = at_work(start, "--set", "fail=silent")

    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert b"cancelled" in err
    assert GIVEN_UP not in err
    assert b"Traceback" not in err
    assert out == b""
    assert left_behind(here) == []


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    process = at_work(start, "--set", "fail=deaf")

    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # two of the same signal would be one
    _, err = process.communicate(timeout=60)

    assert process.returncode == 143
    assert GIVEN_UP not in err


def test_a_backend_that_does_not_listen_is_left_after_three_seconds(
    start: Start,
) -> None:
    process = at_work(start, "--set", "fail=deaf")

    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert time.monotonic() - began > 2.5
    assert GIVEN_UP in err


@pytest.fixture
def nohup() -> Iterator[None]:
    """Let the processes of the test ignore SIGHUP, as `nohup` does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("nohup")
def test_an_ignored_hangup_does_not_disturb_a_generation(
    start: Start, here: Path
) -> None:
    process = at_work(start, "--set", "delay=1", "-o", "cat.png")

    # On a machine that is busy for a second the image may be there already, and this
    # test show less, but not fail.
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (0, b"cat.png\n")
    assert b"cancelled" not in err
    assert (here / "cat.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("nohup")
def test_an_ignored_hangup_stays_ignored(start: Start) -> None:
    process = at_work(start, "--set", "fail=silent")

    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)

    _, err = process.communicate(timeout=60)

    # As a second signal, SIGTERM would end the process without a message.
    assert process.returncode == 143
    assert b"cancelled" in err


def test_processes_that_want_one_name_each_get_their_own(
    start: Start, here: Path
) -> None:
    count = examples(6, nightly=50)
    (here / "c.yaml").write_text("output: {naming: 'x.{ext}', dir: out}")
    words = ("generate", "a cat", "--size", "32x32", "--config", "c.yaml")

    crowd = [start(*words) for _ in range(count)]
    names = {process.communicate(timeout=120)[0].decode().strip() for process in crowd}

    assert [process.returncode for process in crowd] == [0] * count
    assert len(names) == count
    assert all((here / f"{name}.json").exists() for name in names)
    assert len(left_behind(here / "out")) == 2 * count
