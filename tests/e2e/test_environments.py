"""Every command in strange environments ends with its exit code and true sentences."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.conftest import IMAGEN
from tests.integration.replicate.server import ReplicateServer

ROOT = Path(__file__).parents[2]
DRIVER = (sys.executable, "-m", "tests.e2e.environments")

DONE, FAILED, NOTHING_SENT = 0, 1, 2
COMMANDS = {
    "generate fox --size 64x64 -o a.png": DONE,
    "generate fox --estimate": DONE,
    "rerun a.png -o b.png": DONE,
    "sweep fox --seed 1,2 --size 64x64 -o s/": DONE,
    "jobs": DONE,
    "jobs forget nope": NOTHING_SENT,
    "resume": DONE,
    "history": DONE,
    "history forget last": DONE,
    "sync": NOTHING_SENT,
    "fetch last": NOTHING_SENT,
    "show a.png": DONE,
    "inspect a.png": DONE,
    "strip a.png -o c.png": DONE,
    "trash list": DONE,
    "trash restore last": NOTHING_SENT,
    "trash empty --yes": DONE,
    "usage": DONE,
    "prices": DONE,
    "models": DONE,
    "styles": DONE,
    "help": DONE,
    "backends list": DONE,
    "backends check": DONE,
    "config init": DONE,
    "config validate": DONE,
    "config migrations": DONE,
    "config path": DONE,
    "version": DONE,
    "--help": DONE,
    "serve --addr 0.0.0.0:0": NOTHING_SENT,
    "--install-completion": NOTHING_SENT,
}
SILENT = {  # on stdout, while there is nothing to list
    *("jobs", "resume", "history forget last", "trash list", "trash empty --yes"),
    "usage",
}
ACCOUNT = {  # they say where the records are
    *("generate fox --size 64x64 -o a.png", "rerun a.png -o b.png", "jobs", "resume"),
    *("sweep fox --seed 1,2 --size 64x64 -o s/", "jobs forget nope", "history"),
    *("history forget last", "trash list", "trash restore last", "usage"),
    "trash empty --yes",
}


def run(words: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> str:
    """Run all commands in one process, and return its output."""
    done = subprocess.run(
        words,
        input=json.dumps([command.split() for command in COMMANDS]),
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(
    results: str, codes: Mapping[str, int] = COMMANDS, *, says: bool = True
) -> dict[str, str]:
    """Check the exit codes and the form of the messages; return the messages."""
    messages: dict[str, str] = {}
    for command, (code, out, err) in zip(COMMANDS, json.loads(results), strict=True):
        described = f"{command}: {out}{err}"
        assert code == codes[command], described
        assert "Traceback" not in err, described
        assert "internal error" not in err, described
        assert all(line.startswith("imagen: ") for line in err.splitlines()), described
        if says and code != DONE:
            assert err, described
        if says and code == DONE and command not in SILENT:
            assert out, described
        messages[command] = err
    return messages


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder in which every user may write."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@pytest.mark.parametrize(
    "env",
    [
        {"LANG": "C", "LC_ALL": "C"},
        {"NO_PROXY": "::1/128,[::1],host:abc,,", "HTTP_PROXY": "http://127.0.0.1:9"},
        pytest.param(
            {"LC_ALL": "xx_YY.ISO-8859-1", "TERM": ""}, marks=pytest.mark.nightly
        ),
        pytest.param(
            {"TZ": "Nowhere/Never", "TERM": "no-such-terminal"},
            marks=pytest.mark.nightly,
        ),
    ],
    ids=["LANG=C", "strange proxies", "no TERM", "wrong TZ"],
)
def test_strange_variables(env: dict[str, str], home: Path, here: Path) -> None:
    check(run([*DRIVER, "files"], env={"HOME": str(home), **env}, cwd=here))


def test_a_full_device_as_stdout(home: Path, here: Path) -> None:
    results = run([*DRIVER, "full"], env={"HOME": str(home)}, cwd=here)

    codes = {
        command: FAILED if code == DONE and command not in SILENT else code
        for command, code in COMMANDS.items()
    }
    messages = check(results, codes)
    for command, code in codes.items():
        if code == FAILED:
            assert "Standard output cannot be written" in messages[command]


def test_closed_standard_streams(home: Path, here: Path) -> None:
    results = run([*DRIVER, "closed"], env={"HOME": str(home)}, cwd=here)

    check(results, says=False)
    assert (here / "a.png").read_bytes().startswith(b"\x89PNG")


def test_no_home_variable(here: Path) -> None:
    # The home folder of the user database, which a test must not write in.
    data = {"IMAGEN_DATA_DIR": str(here / "data"), "XDG_CONFIG_HOME": str(here)}

    check(run([*DRIVER, "files"], env=data, cwd=here))


def find_stranger() -> list[str]:
    """Return the words before a command of a user without an entry in passwd."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("only root can become another user")
    other = [setpriv, "--reuid=64242", "--regid=64242", "--clear-groups"]
    # Python may be in a folder of root's.
    reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    for words in (other, [*other, *reading]):
        tried = [*words, sys.executable, "-c", "import imagen.cli.app"]
        if not subprocess.run(tried, capture_output=True, check=False).returncode:
            return words
    pytest.skip("another user cannot start Python here")


@pytest.mark.parametrize(
    "home",
    [
        None,
        "/root",
        *(pytest.param(each, marks=pytest.mark.nightly) for each in ("/", "/nowhere")),
    ],
)
def test_a_user_without_an_entry_and_a_home(
    open_folder: Path, home: str | None
) -> None:
    env = {"TMPDIR": str(open_folder), **({"HOME": home} if home else {})}

    results = run([*find_stranger(), *DRIVER, "files"], env=env, cwd=open_folder)

    messages = check(results)
    for command in ACCOUNT:
        assert messages[command].count(f"Records in {open_folder}/imagen-64242") == 1
        assert "Set IMAGEN_DATA_DIR" in messages[command]
    assert (open_folder / "imagen-64242").stat().st_mode & 0o777 == 0o700


def test_a_read_only_system(open_folder: Path) -> None:
    out = open_folder / "out"
    out.mkdir()
    mount = (
        "mount -o remount,ro,bind / && "
        f'mount -t tmpfs -o mode=777 tmpfs {out} && cd {out} && exec "$@"'
    )
    words = ["unshare", "-m", "sh", "-c", mount, "sh"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the system cannot be mounted read-only here")
    env = {"HOME": str(open_folder), "TMPDIR": str(out)}

    messages = check(run([*words, *DRIVER, "files"], env=env, cwd=out))

    for command in ACCOUNT:
        assert messages[command].count(f"Records in {out}/imagen-") == 1


def test_a_paid_call_needs_an_account_that_is_kept(open_folder: Path) -> None:
    with ReplicateServer() as server:
        config = open_folder / "imagen.yaml"
        config.write_text(
            "usage: {remote: off}\n"
            "backends:\n"
            "  paid: {adapter: replicate, model: black-forest-labs/flux-schnell,"
            f' base_url: "{server.url}"}}\n'
        )
        words = [*find_stranger(), IMAGEN, "generate", "a fox", "--size", "1:1"]

        def generate(*more: str, **env: str) -> tuple[int, str]:
            done = subprocess.run(
                [*words, *more],
                capture_output=True,
                text=True,
                cwd=open_folder,
                env={
                    "TMPDIR": str(open_folder),
                    "IMAGEN_CONFIG": str(config),
                    "REPLICATE_API_TOKEN": server.token,
                    **env,
                },
                timeout=60,
                check=False,
            )
            return done.returncode, done.stderr

        code, refused = generate()

        assert (code, server.created) == (2, 0)
        assert re.search("temporary.*IMAGEN_DATA_DIR.*--unrecorded", refused)
        code, warned = generate("--unrecorded")
        assert (code, server.created) == (0, 1)
        assert warned.count("temporary") == 1
        kept = str(open_folder / "kept")
        assert generate(IMAGEN_DATA_DIR=kept) == (0, "")


def test_an_account_that_cannot_be_written_can_be_read(open_folder: Path) -> None:
    data = open_folder / "data"
    env = {"IMAGEN_DATA_DIR": str(data), "XDG_CONFIG_HOME": str(open_folder)}
    words = [*find_stranger(), IMAGEN]

    def ask(*command: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*words, *command],
            capture_output=True,
            text=True,
            cwd=open_folder,
            env=env,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    assert ask("generate", "a fox", "--size", "64x64", "-o", "a.png")[0] == 0
    for path in (*data.rglob("*"), data):
        path.chmod(0o555 if path.is_dir() else 0o444)

    code, listed, said = ask("history")
    assert (code, said) == (0, "")
    assert "a fox" in listed
    assert ask("usage") == (0, "", "imagen: No usage.\n")
    assert ask("jobs") == (0, "", "imagen: No open jobs.\n")
    code, _, said = ask("generate", "a fox", "--size", "64x64", "-o", "b.png")
    assert (code, said.count("not recorded")) == (0, 1)
    data.chmod(0o755)
