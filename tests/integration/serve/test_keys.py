"""Idempotency keys: a request runs once, even if the server or a worker dies."""

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.replicate.models import SCHNELL
from tests.integration.replicate.server import ReplicateServer
from tests.integration.replicate.trouble import PredictionTrouble
from tests.integration.serve.conftest import CONFIG, Serve, running_probe
from tests.integration.serve.running import GENERATIONS, Running, until
from tests.integration.serve.test_workers import code_of, workers_of

from imagen.adapters.database.connection import FILE

ASKED = {"prompt": "a cat", "size": "64x64"}
PAID = {"prompt": "a fox", "size": "1024x1024", "model": "vendor"}


@pytest.fixture(scope="module")
def replicate() -> Iterator[ReplicateServer]:
    with ReplicateServer() as vendor:
        yield vendor


@pytest.fixture(scope="module")
def running(
    replicate: ReplicateServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    backend = {"adapter": "replicate", "model": SCHNELL, "base_url": replicate.url}
    lost = {"adapter": "mock", "fail": "unfinished", "price": 0.04}
    config = {
        "default_backend": "mock",
        "backends": {"mock": {"adapter": "mock"}, "lost": lost, "vendor": backend},
    }
    folder = tmp_path_factory.mktemp("keys")
    with running_probe(folder, config, REPLICATE_API_TOKEN=replicate.token) as running:
        yield running


@pytest.fixture
def vendor(replicate: ReplicateServer, running: Running) -> Iterator[ReplicateServer]:
    """The vendor, with no predictions so far."""
    replicate.predictions.clear()
    running.clear()
    yield replicate
    replicate.calm()


def finish(vendor: ReplicateServer) -> None:
    """End the predictions that never end."""
    for prediction in vendor.predictions:
        prediction.trouble = PredictionTrouble()


def asked(running: Running, key: str, **what: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return running.http.post(GENERATIONS, json=what or ASKED, headers=headers)


def until_closed(running: Running, key: str) -> httpx.Response:
    """Repeat a request until its call is closed: another resumes it meanwhile."""
    answers = [asked(running, key, **PAID)]

    def closed() -> bool:
        if answers[-1].status_code == 409:
            answers.append(asked(running, key, **PAID))
        return answers[-1].status_code != 409

    until(closed)
    return answers[-1]


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [image["id"] for image in answer.json()["data"]]


def test_the_same_key_returns_the_same_image_even_after_kill_9(
    running: Running, vendor: ReplicateServer
) -> None:
    first, second = asked(running, "one"), asked(running, "one")
    other = asked(running, "two")
    paid = asked(running, "paid", **PAID)
    running.restart()
    third, paid_again = asked(running, "one"), asked(running, "paid", **PAID)

    assert ids(first) == ids(second) == ids(third) != ids(other)
    assert first.json()["data"] == third.json()["data"]
    assert "idempotent-replayed" not in first.headers
    assert third.headers["idempotent-replayed"] == "true"
    assert ids(paid) == ids(paid_again)
    assert vendor.paid == 1
    assert len(running.stored) == 3


def test_a_stream_with_the_same_key_returns_the_same_image(server: Running) -> None:
    first = asked(server, "streamed")

    again = asked(server, "streamed", **ASKED, stream=True)
    assert again.status_code == 422  # it is not the same request

    streamed = [asked(server, "stream", **ASKED, stream=True) for _ in range(2)]
    found = [re.findall(r'"id":"([^"]+)"', each.text) for each in streamed]
    assert found[0] == found[1] != ids(first)
    assert len(found[0]) == 1


def test_a_different_request_with_the_same_key_is_rejected(server: Running) -> None:
    asked(server, "used")

    answer = asked(server, "used", prompt="a dog", size="64x64")

    assert code_of(answer) == (422, "idempotency_key_reused")


def test_concurrent_requests_with_one_key_share_the_image(shop: Running) -> None:
    what = {"prompt": "wait for shared", "size": "64x64", "model": "probe"}
    other = {**what, "prompt": "a dog"}
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(asked, shop, "shared", **what) for _ in range(8)]
        until(lambda: shop.metric("imagen_requests_running", backend="probe") == 1)
        assert code_of(asked(shop, "shared", **other)) == (
            422,
            "idempotency_key_reused",
        )
        shop.open_gate("shared")
        found = [ids(answer.result()) for answer in answers]

    assert len({each[0] for each in found}) == 1
    assert len(shop.stored) == 1


def test_a_key_can_be_reused_after_a_free_failure(server: Running) -> None:
    refused = {**ASKED, "model": "refused"}
    statuses = [asked(server, "free", **refused).status_code for _ in range(2)]
    wrong = asked(server, "free two", prompt="a cat", style="nonsense")
    right = asked(server, "free two", prompt="a cat", model="nothing")

    assert statuses == [400, 400]
    assert (wrong.status_code, right.status_code) == (404, 404)


@pytest.mark.parametrize("end", ["server", "worker"])
def test_what_the_vendor_has_accepted_is_fetched_after_kill_9(
    running: Running, vendor: ReplicateServer, end: str
) -> None:
    vendor.trouble(never_ends=True)
    with ThreadPoolExecutor(2) as pool:
        keyed = pool.submit(asked, running, f"of a dead {end}", **PAID)
        bare = pool.submit(running.http.post, GENERATIONS, json=PAID)
        until(lambda: vendor.created == 2)
        if end == "server":
            running.kill()
            assert isinstance(keyed.exception(), httpx.HTTPError)
        else:
            [worker] = workers_of(running)
            os.kill(worker, signal.SIGKILL)
            for answer in (keyed.result(), bare.result()):
                assert code_of(answer) == (502, "interrupted")
                assert answer.headers["x-should-retry"] == "false"
    vendor.calm()
    finish(vendor)
    running.restart_if_dead()

    until(lambda: len(running.stored) == 2)
    assert len(ids(until_closed(running, f"of a dead {end}"))) == 1
    assert vendor.created == vendor.paid == len(running.stored) == 2


def test_a_request_with_unknown_outcome_is_never_sent_again(running: Running) -> None:
    def sent() -> int:
        return running.metric("imagen_failed_images_total", backend="lost")

    what = {"prompt": "a fox", "model": "lost"}
    first = asked(running, "unknown", **what)
    second = asked(running, "unknown", **what)
    assert sent() == 1
    running.restart()
    third = asked(running, "unknown", **what)

    assert code_of(first) == (504, "unfinished")
    assert code_of(second) == (409, "unfinished")
    assert third.status_code == 409
    assert third.json()["error"]["code"] in {"unfinished", "idempotency_key_in_use"}
    assert sent() == 0


@pytest.mark.nightly  # the vendor's list is read three times, with pauses of 7 s
def test_a_request_that_the_vendor_cannot_find_is_never_sent_again(
    running: Running, vendor: ReplicateServer
) -> None:
    vendor.trouble(accepts_then="drop")
    vendor.spoil("/predictions", status=500)
    first = asked(running, "not found", **PAID)
    created = vendor.created
    second = asked(running, "not found", **PAID)
    running.restart()
    third = asked(running, "not found", **PAID)

    assert first.status_code == 504
    assert (second.status_code, third.status_code) == (409, 409)
    assert vendor.created == created


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk_generates_nothing_twice(serve: Serve) -> None:
    running = serve(CONFIG)
    running.stop()
    what = {"prompt": "wait for room", "size": "64x64", "model": "probe"}
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(running.account)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("no small disk can be made here")
    try:
        running.start()
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(asked, running, "one", **what)
            until(lambda: recorded(running))
            filler = running.account / "filler"
            fill(filler)
            running.open_gate("room")
            first = asking.result()
            meanwhile = asked(running, "one", **what)
            filler.unlink()
            again = asked(running, "one", **what)
        running.stop()
        running.start()
        third = asked(running, "one", **what)
    finally:
        running.stop()
        subprocess.run(["umount", str(running.account)], check=True)

    assert code_of(meanwhile) == (500, "journal_error")
    assert ids(first) == ids(again) == ids(third)
    assert len(running.stored) == 1
    assert (
        "could not record the outcome of a request; retrying" in running.log.read_text()
    )


def recorded(running: Running) -> bool:
    """Return True if the calls of a request are recorded."""
    file = running.account / FILE
    # Without `mode=ro` this could create the database before the server does.
    with suppress(sqlite3.OperationalError):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT calls FROM requests").fetchall()
        return rows not in ([], [("[]",)])
    return False


def fill(filler: Path) -> None:
    """Fill the disk."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
