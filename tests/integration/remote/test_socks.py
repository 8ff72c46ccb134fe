"""Servers are reached through a SOCKS proxy, for which an extra is needed."""

import gc
import socket
import socketserver
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from tests.integration.comfyui.server import ComfyServer
from tests.integration.tls import load_certificate, make_certificate

from imagen.adapters.backends.comfyui.adapter import ComfyOptions, create
from imagen.adapters.remote.client import build_client
from imagen.adapters.remote.errors import translate_errors
from imagen.adapters.system.clock import SystemClock
from imagen.adapters.system.installation import format_install_command
from imagen.backend import BackendContext, Secrets
from imagen.domain.errors import Misconfigured, Unavailable
from imagen.domain.job import ImageJob
from imagen.domain.size import Size
from imagen.testing import RecordingContext

SOCKS = 5
DONE, REFUSED = 0, 5
NAME, PASSWORD = 3, 2
"""The address is a host name; the client authenticates with name and password."""


JOB = ImageJob(number=1, prompt="a cat", size=Size(64, 64), seed=1, timeout=60)


class Socks(socketserver.ThreadingTCPServer):
    """A SOCKS5 proxy (RFC 1928) that connects every host name to 127.0.0.1.

    Attributes:
        asked: Host and port of each request.
        users: Name and password of each connection that has them.
        refuses: Whether requests are refused.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.asked: list[tuple[str, int]] = []
        self.users: list[tuple[bytes, bytes]] = []
        self.refuses = False

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Connection(socketserver.StreamRequestHandler):
    server: Socks

    def handle(self) -> None:
        _, count = self.rfile.read(2)
        method = PASSWORD if PASSWORD in self.rfile.read(count) else 0
        self.connection.sendall(bytes([SOCKS, method]))
        if method:
            self.rfile.read(1)
            self.server.users.append((self.read_text(), self.read_text()))
            self.connection.sendall(bytes([1, DONE]))
        *_, kind = self.rfile.read(4)
        assert kind == NAME
        host = self.read_text().decode()
        (port,) = struct.unpack(">H", self.rfile.read(2))
        self.server.asked.append((host, port))
        code = REFUSED if self.server.refuses else DONE
        self.connection.sendall(bytes([SOCKS, code, 0, 1, *6 * [0]]))
        if code == DONE:
            with socket.create_connection(("127.0.0.1", port)) as target:
                back = Thread(target=_copy, args=(target, self.connection))
                back.start()
                _copy(self.connection, target)
                back.join()

    def read_text(self) -> bytes:
        return self.rfile.read(self.rfile.read(1)[0])


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while content := source.recv(65_536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other direction has ended


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Socks]:
    pytest.importorskip("socksio")
    with Socks() as proxy:
        thread = Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("ALL_PROXY", f"socks5://{proxy.address}")
        yield proxy
        proxy.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_a_backend_draws_through_it_events_included(proxy: Socks) -> None:
    pytest.importorskip("python_socks")
    with ComfyServer() as server:
        port = int(server.url.rpartition(":")[2])
        options = ComfyOptions(base_url=f"http://a.example:{port}", workflow="sd15")
        clock, secrets = SystemClock(), Secrets({})
        backend = create(
            options, BackendContext(name="lab", clock=clock, secrets=secrets)
        )
        made = backend.generate(JOB, RecordingContext())
        backend.close()

        assert len(made.images) == 1
        assert server.count("GET", "/ws") == 1
    assert set(proxy.asked) == {("a.example", port)}


def test_a_certificate_and_a_password_pass_through_it(
    proxy: Socks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    monkeypatch.setenv("ALL_PROXY", f"socks5h://me:canary@{proxy.address}")
    with ComfyServer(tls=load_certificate(folder)) as server:
        port = server.url.rpartition(":")[2]
        with build_client(f"https://a.example:{port}") as client:
            assert client.get("/system_stats").status_code == 200

    assert proxy.asked == [("a.example", int(port))]
    assert proxy.users == [(b"me", b"canary")]


# httpcore 1.0.9 does not close a connection that a proxy refuses.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_proxy_that_refuses_or_is_down_is_named(proxy: Socks) -> None:
    proxy.refuses = True
    with (
        build_client("http://a.example") as client,
        pytest.raises(Unavailable, match="the proxy refused the connection") as failed,
        translate_errors("Chalk", creates=True),
    ):
        client.get("/")
    assert "ALL_PROXY" in failed.value.hint
    del failed
    gc.collect()

    proxy.shutdown()
    proxy.server_close()
    with (
        build_client("http://a.example") as client,
        pytest.raises(Unavailable, match=f"socks5://{proxy.address} was not reached"),
        translate_errors("Chalk", creates=True),
    ):
        client.get("/")


def test_without_the_extra_the_command_to_install_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")

    with pytest.raises(Misconfigured, match="SOCKS proxy") as failed:
        build_client("http://a.example")

    assert failed.value.hint == f"Run: {format_install_command('socks')}"
