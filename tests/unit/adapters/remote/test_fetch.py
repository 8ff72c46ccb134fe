"""Where a file may come from, and who receives the credentials."""

from threading import Event

import httpx
import pytest
from tests.integration.remote.vendors import Pencil

from imagen.adapters.remote.fetch import FileDownloader, _is_text
from imagen.adapters.remote.vendor import JobOutput, bearer
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.errors import Unavailable, Unfinished
from imagen.testing.fakes import FakeClock

PUBLIC, PRIVATE = "151.101.1.1", "10.0.0.5"
HOSTS = {
    "pencil.example": [PUBLIC],
    "api.pencil.example": [PUBLIC],
    "cdn.example": [PUBLIC, "2a04:4e42::223"],
    "inside.example": [PRIVATE],
    "half.example": [PUBLIC, "127.0.0.1"],
    "router.lan": ["192.168.1.1"],
    "mapped.example": ["::ffff:10.0.0.5"],
    "cloud.example": ["169.254.169.254"],
    "proxy.lan": [PRIVATE],
}
HOME = "https://api.pencil.example/v1"


class PencilWithFiles(Pencil):
    hosts = ("api.pencil.example", "pencil.example", "api.*.brush.example")


def client(home: str = HOME) -> VendorClient:
    return VendorClient(
        PencilWithFiles(),
        base_url=home,
        credentials=bearer("t"),
        hint="",
        now=FakeClock().now,
    )


def downloads(home: str = HOME) -> FileDownloader:
    return FileDownloader(
        client(home), now=FakeClock().now, resolve=lambda host: HOSTS.get(host, [])
    )


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("https://pencil.example/a/out.webp", [PUBLIC]),
        ("https://cdn.example:8443/a.png?x=1", HOSTS["cdn.example"]),
        (f"https://{PUBLIC}/a.png", [PUBLIC]),
        ("https://[2a04:4e42::223]/a.png", ["2a04:4e42::223"]),
    ],
)
def test_a_public_address_is_requested_at_the_address_that_was_checked(
    url: str, addresses: list[str]
) -> None:
    assert downloads()._check_url(url) == addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://pencil.example/a.png",
        "https://inside.example/a.png",
        "https://half.example/a.png",
        "https://router.lan/a.png",
        "https://mapped.example/a.png",
        "https://cloud.example/latest/meta-data",
        "https://127.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://[fe80::1%25eth0]/a.png",
        "https://0.0.0.0/a.png",
        "https://100.64.0.1/a.png",
        "https://224.0.0.1/a.png",
        "https://user:word@cdn.example/a.png",
        "file:///etc/passwd",
        "https:///a.png",
        "https://[::1/a.png",
        "https://cdn.example:99999/a.png",
    ],
)
def test_a_private_or_unencrypted_address_is_not_requested(url: str) -> None:
    with pytest.raises(Unfinished):
        downloads()._check_url(url)


@pytest.mark.parametrize(
    ("home", "url", "requested"),
    [
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/out.png", True),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:10/out.png", True),
        ("http://localhost:9/v1", "http://localhost/out.png", True),
        ("http://127.0.0.1:9/v1", "http://127.0.0.2:9/out.png", False),
        ("http://127.0.0.1:9/v1", "http://proxy.lan/out.png", False),
        ("http://127.0.0.1:9/v1", "http://192.168.1.1/out.png", False),
        ("http://127.0.0.1:9/v1", "http://169.254.169.254/latest", False),
        ("http://127.0.0.1:9/v1", "http://cdn.example/out.png", False),
        ("http://127.0.0.1:9/v1", "https://cdn.example/out.png", True),
        ("http://proxy.lan/v1", "http://proxy.lan/out.png", True),
        ("http://proxy.lan/v1", "http://proxy.lan:9/out.png", False),
        ("http://proxy.lan/v1", "http://192.168.1.1/out.png", False),
    ],
)
def test_a_private_service_has_files_at_its_own_host_only(
    home: str, url: str, requested: bool
) -> None:
    try:
        downloads(home)._check_url(url)
    except Unfinished:
        assert not requested
    else:
        assert requested


def test_an_unknown_host_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)

    with pytest.raises(Unavailable, match=r"host nowhere\.example is unknown"):
        downloads()._check_url("https://nowhere.example/a.png")


def test_behind_a_proxy_the_proxy_resolves_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.lan:3128")

    assert downloads()._check_url("https://nowhere.example/a.png") == []


@pytest.mark.parametrize(
    ("home", "url", "trusted"),
    [
        (HOME, "https://api.pencil.example/v1/files/x", True),
        (HOME, "https://pencil.example/x", True),
        (HOME, "https://pbxt.pencil.example/x", True),
        (HOME, "http://pencil.example/x", False),
        (HOME, "https://pencil.example.evil.io/x", False),
        (HOME, "https://evilpencil.example/x", False),
        (HOME, "https://api.eu1.brush.example/x", True),
        (HOME, "https://files.eu1.brush.example/x", False),
        (HOME, "https://api.a.b.brush.example/x", False),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/out", True),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:10/out", False),
    ],
)
def test_the_credentials_are_for_the_hosts_of_the_vendor(
    home: str, url: str, trusted: bool
) -> None:
    assert client(home).is_trusted(url) is trusted


@pytest.mark.parametrize(
    ("uri", "content"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", b"\x89PNG\r\n\x1a\n"),
        ("data:text/plain,a%20b", b"a b"),
        ("data:,", b""),
    ],
)
def test_a_data_uri_is_decoded(uri: str, content: bytes) -> None:
    assert downloads().fetch(JobOutput(url=uri), Event()) == content


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64,-_8AAQ==",
        "data:image/png;base64,%2B/8AAQ==",
        "data:image/png;base64,+/8A\r\nAQ==\n",
        "data:image/png;base64,+/8AAQ",
        "data:image/png;base64,+/8AAQAAA",
        "DATA:image/png;BASE64,+/8AAQ==",
    ],
)
def test_base64_is_decoded_in_every_form_that_models_write(uri: str) -> None:
    content = downloads().fetch(JobOutput(url=uri), Event())

    assert content.startswith(b"\xfb\xff\0\1")


def test_what_is_not_base64_is_kept_as_it_is() -> None:
    uri = "data:image/png;base64,***"

    assert downloads().fetch(JobOutput(url=uri), Event()) == b"***"


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        (b"<svg/>", "image/svg+xml", False),
        (b"<svg xmlns='x'/>", "application/octet-stream", False),
        (b"<?xml version='1.0'?>\n<!-- by a model -->\n<svg>", "text/xml", False),
        (b"<!DOCTYPE svg PUBLIC 'x'>\n<svg>", "", False),
        (b"<html><svg></svg></html>", "", True),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "", True),
        (b"{}", "image/png", True),
        (b"not found", "text/plain; charset=utf-8", True),
        (b"\x89PNG", "image/png", False),
        (b"\x89PNG", "text/plain", False),
        (b"\0\0\0\x20ftypisom", "application/json", False),
        (b"please wait", "image/png", True),
        (b'["wait"]', "", True),
        (b"\xef\xbb\xbf<html>", "application/octet-stream", True),
        ("<html>".encode("utf-16"), "image/png", True),
        ("<html>é".encode("latin-1"), "text/html", True),
        (b"<html>", "image/svg+xml", True),
        (b"{}", "application/problem+json", True),
        (bytes(range(256)), "image/png", False),
    ],
)
def test_text_is_told_from_an_image_by_its_content(
    content: bytes, kind: str, text: bool
) -> None:
    assert (
        _is_text(httpx.Response(200, headers={"Content-Type": kind}), content) is text
    )
