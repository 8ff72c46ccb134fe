"""Pictures on the way: asked for by those who want to see them, and shown in place."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from tests.integration.comfyui.server import ComfyServer

import imagen
from imagen.cli.app import main
from imagen.domain.events import Previewed
from imagen.registry import BUILT_IN
from imagen.testing.fakes import tiny_png

pytestmark = pytest.mark.skipif(
    "comfyui" not in BUILT_IN, reason="ComfyUI is not in the table of adapters"
)

PICTURE = tiny_png(8, 8, (200, 30, 30))
DRAWN = b"\x1b[38;2;200;30;30;48;2;200;30;30m\xe2\x96\x80"
WORDS = ("a fox", "--size", "64x64", "--steps", "3", "-o", "x.png")
WAIT = 60


@pytest.fixture
def newer() -> bool:
    return True


@pytest.fixture
def server(newer: bool) -> Iterator[ComfyServer]:
    """An older one that was started to send pictures, or one that can be asked to."""
    with ComfyServer(
        newer=newer, previews=not newer, preview_picture=PICTURE
    ) as server:
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
def env(tmp_path: Path) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "PYTHONWARNINGS": "error",
    }


@pytest.mark.parametrize("newer", [False, True], ids=["older", "newer"])
def test_whoever_listens_live_hears_a_picture_for_each_step(
    config: Path, tmp_path: Path
) -> None:
    heard: list[Previewed] = []

    imagen.generate(
        "a fox",
        size="64x64",
        steps=3,
        config=config,
        output=tmp_path / "x.png",
        live=True,
        listen=lambda event: (
            heard.append(event) if isinstance(event, Previewed) else None
        ),
    )

    assert [each.content for each in heard] == [PICTURE] * 3
    assert {(each.number, each.media_type) for each in heard} == {(1, "image/jpeg")}


@pytest.mark.parametrize("newer", [False, True], ids=["older", "newer"])
def test_nobody_else_asks_for_pictures_or_hears_them(
    config: Path, tmp_path: Path, server: ComfyServer
) -> None:
    heard: list[object] = []

    imagen.generate(
        "a fox",
        size="64x64",
        config=config,
        output=tmp_path / "x.png",
        listen=heard.append,
    )

    assert not any(isinstance(event, Previewed) for event in heard)
    assert "preview_method" not in server.prompts[0].extra_data


def test_on_a_terminal_it_is_drawn_in_place_and_taken_away(
    config: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    words = ["-m", "imagen", "generate", *WORDS, "--live", "--config", str(config)]
    terminal = pexpect.spawn(
        sys.executable,
        words,
        cwd=str(tmp_path),
        env=env,  # type: ignore[arg-type]  # it says os._Environ
        dimensions=(30, 80),
        timeout=WAIT,
    )
    terminal.expect_exact(b"\x1b[c")
    terminal.send(b"\x1b[?62;22c")
    terminal.expect_exact(DRAWN)
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0
    # Four rows of eight pixels, in whose place the path is.
    assert b"\x1b[4A\x1b[Jx.png\r\n" in (terminal.before or b"")


def test_without_a_terminal_it_is_one_warning(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    code = main(["generate", *WORDS, "--live", "--config", str(config)])

    out, err = capfd.readouterr()
    assert (code, out) == (0, "x.png\n")
    (line,) = err.splitlines()
    assert line.startswith("imagen: warning: --live shows no picture without")


def test_a_server_that_sends_none_is_named(tmp_path: Path) -> None:
    config = tmp_path / "imagen.yaml"
    heard: list[object] = []
    with ComfyServer() as server:
        config.write_text(
            "backends:\n"
            f"  lab: {{adapter: comfyui, base_url: '{server.url}', workflow: sd15}}\n"
        )
        imagen.generate(
            "a fox", config=config, live=True, listen=heard.append, output=tmp_path
        )

    assert any("lab sent no preview." in str(each) for each in heard)


def test_a_backend_that_cannot_says_so(tmp_path: Path) -> None:
    heard: list[object] = []

    imagen.generate(
        "a fox", backend="mock", live=True, listen=heard.append, output=tmp_path
    )

    assert any("mock does not support previews" in str(each) for each in heard)
