"""The command against a ComfyUI: several processes at once, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.integration.comfyui.server import ComfyServer
from tests.nightly import examples

from imagen.cli.app import main
from imagen.formats.container import read_facts
from imagen.registry import BUILT_IN

pytestmark = pytest.mark.skipif(
    "comfyui" not in BUILT_IN, reason="ComfyUI is not in the table of adapters"
)

PROCESSES = examples(2, nightly=5)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    with ComfyServer(step_seconds=0.01) as server:
        yield server


@pytest.fixture
def config(server: ComfyServer, tmp_path: Path) -> Path:
    config = tmp_path / "imagen.yaml"
    config.write_text(
        "backends:\n"
        f"  comfy: {{adapter: comfyui, base_url: '{server.url}', workflow: sd15}}\n"
    )
    return config


@pytest.fixture
def start(config: Path, tmp_path: Path) -> Iterator[Start]:
    """Run the command beside the test, and no longer than that, even if it fails."""
    env = {**os.environ, "HOME": str(tmp_path), "PYTHONWARNINGS": "error"}

    with ExitStack() as started:

        def start_one(*words: str) -> "subprocess.Popen[str]":
            command = [sys.executable, "-m", "imagen", *words, "--config", str(config)]
            process = started.enter_context(
                subprocess.Popen(
                    command,
                    cwd=tmp_path,
                    env=env,
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            started.callback(process.kill)
            return process

        yield start_one


def test_several_processes_do_not_disturb_each_other(
    start: Start, server: ComfyServer, tmp_path: Path
) -> None:
    processes = [
        start(
            *("generate", "a cat", "--size", "128x64", "--steps", "3"),
            *("--count", "3", "--seed", f"{n}00"),
        )
        for n in range(1, PROCESSES + 1)
    ]
    ended = [process.communicate(timeout=60) for process in processes]

    assert [err for out, err in ended if len(out.splitlines()) != 3] == []
    assert [process.returncode for process in processes] == [0] * PROCESSES
    assert len(server.ran) == 3 * PROCESSES
    facts = [
        read_facts((tmp_path / path).read_bytes())
        for out, _ in ended
        for path in out.splitlines()
    ]
    assert {(each.width, each.height) for each in facts} == {(128, 64)}


def test_a_signal_stops_the_job_on_the_server(
    start: Start, server: ComfyServer
) -> None:
    server.trouble(pauses=True)
    process = start("generate", "a cat", "--size", "64x64")
    server.wait_until(lambda: server.paused, seconds=60)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    server.wait_until(lambda: server.prompts[-1].state == "interrupted")
    assert "Traceback" not in err


def test_a_signal_that_comes_twice_at_once_stops_the_job_on_the_server(
    start: Start, server: ComfyServer
) -> None:
    server.trouble(pauses=True)
    process = start("generate", "a cat", "--size", "64x64")
    server.wait_until(lambda: server.paused, seconds=60)

    process.send_signal(signal.SIGTERM)
    time.sleep(0.02)  # two signals at the same moment are one
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    # Python itself removes the handlers when it ends: a shell shows 143 for both.
    assert process.returncode in {143, -signal.SIGTERM}
    server.wait_until(lambda: server.prompts[-1].state == "interrupted")


def test_a_check_says_what_is_missing(
    config: Path,
    server: ComfyServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.models["checkpoints"] = ["another.safetensors"]
    monkeypatch.setenv("HOME", str(tmp_path))

    code = main(["backends", "check", "comfy", "--json", "--config", str(config)])

    out, err = capsys.readouterr()
    assert code != 0, err
    assert "another.safetensors" in json.dumps(json.loads(out))
