"""The preview window in a real tmux, with file names of all kinds."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pexpect
import pytest
from tests.integration.terminals import PATIENT_IMAGEN

from imagen.adapters.display.tmux_preview import TmuxPreview
from imagen.cli.app import main
from imagen.ports.preview import PreviewError
from imagen.settings.environment import Environment
from imagen.testing.fakes import tiny_png

pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed"
)

WAIT = 60
SMALL = ("--size", "32x32")

HOSTILE = [
    "plain.png",
    "two words.png",
    "-d.png",
    "quo\"te's.png",
    "#{pane_id} #(touch owned) #H.png",
    "$(touch owned) `touch owned`; touch owned.png",
    "%H-%M.png",
    "two\nlines.png",
    "лиса 狐 🦊.png",
    "trailing;",
    "\x1b]0;owned\x07.png",
    os.fsdecode(b"no-utf-8-\xff.png"),
]


class Server:
    """A tmux server on its own socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = Path("/tmp") / f"imagen-{uuid4().hex}"  # a socket's path is short
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
        }
        self("new-session", "-d", "-s", "work", "-n", "here", "cat")
        self.pane = self("display-message", "-p", "#{pane_id}")

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-u", "-S", str(self.socket), "-f", "/dev/null", *words],
            capture_output=True,
            env=self.env,
            cwd=self.folder,
            timeout=WAIT,
            check=True,
        )
        return done.stdout.decode(errors="replace").rstrip("\n")

    @property
    def inside(self) -> dict[str, str]:
        """The environment of a process in the first pane."""
        return {**self.env, "TMUX": f"{self.socket},1,0", "TMUX_PANE": self.pane}

    def windows(self, session: str = "work") -> list[str]:
        return self("list-windows", "-t", session, "-F", "#W").split("\n")

    def close(self) -> None:
        subprocess.run(
            ["tmux", "-S", str(self.socket), "kill-server"],
            capture_output=True,
            timeout=WAIT,
            check=False,
        )
        self.socket.unlink(missing_ok=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        # One second is for users; on a busy machine tmux may need longer.
        patch.setitem(TmuxPreview.__init__.__kwdefaults__, "timeout", WAIT)
        yield server
    server.close()


@pytest.fixture
def tmux_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A viewer that writes its arguments to a pipe, once the test reads it."""
    program, said = tmp_path / "bin" / "tmux-img", tmp_path / "said"
    program.parent.mkdir()
    os.mkfifo(said)
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"with open({str(said)!r}, 'wb') as file:\n"
        "    file.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))\n"
        "sys.stdin.read()\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return said


def until(holds: Callable[[], bool], problem: str) -> None:
    """Poll tmux, which has no event for many of its changes."""
    end = time.monotonic() + WAIT
    while not holds():
        if time.monotonic() > end:
            pytest.fail(problem)
        time.sleep(0.02)


def preview(variables: Mapping[str, str], timeout: float = WAIT) -> TmuxPreview:
    return TmuxPreview(Environment(variables), timeout=timeout)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_viewer_gets_the_path_as_it_is_and_the_focus_stays(
    server: Server, tmux_img: Path, tmp_path: Path, name: str
) -> None:
    location = str(tmp_path / name)

    preview(server.inside).show(location)

    assert tmux_img.read_bytes() == b"--hold\0" + os.fsencode(location)
    first, window = server.windows()[0], "\n".join(server.windows()[1:])
    assert server("display-message", "-p", "#{pane_id}") == server.pane
    assert first == "here"
    if name.isprintable():
        assert window == f"img:{name}"
    assert window.startswith("img:")
    assert "\x1b" not in window
    assert not list(tmp_path.rglob("owned"))


def test_the_window_opens_in_the_session_of_the_pane(
    server: Server, tmux_img: Path, tmp_path: Path
) -> None:
    server("new-session", "-d", "-s", "newer", "-n", "here", "cat")

    preview(server.inside).show(str(tmp_path / "x.png"))

    assert server.windows() == ["here", "img:x.png"]
    assert server.windows("newer") == ["here"]


def test_without_tmux_img_imagen_itself_shows_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = tmp_path / "bin"
    only.mkdir()
    (only / "tmux").symlink_to(shutil.which("tmux") or "")
    monkeypatch.setenv("PATH", str(only))
    (tmp_path / "x.png").write_bytes(tiny_png())

    preview(server.inside).show(str(tmp_path / "x.png"))

    started = server("list-panes", "-t", "work:1", "-F", "#{pane_start_command}")
    assert sys.executable in started
    assert "show --hold" in started


@pytest.mark.parametrize("missing", ["TMUX", "TMUX_PANE"])
def test_outside_of_tmux_it_says_so(server: Server, missing: str) -> None:
    variables = {**server.inside, missing: ""}

    with pytest.raises(PreviewError, match="not inside a tmux session"):
        preview(variables).show("/x.png")


def test_a_server_that_is_gone_is_said(server: Server) -> None:
    server.close()

    with pytest.raises(PreviewError, match="tmux failed: "):
        preview(server.inside).show("/x.png")


def test_a_tmux_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "tmux"
    hanging.write_text("#!/bin/sh\nexec sleep 1000\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    variables = {"TMUX": "/nowhere,1,0", "TMUX_PANE": "%1"}

    with pytest.raises(PreviewError, match=r"did not answer within 0\.1 s"):
        preview(variables, timeout=0.1).show("/x.png")


# The command


class Run(NamedTuple):
    code: int
    out: bytes
    err: str


Generate = Callable[..., Run]


@pytest.fixture
def generate(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Generate:
    """Return a function that runs the command in this process, as in the first pane."""
    monkeypatch.chdir(server.folder)
    for name in [name for name in os.environ if name.startswith(("IMAGEN_", "XDG_"))]:
        monkeypatch.delenv(name)

    def run(*words: str, **env: str) -> Run:
        with monkeypatch.context() as patch:
            inside = {k: v for k, v in server.inside.items() if k != "PATH"}
            for name, value in {**inside, **env}.items():
                patch.setenv(name, value)
            code = main(["generate", "a fox", *SMALL, *words])
        out, err = capfdbinary.readouterr()
        return Run(code, out, err.decode())

    return run


def test_a_preview_is_requested_by_flag_environment_or_config(
    server: Server, tmux_img: Path, tmp_path: Path, generate: Generate
) -> None:
    (tmp_path / "on.yaml").write_text("output: {preview: on}")

    def windows(*words: str, **env: str) -> int:
        before = len(server.windows())
        done = generate(*words, **env)
        assert (done.code, done.err) == (0, "")
        return len(server.windows()) - before

    assert windows() == 0  # stdout is no terminal here
    assert windows("--preview") == 1
    assert windows(IMAGEN_PREVIEW="on") == 1
    assert windows("--config", "on.yaml") == 1
    assert windows("--config", "on.yaml", IMAGEN_PREVIEW="off") == 0
    assert windows("--preview", "--config", "on.yaml", IMAGEN_PREVIEW="off") == 1
    assert windows("--no-preview", IMAGEN_PREVIEW="on") == 0


def test_of_many_images_four_are_previewed(
    server: Server, tmux_img: Path, generate: Generate
) -> None:
    done = generate("--preview", "--count", "6")

    assert done.code == 0
    assert len(done.out.splitlines()) == 6
    assert len(server.windows()) == 1 + 4


def test_with_a_terminal_in_tmux_it_happens_by_itself(
    server: Server, tmux_img: Path
) -> None:
    path = f"{Path(sys.executable).parent}:{tmux_img.parent}/bin:{os.environ['PATH']}"
    command = ["env", f"PATH={path}", sys.executable, "-m", "imagen", "generate"]
    server("respawn-pane", "-k", "-t", server.pane, *command, "a fox", *SMALL)

    seen = tmux_img.read_bytes()

    assert seen.startswith(b"--hold\0" + os.fsencode(server.folder))


def test_a_failed_preview_is_one_line_and_changes_nothing(generate: Generate) -> None:
    done = generate("--preview", "--count", "2", TMUX="")

    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    (line,) = done.err.splitlines()
    assert line == "imagen: preview: this is not inside a tmux session"


def test_an_image_that_has_no_file_is_not_previewed(generate: Generate) -> None:
    done = generate("--preview", "-o", "x.png", "--quiet", TMUX="x")
    assert "imagen: preview: " in done.err

    streamed = generate("--preview", "-o-")

    assert streamed.code == 0
    assert streamed.err == "imagen: preview: the image was written to standard output\n"


def test_an_unknown_mode_is_refused_before_a_request_is_sent(
    generate: Generate,
) -> None:
    done = generate(IMAGEN_PREVIEW="sometimes")

    assert (done.code, done.out) == (2, b"")
    assert "$IMAGEN_PREVIEW is 'sometimes'. Set it to auto, on or off." in done.err


def test_in_python_nothing_opens_unless_asked_for(
    server: Server, tmux_img: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import imagen

    for name, value in {**server.inside, "IMAGEN_PREVIEW": "on"}.items():
        if name != "PATH":
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    imagen.generate("a fox", size="32x32")
    assert server.windows() == ["here"]

    image = imagen.generate("a fox", size="32x32", preview=True)
    assert server.windows() == ["here", f"img:{image.path.name}"]


# The viewer inside tmux


@pytest.fixture
def kitty(server: Server) -> Iterator["pexpect.spawn[bytes]"]:
    """Attach a terminal to the session that identifies itself as kitty."""
    client = pexpect.spawn(
        "tmux",
        ["-u", "-S", str(server.socket), "attach", "-t", "work"],
        env=server.env,
        dimensions=(30, 80),
        timeout=WAIT,
    )
    client.expect_exact(b"\x1b[>q")
    client.send(b"\x1b[?62;22c\x1bP>|kitty(0.35.2)\x1b\\")
    until(
        lambda: server("list-clients", "-F", "#{client_termtype}").startswith("kitty"),
        "tmux does not know its terminal",
    )
    yield client
    client.close(force=True)


def test_on_kitty_the_picture_goes_past_tmux_and_its_place_is_text(
    server: Server, kitty: "pexpect.spawn[bytes]", tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_bytes(tiny_png())
    command = [*PATIENT_IMAGEN, "show", "--hold", "x.png"]
    server("respawn-pane", "-k", "-t", server.pane, *command)

    kitty.expect(rb"\x1b_Ga=T,U=1,f=100,i=\d+,c=\d+,r=\d+,q=2,m=0;[^\x1b]+\x1b\\")
    kitty.expect_exact("\U0010eeee\u0305\u0305".encode())

    passing = ("show-options", "-pqv", "-t", server.pane, "allow-passthrough")
    assert server(*passing) in {"on", "all"}
    server("set-option", "-p", "-t", server.pane, "remain-on-exit", "on")
    kitty.send(b"q")
    # tmux 3.3a may miss that its child ended, so no hook tells.
    until(lambda: server(*passing) == "", "passing through is still allowed")


def test_in_a_window_that_nobody_sees_it_is_drawn_once_somebody_does(
    server: Server, kitty: "pexpect.spawn[bytes]", tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_bytes(tiny_png())
    command = [*PATIENT_IMAGEN, "show", "--hold", "x.png"]
    server("new-window", "-d", "-t", "work:", "-n", "hidden", *command)

    server("select-window", "-t", "work:hidden")

    kitty.expect_exact(b"\x1b_Ga=T,U=1,f=100,")
    kitty.expect_exact("\U0010eeee\u0305\u0305".encode())


def test_where_nobody_looks_on_it_is_half_blocks(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_bytes(tiny_png())
    command = [*PATIENT_IMAGEN, "show", "--hold", "x.png"]
    server("set-option", "-g", "remain-on-exit", "on")
    server("respawn-pane", "-k", "-t", server.pane, *command, "nothing.png")

    client = pexpect.spawn(
        "tmux",
        ["-u", "-S", str(server.socket), "attach", "-t", "work"],
        env=server.env,
        dimensions=(30, 80),
        timeout=WAIT,
    )

    client.expect_exact("▀▀▀".encode())
    client.close(force=True)


def test_the_desktop_opens_the_image_and_is_not_waited_for(
    tmp_path: Path, generate: Generate
) -> None:
    opened = tmp_path / "opened"
    os.mkfifo(opened)
    program = tmp_path / "bin" / "xdg-open"
    program.parent.mkdir(exist_ok=True)
    # It stays until the test reads.
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > "{opened}"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"

    done = generate("--open", "-o", "it's $(a) fox.png", PATH=path, DISPLAY=":9")

    assert (done.code, done.err) == (0, "")
    assert opened.read_text() == str(Path("it's $(a) fox.png").absolute())


def test_without_a_desktop_a_sentence_says_what_is_missing(
    tmp_path: Path, generate: Generate
) -> None:
    nowhere = generate("--open", DISPLAY="", WAYLAND_DISPLAY="")
    without = generate("--open", DISPLAY=":9", PATH=str(tmp_path))

    assert (nowhere.code, without.code) == (0, 0)
    assert "--open needs a desktop, and neither $DISPLAY nor" in nowhere.err
    assert without.err == (
        "imagen: preview: --open needs xdg-open, which is not installed\n"
    )


def test_a_picture_that_cannot_be_shown_is_a_warning(generate: Generate) -> None:
    done = generate("--show")

    assert (done.code, len(done.out.splitlines())) == (0, 1)
    assert done.err == (
        "imagen: warning: --show shows no picture without a terminal on stderr.\n"
    )
