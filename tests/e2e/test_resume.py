"""The command `imagen resume`: what it says, and how it ends.

That nothing is lost or paid twice by it is in `test_paid.py`.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from imagen.domain.call import CallAccepted, CallLeftOpen, CallReceived, CallSending
from imagen.testing.samples import sample_id
from tests.contract_internal.samples import sample_call
from tests.e2e.accounts import (
    Accounts,
    call_into,
    received_image,
    short_waits,
)
from tests.e2e.conftest import (
    IMAGEN,
    Ask,
    Run,
    Shell,
    Start,
    assert_one_sentence,
    left_behind,
)
from tests.e2e.test_terminal import Screen, last_words, screen
from tests.integration.replicate.server import ReplicateServer

__all__ = ["screen", "short_waits"]  # fixtures

CONFIG = """
output: {{dir: {images}}}
usage: {{remote: off}}
backends:
  paid: {{adapter: replicate, model: black-forest-labs/flux-schnell, base_url: "{url}"}}
"""

Submit = Callable[..., None]
Jobs = Callable[[], list[Any]]
Leave = Callable[..., None]
Resume = Callable[..., Run]


@pytest.fixture
def server() -> Iterator[ReplicateServer]:
    with ReplicateServer() as server:
        yield server


@pytest.fixture
def images(here: Path) -> Path:
    return here / "images"


@pytest.fixture
def accounts(home: Path) -> Accounts:
    return Accounts(home / "data")


@pytest.fixture
def env(
    accounts: Accounts, server: ReplicateServer, here: Path, images: Path
) -> dict[str, str]:
    config = here / "imagen.yaml"
    config.write_text(CONFIG.format(images=images, url=server.url))
    token = {"REPLICATE_API_TOKEN": server.token}
    return {**accounts.env, **token, "IMAGEN_CONFIG": str(config)}


@pytest.fixture
def resume(ask: Ask, env: dict[str, str]) -> Resume:
    return lambda *words: ask("resume", *words, env=env)


@pytest.fixture
def jobs(ask: Ask, env: dict[str, str]) -> Jobs:
    return lambda: ask("jobs", "--json", env=env).objects


@pytest.fixture
def submit(ask: Ask, env: dict[str, str], server: ReplicateServer) -> Submit:
    """Submit a job that this process cannot poll, so that it stays open."""

    def run(prompt: str = "a red fox") -> None:
        server.spoil("/predictions", method="GET", status=401)
        made = ask("generate", prompt, "--backend", "paid", env=env)
        server.calm()
        assert made.code == 7

    return run


@pytest.fixture
def received(accounts: Accounts, images: Path) -> Leave:
    """Leave a job whose image is here."""

    def leave(number: int = 1) -> None:
        accounts.leave(
            call_into(images, number), CallReceived(received=received_image())
        )

    return leave


def stored(images: Path) -> list[str]:
    return [name for name in left_behind(images) if not name.endswith(".json")]


def test_an_accepted_job_is_fetched_and_its_path_printed(
    submit: Submit, resume: Resume, server: ReplicateServer, images: Path
) -> None:
    submit()

    first, second = resume(), resume()

    assert (first.code, first.err) == (0, "")
    assert [Path(line) for line in first.lines] == [images / stored(images)[0]]
    assert (second.code, second.out) == (0, "")
    assert second.err == "imagen: No open jobs.\n"
    assert (server.created, server.paid) == (1, 1)


def test_in_json_it_is_the_sidecar_and_the_path(
    submit: Submit, resume: Resume, server: ReplicateServer, images: Path
) -> None:
    submit()

    run = resume("--all", "--json")

    assert (run.code, run.err) == (0, "")
    (note,) = run.objects
    path = note.pop("path")
    assert note == json.loads(Path(f"{path}.json").read_bytes())
    assert (note["prompt"], note["cost_usd"]) == ("a red fox", 0.003)


def test_only_what_is_named_is_finished(
    received: Leave, resume: Resume, jobs: Jobs
) -> None:
    for number in range(1, 5):
        received(number)

    whole = resume(sample_id(1))
    beginning = resume(sample_id(2)[:13].upper())
    last = resume("last")

    assert [run.code for run in (whole, beginning, last)] == [0, 0, 0]
    assert [len(run.lines) for run in (whole, beginning, last)] == [1, 1, 1]
    assert [job["id"] for job in jobs()] == [sample_id(3)]


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("frob",), "No open job 'frob'. Run `imagen jobs` to list"),
        ((sample_id(1), ""), "No open job ''."),
        (("019a",), "2 open jobs begin with '019a'."),
        (("last", "--all"), "An ID and --all cannot be combined."),
        (("--frob",), "Unknown option: --frob."),
    ],
)
def test_wrong_words_finish_nothing(
    received: Leave,
    resume: Resume,
    images: Path,
    words: tuple[str, ...],
    fragment: str,
) -> None:
    received(1)
    received(2)

    run = resume(*words)

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, fragment)
    assert not images.exists()


def test_quiet_says_nothing_but_paths(
    received: Leave, resume: Resume, accounts: Accounts
) -> None:
    accounts.leave(sample_call(1))
    received(2)

    some, none = resume("-q"), resume("-q")

    assert (some.code, len(some.lines), some.err) == (0, 1, "")
    assert (none.code, none.out, none.err) == (0, "", "")


def test_what_was_never_sent_is_cleared_away(
    resume: Resume, accounts: Accounts, jobs: Jobs
) -> None:
    call = accounts.leave(sample_call(1))

    run = resume()

    assert (run.code, run.out) == (0, "")
    assert run.err == f"imagen: {call.id}: It was never sent.\n"
    assert (jobs(), accounts.ledger) == ([], [])


def test_what_failed_for_good_is_an_error_and_over(
    submit: Submit,
    resume: Resume,
    server: ReplicateServer,
    accounts: Accounts,
    jobs: Jobs,
) -> None:
    server.trouble(ends="failed", error="CUDA out of memory")
    submit()
    (job,) = jobs()

    run = resume("--json")

    assert run.code == 1
    (said,) = run.objects
    assert said["job"] == job["id"]
    assert said["error"]["code"] == "backend_error"
    assert_one_sentence(run.err, f"imagen: {job['id']}: ", "CUDA out of memory")
    assert jobs() == []
    assert [status for status, _ in accounts.ledger] == ["failed"]


def test_what_cannot_be_asked_now_stays_and_the_next_is_finished(
    received: Leave,
    resume: Resume,
    accounts: Accounts,
    jobs: Jobs,
) -> None:
    accounts.leave(sample_call(1, backend="gone"), CallSending())
    received(2)

    run = resume()

    assert (run.code, len(run.lines)) == (1, 1)
    why, rest = run.err.splitlines()
    assert why.startswith(f"imagen: {sample_id(1)}: Unknown backend 'gone'.")
    assert rest.startswith("imagen: 1 job is still open. Run `imagen resume` to retry,")
    assert [job["id"] for job in jobs()] == [sample_id(1)]


def test_another_service_under_the_same_name_is_not_asked(
    accounts: Accounts, resume: Resume, jobs: Jobs, server: ReplicateServer
) -> None:
    call = sample_call(1, backend="paid", adapter="comfyui")
    accounts.leave(call, CallAccepted(reference="job-7"))

    run = resume()

    assert run.code == 1
    assert (
        "sent through the adapter comfyui, and paid uses replicate in this config"
        in run.err
    )
    assert [job["id"] for job in jobs()] == [call.id]
    assert server.requests == []


def test_the_trouble_is_that_of_the_last_who_tried(
    accounts: Accounts, resume: Resume, jobs: Jobs
) -> None:
    call = sample_call(1, backend="gone")
    accounts.leave(call, CallSending(), CallLeftOpen(reason="Silence."))

    resume()

    (job,) = jobs()
    assert job["trouble"].startswith("Unknown backend ")


def test_images_that_were_damaged_meanwhile_do_not_keep_the_next_from_being_stored(
    received: Leave, resume: Resume, accounts: Accounts
) -> None:
    received(1)
    received(2)
    (accounts.folder / "spool" / f"{sample_id(1)}.received").write_bytes(b"\xff" * 9)

    run = resume()

    assert (run.code, len(run.lines)) == (1, 1)
    assert f"{sample_id(1)}.received is damaged" in run.err


def test_what_another_process_works_on_is_left_alone(
    received: Leave, resume: Resume, accounts: Accounts
) -> None:
    received(1)
    accounts.work_on(sample_call(2), CallSending())

    all_, named = resume(), resume(sample_id(2))

    assert (all_.code, len(all_.lines)) == (0, 1)
    assert all_.err == "imagen: 1 job is in progress in another process.\n"
    assert (named.code, named.out) == (1, "")
    assert named.err == f"imagen: {sample_id(2)}: Another process is working on it.\n"


def test_a_job_that_another_process_takes_meanwhile_is_counted(
    submit: Submit,
    start: Start,
    env: dict[str, str],
    *,
    server: ReplicateServer,
    jobs: Jobs,
    accounts: Accounts,
) -> None:
    for prompt in ("a red fox", "a brown fox"):
        server.trouble(never_ends=True)
        submit(prompt)
    (other,) = [job["id"] for job in jobs() if job["prompt"] == "a brown fox"]
    process = start("resume", env=env)
    server.wait_until(lambda: server.looked, seconds=60)

    assert accounts.journal.claim(other)
    server.end()
    out, err = process.communicate(timeout=60)

    assert (process.returncode, len(out.splitlines())) == (0, 1)
    assert b"imagen: 1 job is in progress in another process.\n" in err


def test_several_that_resume_at_once_share_the_work(
    received: Leave,
    start: Start,
    env: dict[str, str],
    images: Path,
    accounts: Accounts,
) -> None:
    for number in range(1, 13):
        received(number)

    crowd = [start("resume", env=env) for _ in range(3)]
    printed = [process.communicate(timeout=60)[0].splitlines() for process in crowd]

    assert [process.returncode for process in crowd] == [0] * 3
    paths = [path for lines in printed for path in lines]
    assert len(paths) == len(set(paths)) == len(stored(images)) == 12
    assert accounts.ledger == [("ok", 25_000)] * 12


def test_an_image_that_was_rescued_is_an_error_and_over(
    received: Leave, resume: Resume, images: Path, accounts: Accounts
) -> None:
    received(1)
    images.write_text("no folder")

    run = resume()

    (rescued,) = (accounts.folder / "rescued").glob("*.png")
    assert (run.code, run.out) == (1, "")
    assert_one_sentence(run.err, f"imagen: {sample_id(1)}: ", str(rescued))
    assert accounts.ledger == [("ok", 25_000)]


# Stopping


def test_ctrl_c_cancels_one_and_leaves_the_rest_as_it_was(
    submit: Submit,
    start: Start,
    env: dict[str, str],
    server: ReplicateServer,
    jobs: Jobs,
) -> None:
    server.trouble(never_ends=True)
    submit("a red fox")
    server.trouble(never_ends=True)
    submit("a brown fox")
    process = start("resume", env=env)
    server.wait_until(lambda: server.looked, seconds=60)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert b"Traceback" not in err
    assert b"1 job is still open" in err
    assert [each.cancelled for each in server.predictions] == [True, False]
    assert [job["prompt"] for job in jobs()] == ["a brown fox"]


def test_what_was_paid_for_is_fetched_though_the_pipe_is_closed(
    submit: Submit,
    received: Leave,
    here: Path,
    clean_env: dict[str, str],
    env: dict[str, str],
    *,
    server: ReplicateServer,
    images: Path,
) -> None:
    received(1)
    submit()
    reading, writing = os.pipe()
    os.close(reading)

    process = subprocess.run(
        [IMAGEN, "resume"],
        stdout=writing,
        cwd=here,
        env={**clean_env, **env},
        timeout=60,
        check=False,
    )
    os.close(writing)

    assert process.returncode == 0
    assert len(stored(images)) == 2
    assert not server.predictions[0].cancelled


def test_a_full_pipe_is_said_and_where_the_image_is(
    received: Leave, sh: Shell, env: dict[str, str], images: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which only Linux has")
    received(1)
    exported = " ".join(f"{name}={value}" for name, value in env.items())

    run = sh(f'{exported} "$0" resume >/dev/full')

    assert run.code == 1
    assert f"The image is at {images / stored(images)[0]}." in run.err


# In a terminal


def test_a_terminal_shows_that_it_is_fetching(
    submit: Submit, screen: Screen, env: dict[str, str], server: ReplicateServer
) -> None:
    server.trouble(never_ends=True)
    submit()

    process = screen.start(IMAGEN, "resume", **env)
    process.expect("fetching", timeout=60)
    server.end()
    process.expect(pexpect.EOF, timeout=60)
    process.close()

    assert process.exitstatus == 0
    assert last_words(process.before or "")[-2].endswith(".webp")
