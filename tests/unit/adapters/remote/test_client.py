import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Self

import httpx
import pytest

from imagen.adapters.remote.background import BackgroundCall
from imagen.adapters.remote.client import (
    build_client,
    build_ssl_context,
    is_loopback,
)
from imagen.adapters.remote.errors import (
    display_url,
    mark_unsent,
    parse_retry_after,
    to_status_error,
    translate_errors,
)
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    Misconfigured,
    OutOfCredit,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.testing.concurrency import run_at_once
from imagen.testing.fakes import CancelledContext, RecordingContext

SECRET = "canary-8c1f"


class Echo:
    """A server that says which path it was asked for, and counts connections."""

    def __init__(self) -> None:
        self.connections = 0
        counted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                counted.connections += 1
                super().setup()

            def do_GET(self) -> None:
                body = self.path.encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:8188", True),
        ("http://comfy.localhost", True),
        ("http://127.0.0.9", True),
        ("http://[::1]:8188/x", True),
        ("http://192.168.1.5:8188", False),
        ("https://localhost.example.com", False),
        ("nonsense", False),
    ],
)
def test_knows_this_machine(url: str, here: bool) -> None:
    assert is_loopback(url) is here


def test_no_proxy_stands_between_two_programs_on_one_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    near, far = build_client("http://localhost:8188"), build_client("http://a.example")

    assert not near._mounts
    assert far._mounts


@pytest.mark.parametrize(
    "url",
    ["https://me:s3cret@a.example:81/x/?token=s3cret", "https://a.example:81/x"],
)
def test_shows_an_address_without_its_secrets(url: str) -> None:
    assert display_url(url) == "https://a.example:81/x"


def test_a_plain_address_needs_no_certificates() -> None:
    assert build_ssl_context("http://a.example").get_ca_certs() == []
    assert build_ssl_context("http://a.example").verify_mode is ssl.CERT_REQUIRED
    assert build_ssl_context("https://a.example").verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("value", [f"{SECRET}\n", f"{SECRET}\0", f"{SECRET}é", " x"])
def test_a_header_that_cannot_be_sent_is_not_shown(value: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        build_client("http://a.example", headers={"X-Key": value})

    assert "X-Key" in refused.value.message
    assert SECRET not in f"{refused.value!r}{refused.value.__context__!r}"


def test_a_proxy_that_makes_no_sense_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://x")

    with pytest.raises(Misconfigured):
        build_client("http://a.example")


def failing(error: Exception, *, creates: bool) -> ImagenError:
    with (
        pytest.raises(ImagenError) as failed,
        translate_errors("Chalk", creates=creates),
    ):
        raise error
    return failed.value


@pytest.mark.parametrize("creates", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("[Errno 111] Connection refused"),
        httpx.ConnectTimeout("slow"),
        httpx.PoolTimeout("full"),
        httpx.ProxyError("403"),
        httpx.UnsupportedProtocol("x"),
    ],
)
def test_what_was_not_sent_may_be_sent_again(error: Exception, creates: bool) -> None:
    assert type(failing(error, creates=creates)) is Unavailable


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.WriteTimeout("slow"),
        httpx.RemoteProtocolError("closed"),
        httpx.DecodingError("gzip"),
    ],
)
def test_what_may_have_arrived_is_not_sent_again(error: Exception) -> None:
    assert type(failing(error, creates=True)) is Unfinished
    assert type(failing(error, creates=False)) is Unavailable


def test_nobody_else_s_fault_is_translated() -> None:
    with pytest.raises(KeyError), translate_errors("Chalk"):
        raise KeyError("ours")


@pytest.mark.parametrize(
    ("status", "creates", "kind"),
    [
        (400, True, BackendError),
        (401, True, Unauthorized),
        (402, True, OutOfCredit),
        (403, False, Unauthorized),
        (404, False, BackendError),
        (429, True, Throttled),
        (500, False, BackendError),
        (500, True, Unfinished),
        (502, False, Unavailable),
        (502, True, Unfinished),
        (503, True, Unavailable),
        (504, True, Unfinished),
    ],
)
def test_knows_what_a_status_means(
    status: int, creates: bool, kind: type[ImagenError]
) -> None:
    error = to_status_error(httpx.Response(status), "Chalk", creates=creates)

    assert type(error) is kind
    assert "Chalk" in error.message


def test_passes_on_how_long_to_wait() -> None:
    answer = httpx.Response(429, headers={"Retry-After": "7"})

    error = to_status_error(answer, "Chalk")

    assert isinstance(error, Throttled)
    assert error.retry_after == 7


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Tue, 01 Jan 2030 12:00:30 GMT", 30.0),
        ("Tue, 01 Jan 2030 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        (None, None),
    ],
)
def test_reads_retry_after(value: str | None, seconds: float | None) -> None:
    now = datetime(2030, 1, 1, 12, tzinfo=UTC)

    assert parse_retry_after(value, now=now) == seconds


# Background calls


def test_an_errand_brings_back_its_answer() -> None:
    assert BackgroundCall(lambda: 7).result(RecordingContext()) == 7


def test_an_errand_brings_back_its_error() -> None:
    def fail() -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        BackgroundCall(fail).result(RecordingContext())


def left_behind(undone: Callable[[int], object]) -> Event:
    """Leave an call behind, and return what lets it arrive."""
    arrive = Event()

    def call() -> int:
        arrive.wait(5)
        return 7

    with pytest.raises(Cancelled):
        BackgroundCall(call, undo=undone).result(CancelledContext())
    return arrive


def test_what_nobody_waits_for_is_undone() -> None:
    undone, happened = [], Event()

    def undo(answer: int) -> None:
        undone.append(answer)
        happened.set()

    left_behind(undo).set()

    assert happened.wait(5)
    assert undone == [7]


def test_an_errand_ends_in_time_or_not() -> None:
    block = Event()
    call = BackgroundCall(lambda: block.wait(5))

    assert not call.wait(0.01)
    block.set()
    assert call.wait(5)


def test_what_comes_before_the_sending_has_cost_nothing() -> None:
    with pytest.raises(Unavailable) as failed, mark_unsent():
        raise Unavailable("Down.")

    assert failed.value.used == UNTOUCHED


def test_a_cancelling_before_the_sending_is_settled() -> None:
    with pytest.raises(Cancelled, match="Enough") as stopped, mark_unsent():
        raise Cancelled("Enough.", hint="Go on later.")

    assert stopped.value.settled
    assert stopped.value.used == UNTOUCHED
    assert stopped.value.hint == "Go on later."


def test_a_call_that_was_left_may_still_bring_something() -> None:
    go, undone = Event(), Event()

    def undo(_: int) -> None:
        undone.set()

    call = BackgroundCall(lambda: go.wait(5) and 42, undo=undo)
    with pytest.raises(Cancelled):
        call.result(CancelledContext())

    assert call.result_within(0.01) is None
    go.set()
    assert call.result_within(5) == 42
    assert undone.wait(5)


def test_a_late_call_may_fail() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        BackgroundCall(fail).result_within(5)


def test_a_crowd_of_threads_shares_one_client() -> None:
    with Echo() as server, build_client(server.url) as client:
        for _ in range(3):
            outcomes = run_at_once(lambda n: client.get(f"/{n}").text, crowd=100)

            assert outcomes == [f"/{n}" for n in range(100)]
        assert server.connections <= 100


def test_a_connection_that_was_given_back_is_used_again() -> None:
    with Echo() as server, build_client(server.url) as client:
        for _ in range(3):
            client.get("/")
        with client.stream("GET", "/"):
            client.get("/")

        assert server.connections == 2
