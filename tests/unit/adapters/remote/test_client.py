import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

import pytest
from tests.nightly import examples

from imagen.adapters.remote.client import (
    build_client,
    build_ssl_context,
    is_loopback,
)
from imagen.domain.errors import (
    Misconfigured,
)
from imagen.testing.contracts.observation import run_at_once

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


def test_an_invalid_proxy_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://x")

    with pytest.raises(Misconfigured):
        build_client("http://a.example")


def test_many_threads_share_one_client() -> None:
    crowd = examples(40, nightly=100)
    with Echo() as server, build_client(server.url) as client:
        for _ in range(3):
            outcomes = run_at_once(lambda n: client.get(f"/{n}").text, crowd=crowd)

            assert outcomes == [f"/{n}" for n in range(crowd)]
        assert server.connections <= crowd


def test_a_connection_that_was_given_back_is_used_again() -> None:
    with Echo() as server, build_client(server.url) as client:
        for _ in range(3):
            client.get("/")
        with client.stream("GET", "/"):
            client.get("/")

        assert server.connections == 2
