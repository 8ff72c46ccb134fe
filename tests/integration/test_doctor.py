"""Each line of `imagen doctor`, with the thing broken and mended."""

import errno
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.accounts import Accounts, call_into
from tests.e2e.conftest import IMAGEN, Ask, Run, ask, clean_env, here, home
from tests.e2e.test_terminal import Screen, screen
from tests.integration.comfyui.server import ComfyServer

from imagen.bootstrap.doctor import describe_locks, describe_space
from imagen.domain.call import CallSending
from imagen.testing.samples import MONDAY, sample_row

__all__ = ["ask", "clean_env", "here", "home", "screen"]  # fixtures

Line = tuple[str, str]
Doctor = Callable[..., Run]


@pytest.fixture
def accounts(home: Path) -> Accounts:
    return Accounts(home / "data")


@pytest.fixture
def doctor(ask: Ask, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Ask the doctor about a config."""
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(accounts.folder))

    def run(config: str | None = None, **env: str) -> Run:
        if config is None:
            return ask("doctor", "--json", env=env)
        Path("c.yaml").write_text(config)
        return ask("doctor", "--json", "--config", "c.yaml", env=env)

    return run


def line(run: Run, name: str) -> Line:
    """Return the state and the note of the one line of that name."""
    (found,) = (each for each in run.objects if each["name"] == name)
    assert found["hint"] or found["state"] != "warning"
    return found["state"], found["note"]


def names(run: Run) -> list[str]:
    return [each["name"] for each in run.objects]


MOCK = "backends: {box: {adapter: mock}}"


def test_on_a_machine_in_order_everything_is_ready(doctor: Doctor) -> None:
    run = doctor(MOCK)

    assert (run.code, run.err) == (0, "")
    assert [each["state"] for each in run.objects] == ["ready"] * len(run.objects)
    assert names(run) == [
        *("imagen", "config", "backend box", "models", "prices", "image folder"),
        *("disk space", "data folder", "account", "supabase", "terminal", "preview"),
        "extras",
    ]


def test_the_screen_has_eighty_columns(ask: Ask, here: Path) -> None:
    (here / "c.yaml").write_text("backends: {r: {adapter: replicate}}")

    run = ask("doctor", "--config", "c.yaml")

    assert run.code == 1
    assert max(map(len, run.lines)) <= 80
    assert run.lines[0].startswith("ready    imagen")
    assert (
        "PROBLEM  key of r                $REPLICATE_API_TOKEN is not set" in run.lines
    )


def test_the_config(doctor: Doctor, home: Path) -> None:
    missing = doctor()
    broken = doctor("backends: {box: {adapter: frob}}\nfrob: 1")
    ambiguous = doctor("backends: {a: {adapter: mock}, b: {adapter: mock}}")
    mended = doctor("backends: {a: {adapter: mock}}")

    state, note = line(missing, "config")
    assert (missing.code, state) == (0, "warning")
    assert note.startswith(f"{home}/.config/imagen.yaml does not exist")
    state, note = line(broken, "config")
    assert (broken.code, state) == (1, "problem")
    assert "c.yaml:1: backends.box.adapter: " in note
    assert "c.yaml:2: frob: unknown key" in note
    assert {"data folder", "extras"} <= {*names(broken)}
    assert line(ambiguous, "config")[0] == "warning"
    assert line(mended, "config") == ("ready", "c.yaml, 2 backends, default a")


def test_a_key(doctor: Doctor) -> None:
    config = "backends: {r: {adapter: replicate, base_url: 'http://127.0.0.1:9'}}"
    missing = doctor(config)
    there = doctor(config, REPLICATE_API_TOKEN="canary")

    assert missing.code == 1
    assert line(missing, "key of r") == ("problem", "$REPLICATE_API_TOKEN is not set")
    assert "backend r" not in names(missing)
    assert line(there, "key of r") == ("ready", "$REPLICATE_API_TOKEN is set")
    assert "canary" not in there.out + there.err


def test_a_key_that_is_not_needed(doctor: Doctor) -> None:
    server = "{adapter: openai, dialect: localai, base_url: 'http://127.0.0.1:9/v1'}"

    run = doctor(f"backends: {{own: {server}}}")

    assert line(run, "key of own") == (
        "ready",
        "$LOCALAI_API_KEY is not set, and not needed",
    )
    assert line(run, "backend own")[0] == "problem"


def test_a_backend(doctor: Doctor) -> None:
    with ComfyServer() as server:
        config = f"backends: {{c: {{adapter: comfyui, base_url: '{server.url}'}}}}"
        up = doctor(config)
    down = doctor(config)

    assert line(up, "backend c")[0] == "ready"
    assert "0.3.64" in line(up, "backend c")[1]
    assert down.code == 1
    state, note = line(down, "backend c")
    assert (state, "was not reached" in note) == ("problem", True)


def test_a_model_that_ends(doctor: Doctor) -> None:
    config = "backends: {{g: {{adapter: gemini, model: {}}}}}"
    ended = doctor(config.format("gemini-3.1-flash-image"))
    lasting = doctor(config.format("gemini-3-pro-image"))

    state, note = line(ended, "model of g")
    assert (ended.code, state) == (1, "problem")
    assert note.endswith("was shut down on 2026-10-29; use gemini-nano-banana-2.1")
    assert line(lasting, "models") == ("ready", "none ends within 60 days")


def test_an_old_price(doctor: Doctor) -> None:
    config = "backends: {{r: {{adapter: replicate, model: {}}}}}"
    old = doctor(config.format("black-forest-labs/flux-dev"))
    own = doctor(config.format("black-forest-labs/flux-dev, price: 0.03"))

    state, note = line(old, "prices")
    assert state == "warning"
    assert note.startswith("that of black-forest-labs/flux-dev is from ")
    assert line(own, "prices")[0] == "ready"


def test_the_folder_for_images(doctor: Doctor, here: Path) -> None:
    (here / "file").touch()
    config = "output: {{dir: {}}}"
    broken, mended = doctor(config.format("file/x")), doctor(config.format("new/x"))

    assert broken.code == 1
    assert line(broken, "image folder") == (
        "problem",
        f"{here}/file/x cannot be created",
    )
    assert line(mended, "image folder") == ("ready", f"{here}/new/x")
    assert not (here / "new").exists()


@pytest.mark.parametrize(
    ("free", "state"),
    [(99_999_999, "problem"), (999_999_999, "warning"), (1_000_000_000, "ready")],
)
def test_the_disk_space(free: int, state: str) -> None:
    found = describe_space(Path("/pictures"), free)

    assert (found.state, bool(found.hint)) == (state, state != "ready")
    assert found.note == f"{free / 1e9:.1f} GB free at /pictures"


def test_the_data_folder(doctor: Doctor, here: Path, home: Path) -> None:
    (here / "file").touch()
    broken = doctor(MOCK, IMAGEN_DATA_DIR=str(here / "file" / "x"))
    mended = doctor(MOCK)

    assert broken.code == 1
    assert line(broken, "data folder")[0] == "problem"
    assert line(mended, "data folder") == ("ready", f"{home}/data")


def test_the_locks(doctor: Doctor, accounts: Accounts) -> None:
    def refuse(_: Path) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    broken = describe_locks(accounts.folder, refuse)
    accounts.folder.mkdir()

    assert (broken.state, "No locks available" in broken.note) == ("problem", True)
    assert line(doctor(MOCK), "locks") == ("ready", "supported by the file system")


def test_the_account(doctor: Doctor, accounts: Accounts) -> None:
    none = doctor(MOCK)
    accounts.folder.mkdir(exist_ok=True)
    accounts.file.write_bytes(b"not a database" * 100)
    broken = doctor(MOCK)
    accounts.file.unlink()
    accounts.spend(sample_row(1, cost=3, at=MONDAY))
    mended = doctor(MOCK)

    assert line(none, "account") == ("ready", "no records yet")
    assert broken.code == 1
    assert line(broken, "account")[0] == "problem"
    assert line(mended, "account") == ("ready", "1 paid call")


def test_jobs_that_are_open(doctor: Doctor, accounts: Accounts, ask: Ask) -> None:
    call = accounts.leave(call_into(accounts.folder), CallSending())
    unfinished = doctor(MOCK)
    ask("jobs", "forget", call.id)
    mended = doctor(MOCK)

    assert unfinished.code == 0
    assert line(unfinished, "open jobs") == (
        "warning",
        "1 unfinished, which may be billed",
    )
    assert "open jobs" not in names(mended)


def test_a_clock_that_was_ahead(doctor: Doctor, accounts: Accounts) -> None:
    accounts.spend(sample_row(1, cost=3, at=MONDAY))
    right = doctor(MOCK)
    accounts.spend(sample_row(2, cost=3, at=MONDAY.replace(year=2999)))
    wrong = doctor(MOCK)

    assert "clock" not in names(right)
    assert line(wrong, "clock")[0] == "warning"


def test_uploads_that_are_pending(doctor: Doctor, accounts: Accounts) -> None:
    accounts.spend(sample_row(1, cost=3, at=MONDAY))
    cloud = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_SERVICE_KEY": "canary"}

    local, pending = doctor(MOCK), doctor(MOCK, **cloud)

    assert "uploads" not in names(local)
    assert line(pending, "uploads") == ("warning", "usage rows: 1 pending")
    assert "canary" not in pending.out


def test_supabase(doctor: Doctor) -> None:
    half = doctor(MOCK, SUPABASE_URL="http://127.0.0.1:9")
    none = doctor(MOCK)

    assert half.code == 1
    assert line(half, "supabase")[0] == "problem"
    assert "$SUPABASE_SERVICE_KEY is not set" in line(half, "supabase")[1]
    assert line(none, "supabase") == ("ready", "not used")


def test_the_preview(doctor: Doctor, tmp_path: Path) -> None:
    broken = doctor(MOCK, TMUX="/tmp/tmux,1,0", PATH=str(tmp_path))
    tmux = tmp_path / "tmux"
    tmux.write_text("#!/bin/sh\n")
    tmux.chmod(0o755)
    mended = doctor(MOCK, TMUX="/tmp/tmux,1,0", PATH=str(tmp_path))
    outside = doctor(MOCK)

    assert line(broken, "preview")[0] == "warning"
    assert line(mended, "preview") == ("ready", "a tmux window for each image")
    assert line(outside, "preview") == ("ready", "not in tmux")


def test_the_terminal(screen: Screen, doctor: Doctor) -> None:
    shown = screen.run(IMAGEN, "doctor", TERM="linux")[1]
    dumb = screen.run(IMAGEN, "doctor", TERM="dumb")[1]

    assert "pictures are drawn with half blocks" in shown
    assert "stdout is not a terminal for pictures" in dumb
    assert line(doctor(MOCK), "terminal")[1] == "stdout is not a terminal for pictures"


def test_the_extras(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = line(doctor(MOCK), "extras")[1]
    monkeypatch.setitem(sys.modules, "c2pa", None)
    (found,) = (each for each in doctor(MOCK).objects if each["name"] == "extras")

    assert "not installed" not in whole
    assert found["note"].endswith("; not installed: c2pa")
    assert "imagen-studio[c2pa]" in found["hint"]
