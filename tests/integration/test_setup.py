"""`imagen setup` in a terminal, with servers of the tests in place of real ones."""

import json
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
import yaml
from tests.e2e.conftest import Ask, ask, clean_env, here, home, left_behind
from tests.e2e.test_terminal import Screen, screen
from tests.integration.comfyui.server import ComfyServer
from tests.integration.replicate.server import ReplicateServer

__all__ = ["ask", "clean_env", "here", "home", "screen"]  # fixtures

# The ports and the address that the adapters name, on a machine that runs other tests.
_RUN = """
import sys
from msgspec import defstruct
from msgspec.structs import replace
from imagen import registry
from imagen.adapters.backends.comfyui import adapter as comfyui
from imagen.adapters.backends.replicate import adapter as replicate
port, url = sys.argv[1:3]
# Another name of this machine, so that it looks like a service elsewhere.
url = url.replace("127.0.0.1", "127.1")
options = defstruct(
    "Options", [("base_url", str, f"http://localhost:{port}")],
    bases=(comfyui.ComfyOptions,), frozen=True, kw_only=True,
)
comfyui.adapter = replace(comfyui.adapter, ports=(), options=options)
options = defstruct(
    "Options", [("base_url", str, url)], bases=(replicate.ReplicateOptions,),
    frozen=True, kw_only=True,
)
replicate.adapter = replace(replicate.adapter, options=options)
registry._find_entry_points = dict
for other in registry.BUILT_IN.keys() - {"comfyui", "mock", "replicate"}:
    del registry.BUILT_IN[other]
from imagen.cli.app import main
sys.exit(main(["setup", *sys.argv[3:]]))
"""
WHICH, FOLDER, DEFAULT = "Add which?", "Folder for images?", "Default backend:"
WRITE, ADD = "Write ", "Add to "
NO_PORT = 9  # discard: nobody listens there


@pytest.fixture(scope="module")
def comfyui() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


@pytest.fixture(scope="module")
def replicate() -> Iterator[ReplicateServer]:
    with ReplicateServer() as server:
        yield server


class Conversation:
    """A run of `imagen setup` that is answered question by question."""

    def __init__(self, screen: Screen, port: int, url: str, **env: str) -> None:
        words = (sys.executable, "-W", "error", "-c", _RUN, str(port), url)
        self._process = screen.start(*words, **env)
        self.seen = ""

    def answer(self, question: str, answer: str) -> None:
        self.read_to(question)
        self._process.send(f"{answer}\r")

    def read_to(self, text: str) -> None:
        try:
            self._process.expect_exact(text)
        except (pexpect.EOF, pexpect.TIMEOUT):
            pytest.fail(f"{text!r} was not asked: {self.seen}{self._process.before}")
        self.seen += f"{self._process.before}{text}"

    def press(self, key: str) -> None:
        self._process.sendcontrol(key)

    def end(self) -> int | None:
        self._process.expect(pexpect.EOF)
        self.seen += self._process.before or ""
        self._process.close()
        return self._process.exitstatus


Talk = Callable[[], Conversation]


@pytest.fixture
def conversation(
    screen: Screen, comfyui: ComfyServer, replicate: ReplicateServer
) -> Talk:
    """Begin a conversation in which both a server and a key are found."""
    key = {"REPLICATE_API_TOKEN": replicate.token}
    return lambda: Conversation(screen, comfyui.port, replicate.url, **key)


@pytest.fixture
def config(home: Path) -> Path:
    return home / ".config" / "imagen.yaml"


def test_a_comfyui_is_found_and_used_after_three_questions(
    screen: Screen, comfyui: ComfyServer, config: Path, ask: Ask
) -> None:
    talk = Conversation(screen, comfyui.port, "http://127.0.0.1:9")
    talk.answer(WHICH, "")
    talk.answer(FOLDER, "~/pictures")
    talk.answer(WRITE, "y")

    assert talk.end() == 0, talk.seen
    assert re.search(r"0\.3\.64\r\nimagen: +workflow: flux-schnell\r\n", talk.seen)
    assert "$REPLICATE_API_TOKEN" in talk.seen
    found = talk.seen.partition(WHICH)[0].splitlines()
    assert max(map(len, found)) <= 80
    written = yaml.safe_load(config.read_text("utf-8"))
    assert written["default_backend"] == "comfyui"
    assert written["output"]["dir"] == "~/pictures"
    assert written["backends"]["comfyui"] == {
        "adapter": "comfyui",
        "base_url": f"http://localhost:{comfyui.port}",
        "workflow": "flux-schnell",
    }
    run = ask("generate", "a red fox", "--size", "256x256")
    assert (run.code, run.out[: len(str(config.parent.parent))]) == (
        0,
        str(config.parent.parent),
    )


def test_the_first_workflow_whose_files_are_there_is_chosen(
    screen: Screen, comfyui: ComfyServer, config: Path
) -> None:
    models = {kind: [] for kind in comfyui.models}
    models["checkpoints"] = ["sd_xl_base_1.0.safetensors"]
    with ComfyServer(models=models) as server:
        talk = Conversation(screen, server.port, "http://127.0.0.1:9")
        talk.answer(WHICH, "1")
        talk.answer(FOLDER, "")
        talk.answer(WRITE, "")
        assert talk.end() == 0, talk.seen

    assert yaml.safe_load(config.read_text())["backends"]["comfyui"]["workflow"] == (
        "sdxl"
    )


def test_a_key_is_found_and_its_variable_is_written(
    screen: Screen, replicate: ReplicateServer, config: Path
) -> None:
    key = {"REPLICATE_API_TOKEN": replicate.token}
    talk = Conversation(screen, NO_PORT, replicate.url, **key)
    talk.answer(WHICH, "")
    talk.answer(FOLDER, "")
    talk.answer(WRITE, "")

    assert talk.end() == 0, talk.seen
    assert yaml.safe_load(config.read_text())["backends"]["replicate"] == {
        "adapter": "replicate",
        "api_token_env": "REPLICATE_API_TOKEN",
    }
    assert replicate.token not in config.read_text() + talk.seen
    assert replicate.paid == 0


def test_a_wrong_key_is_reported_and_added_only_if_that_is_confirmed(
    screen: Screen, replicate: ReplicateServer, config: Path
) -> None:
    wrong = {"REPLICATE_API_TOKEN": "r8_" + "Zz9" * 12}  # made up
    talk = Conversation(screen, NO_PORT, replicate.url, **wrong)
    talk.read_to("NOT READY")
    talk.answer(WHICH, "1")
    talk.answer("Add it all the same? [y/N]", "")
    talk.answer(WHICH, "1")
    talk.answer("Add it all the same? [y/N]", "y")
    talk.answer(FOLDER, "")
    talk.answer(WRITE, "n")

    assert talk.end() == 1
    assert "Nothing was written." in talk.seen
    assert "Zz9" not in talk.seen
    assert not config.exists()


@pytest.mark.parametrize(("asked", "key"), [(0, "d"), *((n, "c") for n in range(4))])
def test_nothing_is_written_when_a_question_is_cancelled(
    conversation: Talk, home: Path, asked: int, key: str
) -> None:
    questions = [WHICH, DEFAULT, FOLDER, WRITE]
    talk = conversation()
    for question in questions[:asked]:
        talk.answer(question, "")
    talk.read_to(questions[asked])
    talk.press(key)

    assert talk.end() == 130, talk.seen
    assert talk.seen.rstrip().endswith("Cancelled; nothing was written.")
    assert left_behind(home / ".config") == []


def test_a_second_run_adds_a_backend_and_keeps_the_file(
    conversation: Talk, comfyui: ComfyServer, config: Path
) -> None:
    mine = f"""\
# my config
backends:
  lab: {{adapter: comfyui, base_url: 'http://127.0.0.1:{comfyui.port}'}} # the GPU
output: {{dir: x}}
"""
    config.parent.mkdir()
    real = config.with_name("real.yaml")
    real.write_text(mine)
    real.chmod(0o640)
    config.symlink_to("real.yaml")

    talk = conversation()
    talk.answer(WHICH, "")
    talk.answer(DEFAULT, "lab")
    talk.answer(ADD, "")

    assert talk.end() == 0, talk.seen
    assert f"localhost:{comfyui.port}" not in talk.seen  # `lab` is that server
    lines = real.read_text().splitlines()
    assert [line for line in lines if line in mine.splitlines()] == mine.splitlines()
    assert lines[1] == "default_backend: lab"
    written = yaml.safe_load(real.read_text())
    assert list(written["backends"]) == ["replicate", "lab"]
    assert config.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert left_behind(config.parent) == ["imagen.yaml", "real.yaml"]

    again = conversation()
    again.answer(WHICH, "")
    assert again.end() == 0
    assert "The config has replicate, lab." in again.seen
    assert real.read_text().splitlines() == lines


def test_a_server_on_another_machine_is_added_by_its_url(
    screen: Screen, comfyui: ComfyServer, config: Path
) -> None:
    talk = Conversation(screen, NO_PORT, "http://127.0.0.1:9", COLUMNS="80")
    talk.answer(WHICH, "127.0.0.1:9")
    talk.read_to("No comfyui server answers at http://127.0.0.1:9.")
    talk.answer(WHICH, "nonsense")
    talk.read_to("Type numbers such as 1,2, a URL such as")
    talk.answer(WHICH, "7")
    talk.answer(WHICH, f"http://127.0.0.1:{comfyui.port}")
    talk.answer(WHICH, "")
    talk.answer(FOLDER, "~nobody-at-all/x")
    talk.answer(FOLDER, "")
    talk.answer(WRITE, "")

    assert talk.end() == 0, talk.seen
    found = talk.seen.partition(FOLDER)[0].splitlines()
    assert max(len(line) for line in found if WHICH not in line) <= 80, found
    address = yaml.safe_load(config.read_text())["backends"]["comfyui"]["base_url"]
    assert address == f"http://127.0.0.1:{comfyui.port}"


KEYRING = """
import json, pathlib
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 1
    file = pathlib.Path(__file__).with_suffix(".json")

    def get_password(self, service, username):
        return json.loads(self.file.read_text()).get(f"{service}/{username}")

    def set_password(self, service, username, password):
        self.file.write_text(json.dumps({f"{service}/{username}": password}))
"""


def test_a_key_is_typed_and_the_keyring_holds_it(
    screen: Screen, replicate: ReplicateServer, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "filed.py").write_text(KEYRING)
    env = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "filed.Keyring"}
    key = replicate.token

    def talk_until(last: str) -> Conversation:
        talk = Conversation(screen, NO_PORT, replicate.url, **env)
        talk.answer(WHICH, "replicate")
        talk.answer("Key for replicate", key)
        talk.answer(WHICH, "")
        talk.answer(FOLDER, "")
        talk.read_to(last)
        return talk

    cancelled = talk_until(WRITE)
    cancelled.press("c")
    assert cancelled.end() == 130
    assert not (tmp_path / "filed.json").exists()

    talk = talk_until("? [Y/n]")
    talk.press("m")
    assert talk.end() == 0, talk.seen
    entry = yaml.safe_load(config.read_text())["backends"]["replicate"]["api_token_env"]
    assert entry == "keyring:imagen/replicate"
    assert json.loads((tmp_path / "filed.json").read_text()) == {
        "imagen/replicate": key
    }
    assert key not in talk.seen + config.read_text()


def test_with_yes_nothing_is_asked_and_what_is_ready_is_added(
    screen: Screen, comfyui: ComfyServer, replicate: ReplicateServer, config: Path
) -> None:
    key = {"REPLICATE_API_TOKEN": "r8_" + "Zz9" * 12}  # made up
    words = (sys.executable, "-c", _RUN, str(comfyui.port), replicate.url, "--yes")

    code, seen = screen.run(*words, **key)

    assert code == 0, seen
    assert list(yaml.safe_load(config.read_text())["backends"]) == ["mock", "comfyui"]
    assert re.search(r"replicate +NOT READY", seen)


def test_with_yes_and_nothing_found_nothing_is_written(
    screen: Screen, home: Path
) -> None:
    words = (sys.executable, "-c", _RUN, str(NO_PORT), "http://127.0.0.1:9", "--yes")

    code, seen = screen.run(*words)

    assert code == 1
    assert "Nothing was written. Without a backend of your own, imagen uses" in seen
    assert left_behind(home) == []


def test_without_a_terminal_it_needs_yes(ask: Ask) -> None:
    run = ask("setup")

    assert (run.code, run.out) == (2, "")
    assert "Use --yes" in run.err


def test_a_device_is_not_replaced(ask: Ask) -> None:
    run = ask("setup", "--yes", env={"IMAGEN_CONFIG": "/dev/null"})

    assert (run.code, run.out) == (2, "")
    assert "/dev/null is not a regular file" in run.err
    assert Path("/dev/null").is_char_device()


def test_a_config_with_errors_is_not_touched(
    screen: Screen, comfyui: ComfyServer, config: Path
) -> None:
    config.parent.mkdir()
    config.write_text("backends: {x: {adapter: frob}}")

    talk = Conversation(screen, comfyui.port, "http://127.0.0.1:9")

    assert talk.end() == 2
    assert "Unknown adapter 'frob'" in talk.seen
    assert config.read_text() == "backends: {x: {adapter: frob}}"
