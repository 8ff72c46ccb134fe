"""Idempotency keys: a request runs once, even if the server or a worker dies."""

import os
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.replicate.models import SCHNELL
from tests.integration.replicate.server import ReplicateServer
from tests.integration.serve.conftest import Serve
from tests.integration.serve.running import Running, until

GENERATIONS = "/v1/images/generations"
ASKED = {"prompt": "a cat", "size": "64x64"}
PAID = {"prompt": "a fox", "size": "1024x1024"}


@pytest.fixture
def vendor() -> Iterator[ReplicateServer]:
    with ReplicateServer(seconds=0.2) as vendor:
        yield vendor


@pytest.fixture
def paid(serve: Serve, vendor: ReplicateServer) -> Callable[..., Running]:
    def start(**more: Any) -> Running:
        backend = {"adapter": "replicate", "model": SCHNELL, "base_url": vendor.url}
        return serve(
            {"backends": {"paid": backend}, **more},
            env={"REPLICATE_API_TOKEN": vendor.token},
        )

    return start


def asked(client: httpx.Client, key: str, **what: Any) -> httpx.Response:
    return client.post(
        GENERATIONS, json=what or ASKED, headers={"Idempotency-Key": key}
    )


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [image["id"] for image in answer.json()["data"]]


def test_the_same_key_returns_the_same_image(serve: Serve) -> None:
    running = serve()
    with running.client() as client:
        first, second = asked(client, "one"), asked(client, "one")
        other = asked(client, "two")
    running.kill()
    running.start()
    with running.client() as client:
        third = asked(client, "one")

    assert ids(first) == ids(second) == ids(third) != ids(other)
    assert first.json()["data"] == third.json()["data"]
    assert "idempotent-replayed" not in first.headers
    assert third.headers["idempotent-replayed"] == "true"
    assert len(running.stored) == 2


def test_a_stream_with_the_same_key_returns_the_same_image(
    client: httpx.Client,
) -> None:
    first = asked(client, "streamed")

    again = asked(client, "streamed", **ASKED, stream=True)
    assert again.status_code == 422  # it is not the same request

    streamed = [asked(client, "stream", **ASKED, stream=True) for _ in range(2)]
    found = [re.findall(r'"id":"([^"]+)"', each.text) for each in streamed]
    assert found[0] == found[1] != ids(first)
    assert len(found[0]) == 1


def test_a_different_request_with_the_same_key_is_rejected(
    client: httpx.Client,
) -> None:
    asked(client, "used")

    answer = asked(client, "used", prompt="a dog", size="64x64")

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "idempotency_key_reused"


def test_another_caller_may_use_the_same_key(serve: Serve) -> None:
    keys = ["0123456789abcdef", "fedcba9876543210"]
    running = serve(env={"IMAGEN_SERVE_KEYS": f"a:{keys[0]},b:{keys[1]}"})
    found = []
    for key in keys:
        with running.client(headers={"Authorization": f"Bearer {key}"}) as client:
            found += ids(asked(client, "one"))

    assert len(set(found)) == 2


def test_concurrent_requests_with_one_key_share_the_image(serve: Serve) -> None:
    running = serve({"backends": {"mock": {"adapter": "mock", "delay": 0.5}}})
    with running.client() as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ids(asked(client, "one")), range(8)))

    assert len({each[0] for each in found}) == 1
    assert len(running.stored) == 1


def test_a_key_can_be_reused_after_a_free_failure(serve: Serve) -> None:
    config = {"backends": {"mock": {"adapter": "mock", "fail": "refused"}}}
    running = serve(config)
    with running.client() as client:
        statuses = [asked(client, "one").status_code for _ in range(2)]
        wrong = asked(client, "two", prompt="a cat", style="nonsense")
        right = asked(client, "two", prompt="a cat", model="nothing")

    assert statuses == [400, 400]
    assert (wrong.status_code, right.status_code) == (404, 404)


def test_a_paid_image_is_replayed_after_a_restart(
    paid: Callable[..., Running], vendor: ReplicateServer
) -> None:
    running = paid()
    with running.client() as client:
        first = asked(client, "one", **PAID)
        running.kill()
    running.start()
    with running.client() as client:
        second = asked(client, "one", **PAID)

    assert ids(first) == ids(second)
    assert vendor.paid == len(running.stored) == 1


def test_the_next_server_finishes_a_request_with_a_key(
    paid: Callable[..., Running], vendor: ReplicateServer
) -> None:
    running = paid()
    with running.client() as client, ThreadPoolExecutor(1) as pool:
        cut_off = pool.submit(asked, client, "one", **PAID)
        until(lambda: vendor.created == 1)
        running.kill()
        assert isinstance(cut_off.exception(), httpx.HTTPError)
    running.start()

    with running.client() as client:
        answers = [asked(client, "one", **PAID)]
        while answers[-1].status_code == 409:  # the server itself is asking for it
            answers.append(asked(client, "one", **PAID))

    assert len(ids(answers[-1])) == 1
    assert vendor.created == vendor.paid == len(running.stored) == 1


def test_the_next_server_finishes_a_request_without_a_key(
    paid: Callable[..., Running], vendor: ReplicateServer
) -> None:
    running = paid()
    with running.client() as client, ThreadPoolExecutor(1) as pool:
        pool.submit(client.post, GENERATIONS, json=PAID)
        until(lambda: vendor.created == 1)
        running.kill()
    running.start()

    until(lambda: len(running.stored) == 1)
    assert vendor.created == vendor.paid == 1


def test_a_request_with_unknown_outcome_is_never_sent_again(
    paid: Callable[..., Running], vendor: ReplicateServer
) -> None:
    running = paid()
    vendor.trouble(accepts_then="drop")
    vendor.spoil("/predictions", status=500)
    with running.client() as client:
        first = asked(client, "one", **PAID)
        created = vendor.created
        second = asked(client, "one", **PAID)
        running.kill()
        running.start()
    with running.client() as client:
        third = asked(client, "one", **PAID)

    assert first.status_code == 504
    assert (second.status_code, third.status_code) == (409, 409)
    assert third.json()["error"]["code"] in {"unfinished", "idempotency_key_in_use"}
    assert vendor.created == created


def test_a_budget_of_a_key_limits_only_that_key(
    serve: Serve, vendor: ReplicateServer
) -> None:
    keys = {"poor": "0123456789abcdef", "rich": "fedcba9876543210"}
    backend = {"adapter": "replicate", "model": SCHNELL, "base_url": vendor.url}
    running = serve(
        {
            "backends": {"paid": backend},
            "serve": {"budgets": {"poor": {"day_usd": 0.001}}},
        },
        env={
            "REPLICATE_API_TOKEN": vendor.token,
            "IMAGEN_SERVE_KEYS": ",".join(f"{n}:{key}" for n, key in keys.items()),
        },
    )
    answers = {}
    for name, key in keys.items():
        with running.client(headers={"Authorization": f"Bearer {key}"}) as client:
            answers[name] = client.post(GENERATIONS, json=PAID)

    assert answers["poor"].status_code == 402
    assert "day_usd of poor" in answers["poor"].json()["error"]["message"]
    assert answers["rich"].status_code == 200
    assert vendor.paid == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk_generates_nothing_twice(serve: Serve) -> None:
    running = serve({"backends": {"mock": {"adapter": "mock", "delay": 1.5}}})
    running.stop()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(running.account)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("no small disk can be made here")
    try:
        running.start()
        with running.client() as client, ThreadPoolExecutor(1) as pool:
            asking = pool.submit(asked, client, "one")
            until(lambda: begun(running))
            filler = running.account / "filler"
            fill(filler)
            first = asking.result()
            meanwhile = asked(client, "one")
            filler.unlink()
            again = asked(client, "one")
        running.stop()
        running.start()
        with running.client() as client:
            third = asked(client, "one")
    finally:
        running.stop()
        subprocess.run(["umount", str(running.account)], check=True)

    assert meanwhile.status_code == 500
    assert meanwhile.json()["error"]["code"] == "journal_error"
    assert ids(first) == ids(again) == ids(third)
    assert len(running.stored) == 1
    assert (
        "could not record the outcome of a request; retrying" in running.log.read_text()
    )


def begun(running: Running) -> bool:
    """Return True if the calls of a request are recorded."""
    with closing(sqlite3.connect(running.account / "imagen.sqlite3")) as database:
        return database.execute("SELECT calls FROM requests").fetchall() not in (
            [],
            [("[]",)],
        )


def fill(filler: Path) -> None:
    """Fill the disk."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
