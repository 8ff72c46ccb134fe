"""A client that gives up and repeats its request gets the image of the first one."""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.integration.serve.conftest import CONFIG, KEY, OTHER, Serve
from tests.integration.serve.running import GENERATIONS, Running, until

BACKENDS = ("probe", "paid_probe")


def wait_for(gate: str, model: str = "probe", **fields: Any) -> dict[str, Any]:
    """Return a request that takes until this gate is opened."""
    return {"prompt": f"wait for {gate}", "size": "64x64", "model": model, **fields}


def retry(number: int) -> dict[str, str]:
    """Return what OpenAI's clients state with a repetition."""
    return {"x-stainless-retry-count": str(number)}


def count(running: Running, state: str) -> int:
    return running.metric(f"imagen_requests_{state}")


@contextmanager
def connection_to(
    running: Running, fields: dict[str, Any], **headers: str
) -> Iterator[socket.socket]:
    """Send a request, and yield its connection."""
    lines = {"Host": "127.0.0.1", "Content-Type": "application/json", **headers}
    body = json.dumps(fields)
    lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(f"POST {GENERATIONS} HTTP/1.1\r\n{head}\r\n{body}".encode())
        yield connection


@contextmanager
def connected(
    running: Running, fields: dict[str, Any], **headers: str
) -> Iterator[socket.socket]:
    """Send a request, and yield its connection once the request runs or waits."""
    before = count(running, "running") + count(running, "waiting")
    with connection_to(running, fields, **headers) as connection:
        until(
            lambda: count(running, "running") + count(running, "waiting") == before + 1
        )
        yield connection


def leave(running: Running, fields: dict[str, Any], **headers: str) -> None:
    """Send a request, and disconnect before its answer."""

    def connections() -> int:
        return sum(job["connections"] for job in jobs(running, **headers))

    before = connections()
    with connected(running, fields, **headers):
        pass
    until(lambda: connections() == before)


def jobs(running: Running, **headers: str) -> list[dict[str, Any]]:
    shown = {k: v for k, v in headers.items() if k == "Authorization"}
    found = running.http.get("/v1/jobs", headers=shown).json()["data"]
    assert isinstance(found, list)
    return found


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [image["id"] for image in answer.json()["data"]]


Ask = Callable[..., "Future[httpx.Response]"]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Return a function that sends a request in the background."""
    pool = ThreadPoolExecutor(8)

    def send(
        running: Running, fields: dict[str, Any], **headers: str
    ) -> "Future[httpx.Response]":
        return pool.submit(running.http.post, GENERATIONS, json=fields, headers=headers)

    yield send
    pool.shutdown(wait=False)


@pytest.mark.parametrize("model", BACKENDS)
@pytest.mark.parametrize("headers", [{}, retry(1)], ids=["plain", "retry"])
def test_a_repetition_joins_the_request_that_lost_its_client(
    shop: Running, ask: Ask, model: str, headers: dict[str, str]
) -> None:
    asked = wait_for(f"lost {model} {len(headers)}", model)
    leave(shop, asked)
    [job] = jobs(shop)
    again = ask(shop, asked, **headers)
    until(lambda: jobs(shop)[0]["connections"])
    shop.open_gate(asked["prompt"].removeprefix("wait for "))

    assert len(ids(again.result())) == 1
    assert again.result().headers["imagen-joined"] == job["id"]
    assert again.result().headers["imagen-job"] == job["id"]
    assert len(shop.stored) == 1


@pytest.mark.parametrize("model", BACKENDS)
def test_a_repetition_gets_the_image_that_was_made_without_its_client(
    shop: Running, model: str
) -> None:
    asked = wait_for(f"made {model}", model)
    leave(shop, asked)
    shop.open_gate(f"made {model}")
    until(lambda: len(shop.stored) == 1 and not jobs(shop))

    again, genuine = (shop.http.post(GENERATIONS, json=asked) for _ in range(2))

    assert again.headers["imagen-joined"]
    assert "imagen-joined" not in genuine.headers
    assert ids(again) != ids(genuine)
    assert len(shop.stored) == 2


def test_a_stated_retry_joins_a_request_whose_connection_looks_open(
    shop: Running, ask: Ask
) -> None:
    asked = wait_for("open")
    with connected(shop, asked, **retry(0)):
        again = []
        for number in (1, 2):
            again.append(ask(shop, asked, **retry(number)))
            until(lambda: jobs(shop)[0]["connections"] == len(again) + 1)
        assert len(jobs(shop)) == 1
        shop.open_gate("open")
        found = [ids(each.result()) for each in again]

    assert found[0] == found[1]
    assert len(shop.stored) == 1


def test_a_stated_retry_joins_after_two_open_connections_were_lost(
    shop: Running,
) -> None:
    asked = wait_for("two lost", "paid_probe")
    with connected(shop, asked, **retry(0)), connection_to(shop, asked, **retry(1)):
        until(lambda: jobs(shop)[0]["connections"] == 2)
    until(lambda: not jobs(shop)[0]["connections"])
    shop.open_gate("two lost")

    again = shop.http.post(GENERATIONS, json=asked, headers=retry(2))

    assert again.headers["imagen-joined"]
    assert len(shop.stored) == 1


def test_a_stated_retry_gets_an_answer_that_was_written_completely(
    shop: Running,
) -> None:
    asked = {"prompt": "a complete cat", "size": "64x64"}
    first = shop.http.post(GENERATIONS, json=asked, headers=retry(0))
    again = shop.http.post(GENERATIONS, json=asked, headers=retry(1))

    assert ids(first) == ids(again)
    assert again.headers["imagen-joined"] == first.headers["imagen-job"]
    assert "idempotent-replayed" not in again.headers


def test_two_genuine_requests_are_two_purchases(shop: Running, ask: Ask) -> None:
    asked = wait_for("twice", "paid_probe")
    both = [ask(shop, asked, **retry(0)) for _ in range(2)]
    until(lambda: count(shop, "running") == 2)
    again = [ask(shop, asked, **retry(1)) for _ in range(2)]
    until(lambda: [job["connections"] for job in jobs(shop)] == [2, 2])
    shop.open_gate("twice")

    made = sorted(ids(each.result())[0] for each in both)
    assert sorted(ids(each.result())[0] for each in again) == made
    assert len(set(made)) == len(shop.stored) == 2


def test_a_lost_request_is_joined_by_one_connection_at_a_time(
    shop: Running, ask: Ask
) -> None:
    asked = wait_for("one each")
    leave(shop, asked)
    both = [ask(shop, asked) for _ in range(2)]
    until(lambda: count(shop, "running") == 2)
    shop.open_gate("one each")

    joined = ["imagen-joined" in each.result().headers for each in both]
    assert sorted(joined) == [False, True]
    assert len(shop.stored) == 2


def test_a_request_can_be_left_and_joined_again_and_again(shop: Running) -> None:
    asked = wait_for("again", "paid_probe")
    leave(shop, asked)
    for number in (1, 2):
        with connection_to(shop, asked, **retry(number)):
            until(lambda: jobs(shop)[0]["connections"])
        until(lambda: not jobs(shop)[0]["connections"])
    shop.open_gate("again")
    until(lambda: not jobs(shop))

    last = shop.http.post(GENERATIONS, json=asked, headers=retry(3))

    assert last.headers["imagen-joined"]
    assert len(shop.stored) == 1


@pytest.mark.parametrize(
    ("first", "second", "joins"),
    [
        ({}, {"seed": 5}, False),
        ({"quality": "high"}, {"quality": "low"}, False),
        ({}, {"response_format": "url", "user": "me"}, True),
        ({}, {"stream": True}, True),
        ({"stream": True}, {}, True),
    ],
)
def test_only_fields_that_change_the_image_tell_requests_apart(
    shop: Running, first: dict[str, Any], second: dict[str, Any], *, joins: bool
) -> None:
    asked = {"prompt": f"a cat, {first}, {second}", "size": "64x64"}
    shop.http.post(GENERATIONS, json={**asked, **first}, headers=retry(0))
    again = shop.http.post(GENERATIONS, json={**asked, **second}, headers=retry(1))

    assert again.status_code == 200
    assert ("imagen-joined" in again.headers) == joins
    assert len(shop.stored) == (1 if joins else 2)
    if second.get("stream"):
        assert again.text.count('"type":"image_generation.completed"') == 1
        assert again.text.endswith("data: [DONE]\n\n")


def test_another_caller_joins_nothing(
    guarded: Running, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {"Authorization": f"Bearer {KEY}"}
    other = {"Authorization": f"Bearer {OTHER}"}
    monkeypatch.setattr(guarded.http, "headers", mine)
    asked = wait_for("mine")
    leave(guarded, asked, **mine)
    foreign = ask(guarded, asked, **other)
    until(lambda: count(guarded, "running") == 2)
    [job] = jobs(guarded, **mine)
    guarded.open_gate("mine")

    assert "imagen-joined" not in foreign.result().headers
    until(lambda: not jobs(guarded, **mine))
    again = guarded.http.post(GENERATIONS, json=asked, headers=mine)
    assert again.headers["imagen-joined"] == job["id"]


@pytest.mark.parametrize("model", BACKENDS)
def test_a_request_is_cancelled_at_once_by_its_id(
    shop: Running, ask: Ask, model: str
) -> None:
    asking = ask(shop, wait_for("never", model))
    until(lambda: count(shop, "running") == 1)
    [job] = jobs(shop)
    assert (job["status"], job["connections"]) == ("in_progress", 1)
    assert job["model"] == model

    cancelled = shop.http.delete(f"/v1/jobs/{job['id']}")

    assert cancelled.status_code == 200
    assert asking.result().status_code == 499
    assert asking.result().headers["imagen-job"] == job["id"]
    until(lambda: not jobs(shop))
    assert shop.http.delete(f"/v1/jobs/{job['id']}").status_code == 404


@pytest.fixture
def narrow(serve: Serve) -> Running:
    """A server that runs one request at once, and lets two wait."""
    return serve({**CONFIG, "serve": {"concurrency": 1, "queue": 2}})


def test_a_waiting_request_keeps_its_place_and_is_not_sent_without_its_client(
    narrow: Running, ask: Ask
) -> None:
    first = ask(narrow, wait_for("first"))
    until(lambda: count(narrow, "running") == 1)
    leave(narrow, wait_for("second", seed=2))
    third = ask(narrow, wait_for("third"))
    until(lambda: count(narrow, "waiting") == 2)
    narrow.open_gate("first")
    narrow.open_gate("third")
    assert ids(first.result()) != ids(third.result())
    [job] = jobs(narrow)
    assert (job["status"], job["place"]) == ("queued", 1)
    narrow.open_gate("second")
    again = narrow.http.post(GENERATIONS, json=wait_for("second", seed=2))

    assert again.headers["imagen-joined"] == job["id"]
    assert len(narrow.stored) == 3


def test_a_refused_request_is_repeated_as_a_new_purchase(
    narrow: Running, ask: Ask
) -> None:
    asked = {"prompt": "a cat", "size": "64x64", "model": "probe"}
    first = narrow.http.post(GENERATIONS, json=asked, headers=retry(0))
    running = ask(narrow, wait_for("full"))
    until(lambda: count(narrow, "running") == 1)
    waiting = [ask(narrow, wait_for("full", seed=seed)) for seed in (1, 2)]
    until(lambda: count(narrow, "waiting") == 2)
    refused = narrow.http.post(GENERATIONS, json=asked, headers=retry(0))
    narrow.open_gate("full")
    for each in (running, *waiting):
        ids(each.result())

    repeated = narrow.http.post(GENERATIONS, json=asked, headers=retry(1))
    late = narrow.http.post(GENERATIONS, json=asked, headers=retry(1))

    assert refused.status_code == 429
    assert ids(repeated) != ids(first)
    assert ids(late) == ids(first)


def test_a_stream_starts_at_once_and_tells_its_place(narrow: Running, ask: Ask) -> None:
    running = ask(narrow, wait_for("stream"))
    until(lambda: count(narrow, "running") == 1)
    asked = {"prompt": "a cat", "size": "64x64", "stream": True}
    with narrow.client() as client:
        refused = client.post(
            GENERATIONS, json={**wait_for("x"), "style": "nonsense", "stream": True}
        )
        with client.stream(
            "POST", GENERATIONS, json={**asked, "model": "probe"}
        ) as answer:
            lines = answer.iter_lines()
            assert next(lines) == ": place 1 in the queue"
            narrow.open_gate("stream")
            rest = "\n".join(lines)

    assert refused.status_code == 404
    assert len(jobs(narrow)) == 0
    assert "image_generation.completed" in rest
    ids(running.result())


def test_a_waiting_stream_over_budget_is_refused_with_its_status(serve: Serve) -> None:
    running = serve(
        {
            **CONFIG,
            "serve": {"concurrency": 1, "queue": 2},
            "budget": {"day_usd": 0.01},
        }
    )
    paid = {"model": "paid_probe", "size": "64x64", "stream": True}
    first = {**wait_for("budget"), **paid}

    with (
        running.client() as client,
        client.stream("POST", GENERATIONS, json=first) as answer,
    ):
        lines = answer.iter_lines()
        begun = next(lines)  # so its cost is reserved
        refused = running.http.post(GENERATIONS, json={"prompt": "a cat", **paid})
        waiting = count(running, "waiting")
        running.open_gate("budget")
        rest = "\n".join(lines)

    assert begun == "event: image_generation.progress"
    assert (refused.status_code, waiting) == (402, 0)
    assert "image_generation.completed" in rest


def test_nothing_is_kept_or_joined_longer_than_it_may_linger(
    serve: Serve, ask: Ask
) -> None:
    running = serve({**CONFIG, "serve": {"concurrency": 1, "linger": 0}})
    first = ask(running, wait_for("go"))
    until(lambda: count(running, "running") == 1)
    with connected(running, {"prompt": "a cat", "model": "probe", "seed": 3}):
        pass
    until(lambda: count(running, "waiting") == 0)
    running.open_gate("go")
    made = ids(first.result())

    again = running.http.post(GENERATIONS, json=wait_for("go"), headers=retry(1))

    assert ids(again) != made
    assert len(running.stored) == 2
