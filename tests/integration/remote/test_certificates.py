"""Certificates are those of the environment, whichever variable names them."""

import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.integration.tls import load_certificate, make_certificate

from imagen.adapters.remote.client import CERTIFICATES, build_client
from imagen.adapters.remote.errors import translate_errors
from imagen.domain.errors import Misconfigured, Unavailable


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.socket = load_certificate(folder).wrap_socket(
            server.socket, server_side=True
        )
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CERTIFICATES:
        monkeypatch.delenv(name, raising=False)


def get(url: str) -> int:
    with build_client(url) as client, translate_errors("Chalk"):
        return client.get("/").status_code


@pytest.mark.parametrize(
    "name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
)
def test_a_server_is_trusted_whose_ca_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, server: str, folder: Path, name: str
) -> None:
    monkeypatch.setenv(name, str(folder / "cert.pem"))

    assert get(server) == 204


@pytest.mark.parametrize("name", ["SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_a_folder_of_certificates_is_read(
    monkeypatch: pytest.MonkeyPatch,
    server: str,
    folder: Path,
    tmp_path: Path,
    name: str,
) -> None:
    words = ["openssl", "x509", "-hash", "-noout", "-in", str(folder / "cert.pem")]
    digest = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    (tmp_path / f"{digest.strip()}.0").symlink_to(folder / "cert.pem")
    monkeypatch.setenv(name, str(tmp_path))

    assert get(server) == 204


def test_the_variable_is_named_that_makes_a_server_trusted(server: str) -> None:
    with pytest.raises(Unavailable, match="its certificate is not trusted") as failed:
        get(server)

    assert "SSL_CERT_FILE" in failed.value.hint


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificates_that_cannot_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv(name, "/nowhere/ca.pem")
    with pytest.raises(Misconfigured, match=f"{name} .*: No such file"):
        build_client("https://a.example")

    (tmp_path / "ca.pem").write_text("nonsense")
    monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    with pytest.raises(Misconfigured, match=f"{name} .*: not a file of certificates"):
        build_client("https://a.example")
