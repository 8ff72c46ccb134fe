"""Repeated requests after a restart, a kill -9, and on a second server."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest
from tests.integration.replicate.models import SCHNELL
from tests.integration.replicate.server import ReplicateServer
from tests.integration.replicate.trouble import PredictionTrouble
from tests.integration.serve.conftest import running_probe
from tests.integration.serve.running import GENERATIONS, Running, until
from tests.integration.serve.test_joining import (
    connected,
    ids,
    jobs,
    leave,
    retry,
    wait_for,
)


@pytest.fixture(scope="module")
def replicate() -> Iterator[ReplicateServer]:
    with ReplicateServer() as vendor:
        yield vendor


@pytest.fixture(scope="module")
def servers(
    replicate: ReplicateServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, Running]]:
    """Two servers with one account."""
    folder = tmp_path_factory.mktemp("two")
    vendor = {"adapter": "replicate", "model": SCHNELL, "base_url": replicate.url}
    config = {
        "default_backend": "vendor",
        "backends": {"vendor": vendor, "probe": {"adapter": "many"}},
        "serve": {"workers": 1},
    }
    env = {
        "REPLICATE_API_TOKEN": replicate.token,
        "IMAGEN_DATA_DIR": str(folder / "account"),
    }
    with (
        running_probe(folder / "first", config, **env) as first,
        running_probe(folder / "second", config, **env) as second,
    ):
        for each in (first, second):
            each.account, each.images = folder / "account", folder / "first" / "images"
        yield first, second


@pytest.fixture
def first(servers: tuple[Running, Running], replicate: ReplicateServer) -> Running:
    replicate.calm()
    replicate.predictions.clear()
    for each in servers:
        each.restart_if_dead()
    return servers[0]


@pytest.fixture
def second(servers: tuple[Running, Running], first: Running) -> Running:
    assert first.process is not None
    return servers[1]


def is_joined_elsewhere(running: Running) -> bool:
    """Return whether a server has the connection of a request of another one."""
    joined = """
        SELECT 1 FROM requests
        WHERE connection NOT IN ('', 'answered') AND connection <> owner
    """
    with closing(sqlite3.connect(running.account / "imagen.sqlite3")) as database:
        return database.execute(joined).fetchone() is not None


def paid(prompt: str) -> dict[str, Any]:
    return {"prompt": prompt, "size": "1024x1024", "model": "vendor"}


def leave_at_the_vendor(
    running: Running, vendor: ReplicateServer, asked: dict[str, Any], **headers: str
) -> None:
    """Send a request, and disconnect once the vendor has accepted it."""
    vendor.trouble(never_ends=True)
    created = vendor.created
    with connected(running, asked, **headers):
        until(lambda: vendor.created == created + 1)
    until(lambda: not jobs(running)[0]["connections"])


def finish(vendor: ReplicateServer) -> None:
    """End the predictions that never end."""
    vendor.calm()
    for prediction in vendor.predictions:
        prediction.trouble = PredictionTrouble()


def ask(
    running: Running, asked: dict[str, Any], headers: dict[str, str]
) -> httpx.Response:
    return running.http.post(GENERATIONS, json=asked, headers=headers)


@pytest.mark.parametrize("headers", [{}, retry(1)], ids=["plain", "retry"])
def test_a_paid_job_without_a_client_runs_to_its_end(
    first: Running, replicate: ReplicateServer, headers: dict[str, str]
) -> None:
    asked = paid(f"runs on {len(headers)}")
    leave_at_the_vendor(first, replicate, asked)
    finish(replicate)
    until(lambda: not jobs(first))

    again = ask(first, asked, headers)

    assert len(ids(again)) == 1
    assert again.headers["imagen-joined"]
    assert replicate.created == replicate.paid == 1


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_repetition_joins_after_the_server_was_killed_or_restarted(
    first: Running, replicate: ReplicateServer, end: str
) -> None:
    asked = paid(f"end by {end}")
    leave_at_the_vendor(first, replicate, asked)
    if end == "kill":
        first.kill()
        finish(replicate)
    else:
        finish(replicate)
        until(lambda: not jobs(first))
        first.stop()
    first.start()

    again, genuine = ask(first, asked, {}), ask(first, asked, {})

    assert again.headers["imagen-joined"]
    assert "imagen-joined" not in genuine.headers
    assert ids(again) != ids(genuine)
    assert replicate.created == replicate.paid == 2


def test_a_connection_that_was_open_when_the_server_was_killed_is_lost(
    first: Running, replicate: ReplicateServer
) -> None:
    asked = paid("open until the kill")
    replicate.trouble(never_ends=True)
    with connected(first, asked, **retry(0)):
        until(lambda: replicate.created == 1)
        first.kill()
    finish(replicate)
    first.start()

    again = ask(first, asked, {})

    assert len(ids(again)) == 1
    assert replicate.created == replicate.paid == 1


def test_an_answered_request_is_not_joined_after_a_restart_but_by_a_stated_retry(
    first: Running, replicate: ReplicateServer
) -> None:
    asked = paid("answered")
    made = ids(ask(first, asked, {}))
    first.stop()
    first.start()

    retried, genuine = ask(first, asked, retry(1)), ask(first, asked, {})

    assert ids(retried) == made != ids(genuine)
    assert replicate.created == replicate.paid == 2


def test_a_second_server_of_the_account_joins_a_running_job(
    first: Running, second: Running, replicate: ReplicateServer
) -> None:
    asked = paid("elsewhere")
    leave_at_the_vendor(first, replicate, asked)
    with ThreadPoolExecutor(2) as pool:
        again = pool.submit(ask, second, asked, {})
        until(lambda: is_joined_elsewhere(first))
        genuine = pool.submit(ask, first, asked, {})
        until(lambda: replicate.created == 2)
        finish(replicate)

    assert again.result().headers["imagen-joined"]
    assert ids(again.result()) != ids(genuine.result())
    assert replicate.created == replicate.paid == 2


def test_an_answer_of_a_second_server_is_repeated_by_the_first(
    first: Running, second: Running, replicate: ReplicateServer
) -> None:
    asked = paid("there and back")
    leave_at_the_vendor(first, replicate, asked)
    finish(replicate)
    answers = [ask(each, asked, retry(n)) for n, each in enumerate([second, first], 1)]

    assert ids(answers[0]) == ids(answers[1])
    assert replicate.created == replicate.paid == 1


def test_a_second_server_joins_a_free_job_that_lost_its_client(
    first: Running, second: Running
) -> None:
    asked = wait_for("elsewhere")
    leave(first, asked)
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(ask, second, asked, {})
        until(lambda: jobs(second))
        first.open_gate("elsewhere")

    assert again.result().headers["imagen-joined"]
    assert len(ids(again.result())) == 1
