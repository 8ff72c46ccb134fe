from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import create_server
from threading import Thread

import pytest

from imagen.adapters.remote.client import build_client
from imagen.adapters.remote.errors import translate_errors
from imagen.adapters.remote.proxies import find_proxy, parse_entry
from imagen.domain.errors import Misconfigured, Unavailable

PROXY = "http://proxy.lan:3128"
VARIABLES = [f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL", "NO")]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("a.example", "https://a.example/x", True),
        ("a.example", "https://b.a.example", True),
        ("a.example", "https://ba.example", False),
        (".a.example", "https://a.example", False),
        ("*.a.example", "https://b.a.example", True),
        ("A.example.", "https://a.EXAMPLE", True),
        ("a.example:8443", "https://a.example:8443", True),
        ("a.example:8443", "https://a.example", False),
        ("a.example:443", "https://a.example", True),
        ("https://a.example", "https://a.example", True),
        ("http://a.example", "https://a.example", False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("192.168.1.1", "https://192.168.1.1", True),
        ("192.168.1.1:81", "https://192.168.1.1:81", True),
        ("fd00::/8", "https://[fd12::1]:8443", True),
        ("::1/128", "https://[fd12::1]", False),
        ("[fd12::1]", "https://[fd12::1]", True),
        ("[fd12::1]:81", "https://[fd12::1]:81", True),
        ("[fd12::1]/64,x", "https://[fd12::9]", True),
        ("fe80::1%eth0", "https://[fe80::1]", True),
        ("x, y a.example", "https://a.example", True),
        ("x,*", "https://a.example", True),
        (",,", "https://a.example", False),
    ],
)
def test_no_proxy_names_hosts_networks_and_ports(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, direct: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)

    assert find_proxy(url) == (None if direct else PROXY)


@pytest.mark.parametrize(
    "entry", ["host:abc", "[::z", "10.0.0.0/99", "\x1b", "a:0", "//"]
)
def test_an_entry_that_cannot_be_read_is_skipped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, entry: str
) -> None:
    assert parse_entry(entry) is None
    monkeypatch.setenv("ALL_PROXY", "proxy.lan:3128")
    monkeypatch.setenv("NO_PROXY", f"{entry},b.example")

    for _ in range(2):
        build_client("https://a.example").close()

    assert find_proxy("https://b.example") is None
    assert find_proxy("wss://a.example") == PROXY
    [record] = caplog.records
    assert f"skipped: {entry!a}." in record.getMessage()


def test_without_a_proxy_no_proxy_is_not_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NO_PROXY", "only:rubbish")

    build_client("https://a.example").close()

    assert caplog.records == []


def test_a_dead_proxy_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://me:canary@127.0.0.1:{port}")

    with (
        build_client("http://a.example") as client,
        pytest.raises(Unavailable) as failed,
        translate_errors("Chalk", creates=True),
    ):
        client.get("/")

    assert f"the proxy http://127.0.0.1:{port} was not reached" in failed.value.message
    assert "HTTP_PROXY" in failed.value.hint
    assert "canary" not in failed.value.explanation


def test_a_request_goes_through_the_proxy_unless_it_is_exempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        with build_client("http://a.example") as client:
            client.get("/x")
            client.get(f"http://127.0.0.1:{server.server_port}/direct")
        server.shutdown()
        thread.join()

    assert asked == ["http://a.example/x", "/direct"]


def test_a_missing_certificate_file_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")

    with pytest.raises(Misconfigured, match=r"SSL_CERT_FILE.*: No such file"):
        build_client("https://a.example")


def test_a_socks_proxy_that_is_exempt_needs_no_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.lan")
    monkeypatch.setenv("NO_PROXY", "a.example")

    build_client("https://a.example").close()

    assert find_proxy("https://b.example") == "socks5://proxy.lan"
