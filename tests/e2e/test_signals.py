import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import IMAGEN, left_behind


def start(here: Path, env: dict[str, str], *words: str) -> "subprocess.Popen[bytes]":
    """Start a generation, and come back when the backend is at it."""
    sign = b'"fraction": 1.0' if "fail=deaf" in words else b'"Started"'
    process = subprocess.Popen(
        [IMAGEN, "generate", "a cat", "--size", "64x64", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=here,
        env={**env, "IMAGEN_LOG": "json"},
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
    here: Path, clean_env: dict[str, str], number: signal.Signals, code: int
) -> None:
    process = start(here, clean_env, "--set", "fail=silent")

    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=10)

    assert process.returncode == code
    assert time.monotonic() - began < 3
    assert b"cancelled" in err
    assert b"Traceback" not in err
    assert out == b""
    assert left_behind(here) == []


def test_images_that_were_made_before_the_signal_stay(
    here: Path, clean_env: dict[str, str]
) -> None:
    process = start(here, clean_env, "--count", "3", "--set", "delay=2")
    assert process.stdout
    first = process.stdout.readline().decode().strip()

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)

    assert process.returncode == 130
    assert left_behind(here) == [first, f"{first}.json"]


def test_a_second_signal_ends_it_at_once(here: Path, clean_env: dict[str, str]) -> None:
    process = start(here, clean_env, "--set", "fail=deaf")

    process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # two of the same signal at once would be one
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)

    assert process.returncode == 130
    assert time.monotonic() - began < 1


def test_a_backend_that_does_not_listen_is_left_after_three_seconds(
    here: Path, clean_env: dict[str, str]
) -> None:
    process = start(here, clean_env, "--set", "fail=deaf")

    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)

    assert process.returncode == 130
    assert 2.5 < time.monotonic() - began < 5
    assert b"without an answer in time" in err


def test_an_ignored_hangup_stays_ignored(here: Path, clean_env: dict[str, str]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start(here, clean_env, "--set", "delay=1")
    finally:
        signal.signal(signal.SIGHUP, before)

    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=10)

    assert process.returncode == 0


def test_fifty_processes_that_want_one_name_get_fifty(
    here: Path, clean_env: dict[str, str]
) -> None:
    (here / "c.yaml").write_text("output: {naming: 'x.{ext}', dir: out}")
    command = [IMAGEN, "generate", "a cat", "--size", "32x32", "--config", "c.yaml"]

    crowd = [
        subprocess.Popen(command, cwd=here, env=clean_env, stdout=subprocess.PIPE)
        for _ in range(50)
    ]
    names = {process.communicate(timeout=120)[0].decode().strip() for process in crowd}

    assert [process.returncode for process in crowd] == [0] * 50
    assert len(names) == 50
    assert all((here / f"{name}.json").exists() for name in names)
    assert len(left_behind(here / "out")) == 100
