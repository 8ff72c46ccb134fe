"""Disconnecting clients, full queues, and shutdown."""

import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.integration.serve.conftest import Serve
from tests.integration.serve.running import Running, until

GENERATIONS = "/v1/images/generations"
ASKED = {"prompt": "a cat", "size": "64x64"}
A_WHILE, LONG = 0.7, 120


def slow(seconds: float, **limits: int) -> dict[str, object]:
    return {
        "backends": {"mock": {"adapter": "mock", "delay": seconds}},
        "serve": limits,
    }


def count(running: Running, of: str) -> int:
    with running.client() as client:
        for line in client.get("/metrics").text.splitlines():
            if line.startswith(of):
                return int(float(line.split()[-1]))
    return 0


def hang_up(running: Running, **headers: str) -> None:
    """Send a request, and disconnect as soon as it runs."""
    body = httpx.Request("POST", running.url, json=ASKED).read()
    host, port = "127.0.0.1", int(running.url.rpartition(":")[2])
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection((host, port)) as asking:
        asking.sendall(
            f"POST {GENERATIONS} HTTP/1.1\r\nHost: {host}:{port}\r\n{more}"
            f"Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        until(lambda: count(running, "imagen_requests_running") == 1)


def test_a_request_is_cancelled_when_its_client_disconnects(serve: Serve) -> None:
    running = serve(slow(LONG))

    hang_up(running)

    until(lambda: count(running, "imagen_requests_open") == 0)
    assert count(running, 'imagen_failed_images_total{backend="mock",code="canc') == 1
    assert running.stored == []


@pytest.mark.parametrize(
    "header", [("Imagen-Detach", "true"), ("Idempotency-Key", "one")]
)
def test_a_detached_request_continues_without_its_client(
    serve: Serve, header: tuple[str, str]
) -> None:
    running = serve(slow(A_WHILE))

    hang_up(running, **{header[0]: header[1]})

    until(lambda: len(running.stored) == 1)


def test_a_request_with_a_key_can_be_made_cancellable(serve: Serve) -> None:
    running = serve(slow(LONG))

    hang_up(running, **{"Idempotency-Key": "one", "Imagen-Detach": "false"})

    until(lambda: count(running, "imagen_requests_open") == 0)
    assert running.stored == []


def test_closing_a_stream_cancels_the_request(serve: Serve) -> None:
    running = serve(slow(LONG))
    asked = {**ASKED, "stream": True, "num_inference_steps": 1000}
    with (
        running.client() as client,
        client.stream("POST", GENERATIONS, json=asked) as answer,
    ):
        assert b"progress" in next(answer.iter_raw())

    until(lambda: count(running, "imagen_requests_open") == 0)
    assert running.stored == []


def test_a_full_queue_sends_retry_after(serve: Serve) -> None:
    running = serve(slow(LONG, concurrency=1, queue=1))
    with ThreadPoolExecutor(2) as pool, running.client() as client:
        for _ in range(2):
            pool.submit(client.post, GENERATIONS, json=ASKED)
        until(lambda: count(running, "imagen_requests_waiting") == 1)

        answer = client.post(GENERATIONS, json=ASKED)
        running.kill()

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"


def test_shutdown_finishes_running_and_rejects_queued_requests(serve: Serve) -> None:
    running = serve(slow(1.5, concurrency=1))
    with ThreadPoolExecutor(2) as pool, running.client() as client:
        begun = pool.submit(client.post, GENERATIONS, json=ASKED)
        until(lambda: count(running, "imagen_requests_running") == 1)
        waiting = pool.submit(client.post, GENERATIONS, json=ASKED)
        until(lambda: count(running, "imagen_requests_waiting") == 1)

        code = running.stop(signal.SIGTERM)

        assert code == 0
        assert begun.result().status_code == 200
        assert waiting.result().status_code == 503
        assert waiting.result().headers["x-should-retry"] == "true"
    assert len(running.stored) == 1


def test_shutdown_finishes_detached_requests(serve: Serve) -> None:
    running = serve(slow(1.5))
    hang_up(running, **{"Imagen-Detach": "true"})

    running.stop()

    assert len(running.stored) == 1


def test_a_second_signal_ends_the_server_at_once(serve: Serve) -> None:
    running = serve(slow(LONG))
    with ThreadPoolExecutor(1) as pool, running.client() as client:
        begun = pool.submit(client.post, GENERATIONS, json=ASKED)
        until(lambda: count(running, "imagen_requests_running") == 1)
        assert running.process is not None
        running.process.send_signal(signal.SIGINT)
        until(lambda: not answers(running))

        assert running.stop(signal.SIGINT) == 130
        assert isinstance(begun.exception(), httpx.HTTPError)


@pytest.mark.parametrize("stream", [False, True])
def test_requests_that_outlast_the_grace_period_must_not_be_retried(
    serve: Serve, *, stream: bool
) -> None:
    running = serve(slow(LONG, grace=1))
    with ThreadPoolExecutor(1) as pool, running.client() as client:
        asked = {**ASKED, "stream": stream}
        begun = pool.submit(client.post, GENERATIONS, json=asked)
        until(lambda: count(running, "imagen_requests_running") == 1)

        assert running.stop() == 0

        answer = begun.result()
    if stream:
        assert "event: error" in answer.text
    else:
        assert answer.status_code == 502
        assert answer.headers["x-should-retry"] == "false"
    assert '"code":"interrupted"' in answer.text
    assert "Traceback" not in running.log.read_text()


def test_shutdown_does_not_wait_for_an_incomplete_body(serve: Serve) -> None:
    running = serve(slow(0, grace=0))
    port = int(running.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as asking:
        asking.sendall(
            f"POST {GENERATIONS} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
        until(lambda: count(running, "imagen_requests_open") == 0)

        assert running.stop() == 0

        assert b" 503 " in asking.recv(65536).split(b"\r\n", 1)[0]
    assert "Traceback" not in running.log.read_text()


def test_a_disconnect_within_a_body_logs_no_error(serve: Serve) -> None:
    running = serve()
    port = int(running.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as asking:
        asking.sendall(
            f"POST {GENERATIONS} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
    running.stop()

    assert "error" not in running.log.read_text()


def answers(running: Running) -> bool:
    port = int(running.url.rpartition(":")[2])
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
