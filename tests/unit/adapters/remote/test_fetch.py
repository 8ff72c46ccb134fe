"""Where an image may come from."""

from threading import Event

import pytest

from imagen.adapters.backends.replicate.download import Downloader
from imagen.domain.errors import BackendError, Unavailable

PUBLIC, PRIVATE = "151.101.1.1", "10.0.0.5"
HOSTS = {
    "replicate.delivery": [PUBLIC],
    "cdn.example": [PUBLIC, "2a04:4e42::223"],
    "inside.example": [PRIVATE],
    "half.example": [PUBLIC, "127.0.0.1"],
    "router.lan": ["192.168.1.1"],
    "mapped.example": ["::ffff:10.0.0.5"],
    "cloud.example": ["169.254.169.254"],
    "api.replicate.com": [PUBLIC],
    "proxy.lan": [PRIVATE],
}


def downloads(home: str = "https://api.replicate.com/v1") -> Downloader:
    return Downloader(home, token="t", resolve=lambda host: HOSTS.get(host, []))


@pytest.mark.parametrize(
    "address",
    [
        "https://replicate.delivery/a/out.webp",
        "https://cdn.example:8443/a.png?x=1",
        f"https://{PUBLIC}/a.png",
        "https://[2a04:4e42::223]/a.png",
    ],
)
def test_images_come_from_anywhere_on_the_network(address: str) -> None:
    assert downloads()._check_url(address).scheme == "https"


@pytest.mark.parametrize(
    "address",
    [
        "http://replicate.delivery/a.png",
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
def test_but_not_from_inside_and_not_in_the_clear(address: str) -> None:
    with pytest.raises(BackendError):
        downloads()._check_url(address)


@pytest.mark.parametrize("home", ["http://127.0.0.1:9/v1", "http://proxy.lan/v1"])
@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("http://proxy.lan/out.png", True),
        ("http://192.168.1.1/out.png", True),
        ("https://cdn.example/out.png", True),
        ("http://cdn.example/out.png", False),
    ],
)
def test_an_api_of_ones_own_may_hand_out_from_inside(
    home: str, address: str, fine: bool
) -> None:
    try:
        downloads(home)._check_url(address)
    except BackendError:
        assert not fine
    else:
        assert fine


def test_an_unknown_host_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)

    with pytest.raises(Unavailable, match=r"host nowhere\.example is unknown"):
        downloads()._check_url("https://nowhere.example/a.png")


def test_behind_a_proxy_the_proxy_looks_names_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.lan:3128")

    assert downloads()._check_url("https://nowhere.example/a.png").hostname


@pytest.mark.parametrize(
    ("home", "address", "trusted"),
    [
        ("https://api.replicate.com/v1", "https://api.replicate.com/v1/files/x", True),
        ("https://api.replicate.com/v1", "https://replicate.delivery/x", True),
        ("https://api.replicate.com/v1", "https://pbxt.replicate.delivery/x", True),
        ("https://api.replicate.com/v1", "http://replicate.delivery/x", False),
        ("https://api.replicate.com/v1", "https://replicate.delivery.evil.io/x", False),
        ("https://api.replicate.com/v1", "https://evilreplicate.delivery/x", False),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/out", True),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:10/out", False),
    ],
)
def test_the_token_goes_to_replicate_alone(
    home: str, address: str, trusted: bool
) -> None:
    from urllib.parse import urlsplit

    assert downloads(home)._is_trusted(urlsplit(address)) is trusted


@pytest.mark.parametrize(
    ("uri", "content"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", b"\x89PNG\r\n\x1a\n"),
        ("data:text/plain,a%20b", b"a b"),
        ("data:,", b""),
    ],
)
def test_takes_a_file_out_of_its_address(uri: str, content: bytes) -> None:
    assert downloads().fetch(uri, Event()) == content


def test_an_invalid_data_uri_is_an_error() -> None:
    with pytest.raises(BackendError, match="invalid data URI"):
        downloads().fetch("data:image/png;base64,***", Event())


def test_shows_no_token() -> None:
    assert repr(downloads()) == "<downloader>"
