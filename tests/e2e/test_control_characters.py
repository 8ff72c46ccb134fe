"""No command sends a control character from a hostile text to its terminal."""

import json
import os
import pty
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagen.cli.app import COMMANDS, main
from imagen.cli.progress import ProgressBar
from imagen.domain import events
from tests.e2e.conftest import SET_BY_TESTS

HOSTILE = "\x1b]0;owned\x07\x9b31m\x7f\x85\u202e\u2066\u2028end"
FORBIDDEN = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))} - set("\r\n\t")
FORBIDDEN |= set("\u202e\u2066\u2028")
# U+0085 stays out of file names: here it would only make the failures hard to read.
NAME = HOSTILE.replace("\x85", "")
SMALL = ("--size", "32x32", "--seed", "7")

Terminal = Callable[..., tuple[int, str]]


class _HostileServer(BaseHTTPRequestHandler):
    """A server that answers every request with hostile texts."""

    def do_GET(self) -> None:
        body = json.dumps({"error": HOSTILE, "detail": HOSTILE}).encode()
        self.send_response(422, "Refused")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name is the interface

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _HostileServer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Run the command in this process with stdout and stderr on a terminal.

    The home and the working folder have hostile names.
    """
    home, here = tmp_path / f"home{NAME}", tmp_path / f"here{NAME}"
    home.mkdir()
    here.mkdir()
    for name in os.environ:
        if not name.startswith("PYTEST_") and name not in {"PATH", *SET_BY_TESTS}:
            monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(home),
        "TERM": "dumb",
        "COLUMNS": "4000",
        "IMAGEN_CALLER": HOSTILE,
        "NO_COLOR": "1",
        "REPLICATE_API_TOKEN": "a-token",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(here)

    def run(*words: str) -> tuple[int, str]:
        master, slave = pty.openpty()
        seen: list[bytes] = []

        def read() -> None:
            try:
                while part := os.read(master, 65_536):
                    seen.append(part)
            except OSError:
                return  # Linux reports the closed other side so.

        reader = threading.Thread(target=read)
        reader.start()
        with monkeypatch.context() as patch, ExitStack() as streams:
            for name in ("stdout", "stderr"):
                stream = os.fdopen(os.dup(slave), "w", encoding="utf-8")
                streams.enter_context(stream)
                patch.setattr(sys, name, stream)
            time.tzset()
            code = main(words)
        os.close(slave)
        reader.join()
        os.close(master)
        return code, b"".join(seen).decode(errors="surrogateescape")

    return run


def assert_harmless(seen: str, *words: str) -> None:
    found = {letter for letter in seen if letter in FORBIDDEN}
    assert not found, (words, found, seen)


def write_foreign(path: Path) -> None:
    """Write an image of another tool, whose texts are hostile."""
    texts = PngInfo()
    settings = f"Steps: 4, Seed: 5, Size: 32x32, Model: {HOSTILE}"
    texts.add_itxt("parameters", f"a fox {HOSTILE}\n{settings}")
    Image.new("RGB", (32, 32), "red").save(path, pnginfo=texts)


def write_config(path: Path, server: str) -> None:
    instances = {
        "mock": {"adapter": "mock"},
        "lab": {"adapter": "comfyui", "base_url": server},
        "cloud": {"adapter": "replicate", "model": "a/b", "base_url": server},
    }
    content = {"default_backend": "mock", "backends": instances}
    path.write_text(json.dumps(content))


def test_every_command_escapes_hostile_texts(terminal: Terminal, server: str) -> None:
    here = Path.cwd()
    foreign, made, config = f"foreign{NAME}.png", f"made{NAME}.png", f"c{NAME}.yaml"
    write_foreign(here / foreign)
    write_config(here / config, server)
    broken = f"broken{NAME}.yaml"
    (here / broken).write_text(json.dumps({f"wrong {HOSTILE}": {HOSTILE: HOSTILE}}))
    prompt, on = f"a fox {HOSTILE}", ("--config", config)
    tried: set[tuple[str, ...]] = set()
    for words in [
        ("generate", prompt, *SMALL, "--negative", HOSTILE, "-o", made, "-v"),
        ("generate", prompt, *SMALL, "-o", made, *on),
        ("generate", prompt, *SMALL, "--estimate", "--negative", HOSTILE, *on),
        ("generate", prompt, *SMALL, "--json"),
        ("generate", prompt, "--set", f"{HOSTILE}=1"),
        ("generate", prompt, "--set", f"palette={HOSTILE}"),
        ("generate", prompt, *SMALL, "--model", HOSTILE, "--backend", "lab", *on),
        ("generate", prompt, "--backend", "cloud", *on),
        ("generate", prompt, "--backend", HOSTILE),
        ("generate", prompt, f"--no{HOSTILE}"),
        ("generate", prompt, HOSTILE),
        (HOSTILE,),
        ("backends", "list", *on),
        ("backends", "check", *on),
        ("backends", "check", "--json", *on),
        ("config", "init"),
        ("config", "validate", *on),
        ("config", "validate", "--config", broken),
        ("config", "migrations"),
        ("config", "path", *on),
        ("jobs",),
        ("jobs", "forget", HOSTILE),
        ("resume", HOSTILE),
        ("history",),
        ("history", "--json"),
        ("history", "--search", HOSTILE),
        ("sync",),
        ("fetch", HOSTILE),
        ("show", made, foreign, HOSTILE),
        ("inspect", made, foreign, HOSTILE),
        ("inspect", made, foreign, "--json"),
        ("strip", foreign),
        ("rerun", made, "--estimate"),
        ("rerun", foreign, "--estimate"),
        ("rerun", foreign, "--backend", "mock", "-v"),
        ("rerun", HOSTILE),
        ("sweep", prompt, *SMALL[:2], "--seed", "1,2", "--estimate"),
        ("sweep", prompt, *SMALL[:2], "--seed", "1,2", "-o", made),
        ("trash", "list"),
        ("trash", "list", "--json"),
        ("trash", "restore", HOSTILE),
        ("trash", "restore", "last"),
        ("trash", "empty", "--yes"),
        ("usage",),
        ("usage", "--by", "caller,model"),
        ("usage", "--plot", "--by", "model"),
        ("usage", "--csv"),
        ("usage", "--json"),
        ("history", "forget", "last"),
        ("models", *on),
        ("models", HOSTILE),
        ("styles", *on),
        ("setup", "--yes", "--config", config),
        ("doctor", *on),
        ("help", HOSTILE),
        ("serve", "--addr", HOSTILE),
        ("prices", HOSTILE),
        ("version",),
        ("--install-completion", "--shell", "bash"),
    ]:
        code, seen = terminal(*words)
        assert_harmless(seen, *words)
        assert code in {0, 1, 2, 3, 4, 5, 6}, (words, seen)
        assert "internal error" not in seen, (words, seen)
        tried |= {words[:1], words[:2]}
    assert {command for command in COMMANDS if tuple(command.split()) not in tried} == (
        set()
    )


def test_a_prompt_cannot_add_a_line_to_an_estimate(terminal: Terminal) -> None:
    _, seen = terminal("generate", "a fox\ncost: $9", *SMALL, "--estimate")

    assert "prompt: a fox\\ncost: $9" in seen.splitlines()


def test_json_has_the_same_text_in_harmless_characters(terminal: Terminal) -> None:
    _, seen = terminal("generate", f"a fox {HOSTILE}", *SMALL, "--json", "--quiet")

    assert_harmless(seen)
    assert json.loads(seen)["prompt"] == f"a fox {HOSTILE}"


def test_a_path_in_a_pipe_keeps_its_bytes(
    terminal: Terminal, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    del terminal  # its folders
    with (
        open(1, "w", encoding="utf-8", closefd=False) as stdout,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", stdout)
        assert main(["config", "path", "--config", NAME]) == 0

    assert capfdbinary.readouterr().out == f"{NAME}\n".encode()


def test_a_note_of_a_backend_is_escaped_in_the_bar() -> None:
    from rich.console import Console

    bar = ProgressBar(Console(force_terminal=True), label="x")
    bar(events.Started(number=1))
    bar(events.Progressed(number=1, fraction=None, steps=None, note=HOSTILE))
    with bar.console.capture() as captured:
        bar.console.print(bar.get_renderable())

    assert "\\x1b]0;owned" in captured.get()
    assert "\x1b]" not in captured.get()
