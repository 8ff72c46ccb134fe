"""Disconnecting clients, full queues, and shutdown."""

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from tests.integration.serve.conftest import CONFIG, Serve
from tests.integration.serve.running import GENERATIONS, Running, until


def wait_for(gate: str) -> dict[str, str]:
    """Return a request that takes until this gate is opened."""
    return {"prompt": f"wait for {gate}", "size": "64x64", "model": "probe"}


def count(running: Running, name: str) -> int:
    return running.metric(f"imagen_requests_{name}", backend="probe")


@contextmanager
def sent(
    running: Running, body: bytes, *, missing: int = 0, **headers: str
) -> Iterator[socket.socket]:
    """Send a request, and yield its connection; `missing` bytes are announced only."""
    host, port = "127.0.0.1", running.port
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection((host, port)) as connection:
        connection.sendall(
            f"POST {GENERATIONS} HTTP/1.1\r\nHost: {host}:{port}\r\n{more}"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body) + missing}\r\n\r\n".encode()
            + body
        )
        yield connection


def disconnect(running: Running, gate: str, **headers: str) -> None:
    """Send a request, and disconnect as soon as it runs."""
    before = count(running, "running")
    body = httpx.Request("POST", running.url, json=wait_for(gate)).read()
    with sent(running, body, **headers):
        until(lambda: count(running, "running") == before + 1)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "cancellable"}])
def test_a_request_that_must_not_be_detached_is_cancelled_when_its_client_disconnects(
    shop: Running, headers: dict[str, str]
) -> None:
    failed = {"backend": "probe", "code": "cancelled"}
    before = shop.metric("imagen_failed_images_total", **failed)

    disconnect(shop, "never", **headers, **{"Imagen-Detach": "false"})

    until(lambda: shop.metric("imagen_requests_open") == 0)
    assert shop.metric("imagen_failed_images_total", **failed) == before + 1
    assert shop.stored == []


@pytest.mark.parametrize(
    "header", [("Imagen-Detach", "true"), ("Idempotency-Key", "detached")]
)
def test_a_detached_request_continues_without_its_client(
    shop: Running, header: tuple[str, str]
) -> None:
    disconnect(shop, header[0], **{header[0]: header[1]})

    shop.open_gate(header[0])

    until(lambda: len(shop.stored) == 1)


def test_closing_a_stream_that_must_not_be_detached_cancels_the_request(
    shop: Running,
) -> None:
    asked = {**wait_for("never"), "stream": True}
    headers = {"Imagen-Detach": "false"}
    with (
        shop.client() as client,
        client.stream("POST", GENERATIONS, json=asked, headers=headers) as answer,
    ):
        assert b"progress" in next(answer.iter_raw())

    until(lambda: shop.metric("imagen_requests_open") == 0)
    assert shop.stored == []


@pytest.fixture
def narrow(serve: Serve) -> Running:
    """A server that runs two requests at once, and lets one more wait."""
    return serve({**CONFIG, "serve": {"concurrency": 2, "queue": 1}})


def test_a_full_queue_rejects_and_shutdown_finishes_what_runs(narrow: Running) -> None:
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(narrow.ask, **wait_for("gate"))
        until(lambda: count(narrow, "running") == 1)
        disconnect(narrow, "gate", **{"Imagen-Detach": "true"})
        until(lambda: count(narrow, "running") == 2)
        # Another image: an equal request would join the one that lost its client.
        waiting = pool.submit(narrow.ask, **wait_for("gate"), seed=2)
        until(lambda: count(narrow, "waiting") == 1)

        rejected = narrow.ask(**wait_for("gate"), seed=3)

        assert rejected.status_code == 429
        assert int(rejected.headers["retry-after"]) > 0
        assert rejected.json()["error"]["code"] == "rate_limit_exceeded"

        narrow.send_signal(signal.SIGTERM)

        assert waiting.result().status_code == 503
        assert waiting.result().headers["x-should-retry"] == "true"
        narrow.open_gate("gate")
        assert narrow.wait() == 0
        assert running.result().status_code == 200
    assert len(narrow.stored) == 2  # that of the detached request, too


def test_requests_that_outlast_the_grace_period_must_not_be_retried(
    serve: Serve,
) -> None:
    running = serve({**CONFIG, "serve": {"grace": 0}})
    asked = {**wait_for("never"), "stream": True}
    with (
        ThreadPoolExecutor(1) as pool,
        sent(running, b"{", missing=99) as incomplete,
        running.client() as client,
        client.stream("POST", GENERATIONS, json=asked) as stream,
    ):
        events = stream.iter_text()
        assert "progress" in next(events)
        plain = pool.submit(running.ask, **wait_for("never"))
        until(lambda: count(running, "running") == 2)

        assert running.stop() == 0

        said = "".join(events)
        # Nothing waits for the rest of a body, which may never come.
        assert b" 503 " in incomplete.recv(65536).split(b"\r\n", 1)[0]
    assert plain.result().status_code == 502
    assert plain.result().headers["x-should-retry"] == "false"
    assert "event: error" in said
    for answer in (plain.result().text, said):
        assert '"code":"interrupted"' in answer
    log = running.log.read_text()
    assert "2 requests did not finish in time; the next server resumes them" in log
    assert "Traceback" not in log


def test_a_disconnect_within_a_body_logs_no_error(serve: Serve) -> None:
    running = serve()
    with sent(running, b"{", missing=99):
        pass
    running.stop()

    assert "error" not in running.log.read_text()
