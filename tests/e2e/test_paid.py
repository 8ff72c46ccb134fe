"""A paid image is never lost and never paid twice, whatever happens in between."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import IMAGEN, Imagen, Run
from tests.integration.replicate.server import ReplicateServer

CONFIG = """\
backends:
  paid: {{adapter: replicate, model: black-forest-labs/flux-schnell, base_url: "{url}"}}
{more}
"""
ROOT = os.geteuid() == 0


class Customer:
    """Somebody with a token, a config and a folder for images."""

    def __init__(
        self, imagen: Imagen, server: ReplicateServer, here: Path, home: Path
    ) -> None:
        self.server, self.here = server, here
        self.data = home / "data"
        self.images = here / "images"
        self._imagen = imagen
        self.env = {
            "IMAGEN_CONFIG": str(here / "imagen.yaml"),
            "IMAGEN_DATA_DIR": str(self.data),
            "REPLICATE_API_TOKEN": server.token,
        }
        self.configure("")

    def configure(self, more: str) -> None:
        text = CONFIG.format(url=self.server.url, more=more)
        (self.here / "imagen.yaml").write_text(text)

    def run(self, *words: str, env: Mapping[str, str] | None = None) -> Run:
        return self._imagen(*words, env={**self.env, **(env or {})})

    def generate(self, *words: str, **more: Any) -> Run:
        return self.run("generate", "a red fox", *self.flags, *words, **more)

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--backend", "paid", "-o", f"{self.images}/")

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
def customer(
    imagen: Imagen, server: ReplicateServer, here: Path, home: Path
) -> Customer:
    return Customer(imagen, server, here, home)


def test_a_paid_image_is_stored_and_accounted_for(customer: Customer) -> None:
    made = customer.generate()

    assert (made.code, made.err) == (0, "")
    (note,) = [json.loads(p.read_bytes()) for p in customer.images.glob("*.json")]
    assert (note["cost_usd"], note["cost_source"]) == (0.003, "price_table")
    assert customer.ledger == [("ok", 0.003)]
    assert customer.jobs == []
    assert customer.run("history", "--json").objects[0]["id"] == note["id"]


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


def test_what_was_certainly_not_taken_is_sent_again(
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
    customer.generate()
    server.calm()
    env = {**os.environ, **customer.env}

    both = [
        subprocess.Popen(
            [IMAGEN, "resume", "--all"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=60)[0] for process in both]

    assert len([out for out in printed if out]) == 1
    assert (server.paid, len(customer.stored)) == (1, 1)
    assert customer.ledger == [("ok", 0.003)]


def test_resume_leaves_a_generation_that_runs_alone(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(seconds=3)
    env = {**os.environ, **customer.env}
    words = [IMAGEN, "generate", "a red fox", *customer.flags]
    running = subprocess.Popen(words, env=env, stdout=subprocess.PIPE)
    server.wait_until(lambda: server.created == 1, seconds=20)

    customer.run("resume", "--all")

    out, _ = running.communicate(timeout=60)
    assert [Path(line).name for line in out.decode().splitlines()] == customer.stored
    assert (server.created, server.paid, len(customer.stored)) == (1, 1, 1)


@pytest.mark.skipif(not ROOT, reason="only root can make a small disk")
def test_a_full_disk_loses_nothing(
    customer: Customer, server: ReplicateServer, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk can be made here")
    try:
        (disk / "filler").write_bytes(b"x" * 65536)
        made = customer.run(
            *("generate", "a red fox", "--backend", "paid", "-o", f"{disk}/")
        )

        assert made.code == 6
        (rescued,) = (customer.data / "rescued").glob("*.webp")
        assert str(rescued) in made.err
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert customer.ledger == [("ok", 0.003)]
    assert server.paid == 1


@pytest.mark.skipif(not ROOT, reason="only root can make a small disk")
def test_a_full_disk_under_the_journal_is_a_warning(
    customer: Customer, server: ReplicateServer
) -> None:
    customer.data.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(customer.data)],
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no small disk can be made here")
    try:
        (customer.data / "filler").write_bytes(b"x" * 65536)

        made = customer.generate()
    finally:
        subprocess.run(["umount", str(customer.data)], check=True)

    assert made.code == 0
    assert len(customer.stored) == 1
    assert re.search(r"imagen: warning: not recorded: .*full", made.err)


def test_a_damaged_journal_is_a_warning(customer: Customer) -> None:
    customer.generate()
    (customer.data / "imagen.sqlite3").write_bytes(b"no database " * 1000)

    made = customer.generate()

    assert made.code == 0
    assert len(customer.stored) == 2
    assert len(made.err.splitlines()) == 1
    assert "not recorded" in made.err


# Stopping


@pytest.mark.parametrize("confirmed", [True, False])
def test_ctrl_c_cancels_the_remote_job(
    customer: Customer, server: ReplicateServer, confirmed: bool
) -> None:
    server.trouble(never_ends=True)
    if not confirmed:
        server.spoil("/predictions", method="POST", status=None, late=30)
        server.trouble(accepts_then=None)
    process = subprocess.Popen(
        [IMAGEN, "generate", "a red fox", *customer.flags],
        env={**os.environ, **customer.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    server.wait_until(lambda: server.created == 1, seconds=20)
    server.wait_until(lambda: len(server.requests) > 2, seconds=20)
    began = time.perf_counter()

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert time.perf_counter() - began < 8
    if confirmed:
        assert [each.cancelled for each in server.predictions] == [True]
        assert customer.jobs == []
        assert [status for status, _ in customer.ledger] == ["cancelled"]
        assert "cost" in said
    else:
        (job,) = customer.jobs
        assert f"imagen resume {job['id']}" in said


# Budgets


def test_forty_at_once_never_overspend(
    customer: Customer, server: ReplicateServer
) -> None:
    customer.configure("budget: {day_usd: 0.0151}")  # five images, and not six
    env = {**os.environ, **customer.env}
    words = [IMAGEN, "generate", "a red fox", *customer.flags]

    forty = [
        subprocess.Popen(
            words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(40)
    ]
    codes = sorted(process.wait(120) for process in forty)

    assert codes == [0] * 5 + [5] * 35
    assert server.paid == len(customer.stored) == 5


def test_over_a_budget_it_says_how_much_is_left_and_when_it_begins_anew(
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


def test_max_cost_stops_a_call(customer: Customer, server: ReplicateServer) -> None:
    assert customer.generate("--max-cost", "0.0029").code == 5
    assert customer.generate("--max-cost", "0.003").code == 0
    assert customer.generate("-n", "2", "--max-cost", "0.005").code == 5
    assert server.created == 1


# What the system is asked to do


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
def test_the_intent_is_on_the_disk_before_the_first_byte_is_sent(
    customer: Customer, tmp_path: Path
) -> None:
    log = tmp_path / "calls"
    traced = subprocess.run(
        [
            *("strace", "-f", "-y", "-e", "trace=fsync,fdatasync,pwrite64,sendto"),
            *("-o", str(log), IMAGEN, "generate", "a red fox", *customer.flags),
        ],
        env={**os.environ, **customer.env},
        capture_output=True,
        check=False,
    )
    if b"ptrace" in traced.stderr:
        pytest.skip("nothing may be traced here")

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
        {"file": "html"},
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


def test_a_few_kills_lose_nothing() -> None:
    """The full drill is `python -m benchmarks.drill_kill`."""
    root = Path(__file__).parents[2]
    drill = subprocess.run(
        [sys.executable, "-m", "benchmarks.drill_kill", "--runs", "12", "--seed", "7"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert drill.returncode == 0, drill.stdout + drill.stderr
