"""A paid image is never lost and never paid twice, even if a process dies."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.accounts import short_waits
from tests.e2e.conftest import IMAGEN, Ask, Process, Run, Start
from tests.integration.replicate.server import ReplicateServer
from tests.nightly import examples

__all__ = ["short_waits"]  # a fixture

CONFIG = """\
usage: {{remote: off}}
backends:
  paid: {{adapter: replicate, model: black-forest-labs/flux-schnell, base_url: "{url}"}}
{more}
"""


class Customer:
    """A user with a token, a config and a folder for images.

    `run` calls the command in this process, `start` starts one.
    """

    def __init__(
        self, ask: Ask, start: Start, server: ReplicateServer, folder: Path
    ) -> None:
        self.server, self._folder = server, folder
        self.data = folder / "data"
        self.images = folder / "images"
        self._ask, self._start = ask, start
        self._env = {
            "IMAGEN_CONFIG": str(folder / "imagen.yaml"),
            "IMAGEN_DATA_DIR": str(self.data),
            "REPLICATE_API_TOKEN": server.token,
        }
        self.configure("")

    def configure(self, more: str) -> None:
        text = CONFIG.format(url=self.server.url, more=more)
        (self._folder / "imagen.yaml").write_text(text)

    def run(self, *words: str, env: Mapping[str, str] | None = None) -> Run:
        return self._ask(*words, env={**self._env, **(env or {})})

    def start(self, *words: str) -> Process:
        return self._start(*words, env=self._env)

    def generate(self, *words: str) -> Run:
        return self.run(*self.words, *words)

    @property
    def words(self) -> tuple[str, ...]:
        return ("generate", "a red fox", "--backend", "paid", "-o", f"{self.images}/")

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, **self._env}

    @property
    def stored(self) -> list[str]:
        return sorted(path.name for path in self.images.glob("*.webp"))

    @property
    def jobs(self) -> list[Any]:
        return self.run("jobs", "--json").objects

    @property
    def ledger(self) -> list[tuple[str, float | None]]:
        rows = self.run("usage", "--raw", "--json").objects
        return [(row["status"], row["cost_usd"]) for row in rows]


@pytest.fixture
def server() -> Iterator[ReplicateServer]:
    with ReplicateServer() as server:
        yield server


@pytest.fixture
def customer(ask: Ask, start: Start, server: ReplicateServer, here: Path) -> Customer:
    return Customer(ask, start, server, here)


def test_a_paid_image_is_stored_and_accounted_for(customer: Customer) -> None:
    made = customer.generate()

    assert (made.code, made.err) == (0, "")
    (note,) = [json.loads(p.read_bytes()) for p in customer.images.glob("*.json")]
    assert (note["cost_usd"], note["cost_source"]) == (0.003, "price_table")
    assert customer.ledger == [("ok", 0.003)]
    assert customer.jobs == []
    assert customer.run("history", "--json").objects[0]["id"] == note["id"]


@pytest.mark.parametrize("words", [(), ("--quiet",), ("--json",)])
def test_images_beyond_those_requested_are_stored_and_named(
    customer: Customer, server: ReplicateServer, words: tuple[str, ...]
) -> None:
    server.trouble(extra=2)

    made = customer.generate(*words)

    assert made.code == 0
    assert len(customer.stored) == 3
    assert len(made.lines) == 1
    extras = re.findall(r"^imagen: extra image: (.+)$", made.err, re.MULTILINE)
    named = {Path(path).name for path in extras}
    assert len(named) == 2
    if "--json" in words:
        (image,) = made.objects
        assert [each["path"] for each in image["extras"]] == extras
        assert image["extras"][0]["usage_id"] == image["usage_id"]
    else:
        assert {*named, Path(made.lines[0]).name} == {*customer.stored}
    history = customer.run("history", "--json").objects
    assert sorted(each["extra"] for each in history) == [False, True, True]
    assert customer.ledger == [("ok", 0.003)]


def test_images_beyond_the_one_that_is_piped_are_stored(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(extra=1)

    made = customer.run("generate", "a red fox", "--backend", "paid", "-o", "-")

    assert made.code == 0
    (extra,) = re.findall(r"^imagen: extra image: (.+)$", made.err, re.MULTILINE)
    assert Path(extra).is_file()


@pytest.mark.parametrize("body", ["<html>Sign in</html>", '{"detail": "not yet"}'])
def test_a_page_in_place_of_the_image_leaves_the_job_open_until_the_image_comes(
    customer: Customer, server: ReplicateServer, body: str
) -> None:
    server.spoil("/out", method="GET", status=200, body=body)

    made = customer.generate()

    assert made.code == 7
    (job,) = customer.jobs
    assert f"imagen resume {job['id']}" in made.err
    assert "may have been billed ($0.003)" in made.err
    assert customer.run("resume").code == 1
    assert not list(customer.data.glob("rescued/*"))
    server.calm()
    resumed = customer.run("resume")
    assert resumed.code == 0
    assert [Path(line).name for line in resumed.lines] == customer.stored
    assert (server.created, server.paid, len(customer.stored)) == (1, 1, 1)
    assert customer.ledger == [("ok", 0.003)]


@pytest.mark.parametrize("answer", ["drop", "500", "garbage"])
def test_an_answer_that_is_lost_is_looked_up_at_once(
    customer: Customer, server: ReplicateServer, answer: str
) -> None:
    server.trouble(accepts_then=answer)

    made = customer.generate()

    assert made.code == 0
    assert (server.created, server.paid, len(customer.stored)) == (1, 1, 1)
    assert customer.ledger == [("ok", 0.003)]


@pytest.mark.parametrize("answer", ["drop", "500"])
def test_what_cannot_be_looked_up_now_is_finished_later(
    customer: Customer, server: ReplicateServer, answer: str
) -> None:
    server.trouble(accepts_then=answer)
    server.spoil("/predictions", method="GET", status=503)

    made = customer.generate()

    assert made.code == 7
    (job,) = customer.jobs
    assert f"imagen resume {job['id']}" in made.err
    assert "may have been billed ($0.003)" in made.err
    server.calm()
    resumed = customer.run("resume")
    assert resumed.code == 0
    assert [Path(line).name for line in resumed.lines] == customer.stored
    assert (server.created, server.paid, len(customer.stored)) == (1, 1, 1)
    again = customer.run("resume", "--all")
    assert (again.code, again.out) == (0, "")
    assert customer.ledger == [("ok", 0.003)]


def test_each_of_several_equal_commands_finds_a_job_at_once(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(accepts_then="drop")

    codes = [customer.generate("--seed", "7").code for _ in range(3)]

    assert codes == [0] * 3
    assert_stored_once_each(customer, server, count=3)


@pytest.mark.parametrize("accepted", [8, pytest.param(5, marks=pytest.mark.nightly)])
def test_several_equal_commands_are_finished_by_several_that_resume(
    customer: Customer, server: ReplicateServer, accepted: int
) -> None:
    server.spoil("/predictions", method="GET", status=503)
    server.trouble(accepts_then="drop")
    if accepted < 8:
        server.trouble(drops_before_accepting=True, times=8 - accepted)
    codes = [customer.generate("--seed", "7", "--fresh").code for _ in range(8)]
    assert codes == [7] * 8
    assert server.created == accepted
    server.calm()

    several = [customer.start("resume", "--all") for _ in range(3)]
    for process in several:
        process.communicate(timeout=120)
    customer.run("resume", "--all")

    assert_stored_once_each(customer, server, count=accepted)
    assert [job["state"] for job in customer.jobs] == ["sent"] * (8 - accepted)


def assert_stored_once_each(
    customer: Customer, server: ReplicateServer, *, count: int
) -> None:
    notes = [json.loads(path.read_bytes()) for path in customer.images.glob("*.json")]
    assert (server.created, server.paid, len(customer.stored)) == (count, count, count)
    assert sorted(note["parameters"]["prediction"] for note in notes) == sorted(
        prediction.id for prediction in server.predictions
    )
    assert customer.ledger == [("ok", 0.003)] * count


def test_what_was_refused_is_sent_again(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(refuses_with=429, waits=0.1, times=2)

    made = customer.generate()

    assert made.code == 0
    assert (server.paid, len(server.orders)) == (1, 3)
    assert customer.ledger == [("ok", 0.003)]


def test_an_outage_costs_nothing(customer: Customer, server: ReplicateServer) -> None:
    server.stop()

    made = customer.generate()

    assert made.code == 3
    assert customer.jobs == []
    assert customer.ledger == []


def test_two_that_resume_at_once_store_one_image(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(accepts_then="drop")
    server.spoil("/predictions", method="GET", status=503)
    assert customer.generate().code == 7
    server.calm()

    both = [customer.start("resume", "--all") for _ in range(2)]
    printed = [process.communicate(timeout=60)[0] for process in both]

    assert len([out for out in printed if out]) == 1
    assert (server.paid, len(customer.stored)) == (1, 1)
    assert customer.ledger == [("ok", 0.003)]


def test_resume_leaves_a_running_generation_alone(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True)
    running = customer.start(*customer.words)
    server.wait_until(lambda: server.looked, seconds=60)

    resumed = customer.run("resume", "--all")

    assert (resumed.code, resumed.out) == (0, "")
    assert "in progress in another process" in resumed.err
    server.end()
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert [Path(line).name for line in out.decode().splitlines()] == customer.stored
    assert (server.created, server.paid, len(customer.stored)) == (1, 1, 1)


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Mount a disk without free space at the folder."""
    if os.geteuid():
        pytest.skip("only root can mount a small disk")
    folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        (folder / "filler").write_bytes(b"x" * 65536)
        yield
    finally:
        # Lazy, because this process still has files of it open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_loses_nothing(customer: Customer, server: ReplicateServer) -> None:
    with full_disk(customer.images):
        made = customer.generate()

    assert made.code == 6
    (rescued,) = (customer.data / "rescued").glob("*.webp")
    assert str(rescued) in made.err
    assert customer.ledger == [("ok", 0.003)]
    assert server.paid == 1


def draw(customer: Customer) -> Run:
    """Make two free images."""
    customer.configure("  mock: {adapter: mock}")
    folder = f"{customer.images}/free/"
    more = ("--count", "2", "--size", "64x64", "-o", folder)
    return customer.run("generate", "a fox", "--backend", "mock", *more)


def damage(customer: Customer) -> None:
    draw(customer)
    (customer.data / "imagen.sqlite3").write_bytes(b"no database " * 1000)


def outdate(customer: Customer) -> None:
    draw(customer)
    with closing(sqlite3.connect(customer.data / "imagen.sqlite3")) as database:
        database.execute("PRAGMA user_version = 1000")


@pytest.mark.parametrize("spoil", [damage, outdate])
def test_without_an_account_a_paid_call_is_not_sent(
    customer: Customer, server: ReplicateServer, spoil: Callable[[Customer], None]
) -> None:
    spoil(customer)

    made = customer.generate()

    assert (made.code, made.out, server.created) == (2, "", 0)
    assert "--unrecorded" in made.err
    assert len(made.err.splitlines()) == 1
    free = draw(customer)
    assert (free.code, len(free.lines), len(free.err.splitlines())) == (0, 2, 1)


def test_a_full_disk_under_the_account_stops_a_paid_call(
    customer: Customer, server: ReplicateServer
) -> None:
    with full_disk(customer.data):
        made = customer.generate()

    assert (made.code, server.created) == (2, 0)
    assert "full" in made.err


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_paid_call_can_be_sent_without_a_record(
    customer: Customer, *, by_variable: bool
) -> None:
    damage(customer)

    made = (
        customer.run(*customer.words, env={"IMAGEN_ALLOW_UNRECORDED": "1"})
        if by_variable
        else customer.generate("--unrecorded")
    )

    assert made.code == 0
    assert len(customer.stored) == 1
    assert len(made.err.splitlines()) == 1
    assert "not recorded" in made.err


# Repeating


@pytest.mark.parametrize(
    "more",
    [
        ("generate", "a red fox", "--count", "4"),
        ("generate", "a red fox", "--count", "4", "--key", "header"),
        ("sweep", "a red fox", "--seed", "1..4", "--no-sheet"),
    ],
)
def test_a_killed_command_that_is_repeated_is_paid_once(
    customer: Customer, server: ReplicateServer, more: tuple[str, ...]
) -> None:
    words = (*more, "--backend", "paid", "-o", f"{customer.images}/")
    kill(customer.start(*words), server, when=lambda: server.created == 2)

    [command] = [job for job in customer.jobs if "command" in job]
    estimate = customer.run(*words, "--estimate")
    assert estimate.err == ""
    made = customer.run(*words)

    assert command["images"] == 4
    assert command["images_left"] in {2, 3}
    assert re.search(r"[23] of 4 left, \$0.00[369]", estimate.out)
    assert made.code == 0
    assert len(made.lines) == len(customer.stored) == 4
    assert (server.created, server.paid) == (4, 4)
    assert "imagen: Continuing an interrupted command: " in made.err
    assert customer.jobs == []


def test_resume_can_send_the_rest_of_a_command(
    customer: Customer, server: ReplicateServer
) -> None:
    words = (*customer.words, "--count", "3")
    kill(customer.start(*words), server, when=lambda: server.created == 2)
    [command] = [job for job in customer.jobs if "command" in job]

    made = customer.run("resume", command["id"][:13], "--continue")

    assert made.code == 0
    assert len(made.lines) == len(customer.stored) == 3
    assert (server.created, server.paid) == (3, 3)
    assert customer.jobs == []


def test_a_key_can_be_forgotten(customer: Customer, server: ReplicateServer) -> None:
    first = customer.generate("--key", "header").lines
    assert customer.generate("--key", "header").lines == first
    other = customer.run("generate", "a dog", "--backend", "paid", "--key", "header")

    forgotten = customer.run("jobs", "forget", "--key", "header")

    assert (other.code, forgotten.code) == (2, 0)
    second = customer.generate("--key", "header")
    assert second.lines != first
    assert server.paid == 2
    image = customer.run("history", "--json").objects[0]["id"]
    customer.run("history", "forget", image)
    assert customer.generate("--key", "header").lines != second.lines
    assert server.paid == 3


# Stopping


@pytest.mark.parametrize("words", [("generate",), ("resume", "--all")])
def test_a_kill_while_the_image_is_downloaded_loses_nothing(
    customer: Customer, server: ReplicateServer, words: tuple[str, ...]
) -> None:
    if words[0] == "generate":
        words = customer.words
    else:
        server.spoil("/predictions", method="GET", status=401)
        assert customer.generate().code == 7
        server.calm()
    server.spoil("/out", late=600)

    kill(customer.start(*words), server, when=lambda: server.fetched)

    assert_finished_once(customer, server)


def test_a_kill_before_the_job_is_accepted_or_ends_loses_nothing(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(accepts_then="hang")
    kill(customer.start(*customer.words), server, when=lambda: server.created)
    assert_finished_once(customer, server)

    server.trouble(never_ends=True)
    kill(
        customer.start(*customer.words),
        server,
        when=lambda: server.created == 2 and server.predictions[1].looks,
    )
    server.end(1)
    assert_finished_once(customer, server)


def kill(
    process: Process, server: ReplicateServer, *, when: Callable[[], object]
) -> None:
    server.wait_until(when, seconds=60)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    server.calm()


def assert_finished_once(customer: Customer, server: ReplicateServer) -> None:
    """Resume; every job that was accepted is then paid, stored and recorded once."""
    assert customer.run("resume", "--all").code == 0
    count = server.created
    assert (server.paid, len(customer.stored)) == (count, count)
    assert customer.ledger == [("ok", 0.003)] * count
    assert customer.jobs == []


@pytest.mark.parametrize("confirmed", [True, False])
def test_ctrl_c_cancels_the_remote_job(
    customer: Customer, server: ReplicateServer, confirmed: bool
) -> None:
    server.trouble(never_ends=True)
    if not confirmed:
        server.spoil("/predictions", method="POST", late=60)
    process = customer.start(*customer.words)
    server.wait_until(lambda: server.looked, seconds=60)

    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1].decode()

    assert process.returncode == 130
    if confirmed:
        assert [each.cancelled for each in server.predictions] == [True]
        assert customer.jobs == []
        assert [status for status, _ in customer.ledger] == ["cancelled"]
        assert "cost" in err
    else:
        (job,) = customer.jobs
        assert f"imagen resume {job['id']}" in err


# Budgets


def test_many_processes_at_once_never_overspend(
    customer: Customer, server: ReplicateServer
) -> None:
    customer.configure("budget: {day_usd: 0.0061}")  # two images, and not three
    count = examples(6, nightly=40)

    many = [customer.start(*customer.words) for _ in range(count)]
    for process in many:
        process.communicate(timeout=120)

    assert sorted(process.returncode for process in many) == [0] * 2 + [5] * (count - 2)
    assert server.paid == len(customer.stored) == 2


def test_over_a_budget_it_says_how_much_is_left_and_when_it_resets(
    customer: Customer, server: ReplicateServer
) -> None:
    customer.configure("budget: {week_usd: 0.004}")
    customer.generate()

    refused = customer.generate()

    assert refused.code == 5
    assert "has $0.001 left" in refused.err
    assert "UTC" in refused.err
    assert customer.generate("--estimate").code == 5
    assert server.created == 1


@pytest.mark.parametrize("usd", ["1e400", "1e999999999", "1e13"])
def test_max_cost_is_finite(
    customer: Customer, server: ReplicateServer, usd: str
) -> None:
    refused = customer.generate("--max-cost", usd)

    assert (refused.code, server.created) == (2, 0)
    assert "a finite number" in refused.err


def test_max_cost_stops_a_call(customer: Customer, server: ReplicateServer) -> None:
    assert customer.generate("--max-cost", "0.0029").code == 5
    assert customer.generate("--max-cost", "0.003").code == 0
    assert customer.generate("-n", "2", "--max-cost", "0.005").code == 5
    assert server.created == 1


# What the system is asked to do


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_intent_is_on_the_disk_before_the_first_byte_is_sent(
    customer: Customer, tmp_path: Path
) -> None:
    log = tmp_path / "calls"
    traced = subprocess.run(
        [
            *("strace", "-f", "-y", "-e", "trace=fsync,fdatasync,pwrite64,sendto"),
            *("-o", str(log), IMAGEN, *customer.words),
        ],
        env=customer.env,
        capture_output=True,
        check=False,
    )
    if b"ptrace" in traced.stderr:
        pytest.skip("ptrace is not permitted here")

    assert traced.returncode == 0
    calls = log.read_text(errors="replace").splitlines()
    order = next(i for i, call in enumerate(calls) if '"POST ' in call)
    before = [call for call in calls[:order] if "imagen.sqlite3-wal" in call]
    writes = [i for i, call in enumerate(before) if "pwrite64(" in call]
    syncs = [i for i, call in enumerate(before) if "fdatasync(" in call]
    assert writes
    assert max(syncs) > max(writes)


# Canaries


def test_no_secret_prompt_or_path_is_where_it_does_not_belong(
    customer: Customer, server: ReplicateServer, here: Path
) -> None:
    token, prompt = "r8_canary_7f3a9c", "a zebra named Quagmire"
    server.token = token
    env = {"REPLICATE_API_TOKEN": token, "IMAGEN_LOG": "json"}
    flags = ("--backend", "paid", "-o", f"{customer.images}/", "-v")
    said: list[str] = []
    for trouble in (
        {},
        {"accepts_then": "drop"},
        {"refuses_with": 402},
        {"refuses_with": 422, "detail": "- input.seed: wrong"},
        {"ends": "failed"},
        {"output": "text"},
    ):
        server.calm()
        if trouble:
            server.trouble(**trouble)
        made = customer.run("generate", prompt, *flags, env=env)
        said.append(made.out + made.err)
    server.token = "another"  # so that ours is refused
    said.append(customer.run("generate", prompt, *flags, env=env).err)
    for words in (["usage", "--raw", "--json"], ["jobs"], ["backends", "check"]):
        shown = customer.run(*words, env=env)
        said.append(shown.out + shown.err)

    written = b"".join(
        path.read_bytes()
        for folder in (customer.data, customer.images)
        for path in folder.rglob("*")
        if path.is_file()
    )
    assert token not in "".join(said)
    assert token.encode() not in written
    assert "Quagmire" not in "".join(said).replace("a-zebra-named-quagmire", "")
    ledger = customer.run("usage", "--raw", "--csv", env=env).out
    assert "Quagmire" not in ledger
    assert str(here) not in ledger


@pytest.mark.nightly
@pytest.mark.parametrize("vendor", ["replicate", "fal", "bfl"])
def test_kills_at_random_moments_lose_nothing(vendor: str) -> None:
    """The full drill is `python -m benchmarks.drill_kill`."""
    given = ["--runs", "12", "--seed", "7", "--vendor", vendor]
    drill = subprocess.run(
        [sys.executable, "-m", "benchmarks.drill_kill", *given],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert drill.returncode == 0, drill.stdout + drill.stderr
