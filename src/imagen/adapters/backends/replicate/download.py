"""Fetches the files that a prediction names, from wherever they are, with care.

The addresses come from a vendor's answer, and what a model returns is up to whoever
made the model: so an address is looked at before it is followed, and the token goes to
Replicate alone.
"""

import socket
from base64 import b64decode
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Event, Lock
from urllib.parse import SplitResult, unquote_to_bytes, urljoin, urlsplit
from urllib.request import getproxies

import httpx

from imagen.adapters.remote.client import build_client, is_loopback
from imagen.adapters.remote.errors import translate_errors
from imagen.domain.errors import BackendError, Unavailable, Unfinished

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Bytes of one file."""

_MAX_REDIRECTS = 4
_TIMEOUT = 30.0
_DELIVERY_HOST = "replicate.delivery"
_API_HOST = "api.replicate.com"
_REDIRECT_STATUSES = {301, 302, 303, 307, 308}
_SERVER_ERROR = 500

Resolve = Callable[[str], Iterable[str]]


class GoneError(Exception):
    """The file is not there any more."""


def resolve_host(host: str) -> list[str]:
    """Return the addresses that a name stands for; none when nobody knows it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]


class Downloader:
    """Fetches files; each method may be called from several threads at once."""

    def __init__(
        self, home: str, *, token: str, resolve: Resolve = resolve_host
    ) -> None:
        """Fetch nothing yet.

        Args:
            home: Where the API is; the token may go there.
            token: For those files that are only handed out with it.
            resolve: Looks up the addresses of a host.
        """
        self._home = urlsplit(home)
        self._token = token
        self._resolve = resolve
        self._lock = Lock()
        self._clients: dict[bool, httpx.Client] = {}
        self._inside: bool | None = None

    def __repr__(self) -> str:
        return "<downloads>"

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()

    def fetch(self, address: str, stopped: Event) -> bytes:
        """Return a whole file.

        Args:
            address: Where it is; or the file itself, as a data URI.
            stopped: Set when nobody wants it any more.

        Raises:
            GoneError: it is not there any more.
            Unavailable: it cannot be had now.
            Unfinished: it is there, and is not handed out.
            BackendError: it will never be had from there.
        """
        if address.startswith("data:"):
            return _decode_data_uri(address)
        for _ in range(_MAX_REDIRECTS + 1):
            found = self._fetch_once(address, stopped)
            if isinstance(found, bytes):
                return found
            address = urljoin(address, found)
        raise BackendError("The file is behind too many redirects.")

    def _fetch_once(self, address: str, stopped: Event) -> bytes | str:
        """Return the file, or the address to which it leads."""
        parts = self._check_url(address)
        answer = self._request(address, stopped, with_token=False)
        if answer in {401, 403} and self._is_trusted(parts):
            answer = self._request(address, stopped, with_token=True)
        if not isinstance(answer, int):
            return answer
        if answer in {404, 410}:
            raise GoneError
        raise Unfinished(f"{parts.hostname} does not hand the image out ({answer}).")

    def _request(
        self, address: str, stopped: Event, *, with_token: bool
    ) -> bytes | str | int:
        """Return the file, where it is instead, or the status of a refusal."""
        who = f"{urlsplit(address).hostname}"
        headers = {"Authorization": f"Bearer {self._token}"} if with_token else {}
        client = self._client(near=is_loopback(address))
        with (
            translate_errors(who),
            client.stream("GET", address, headers=headers) as answer,
        ):
            if answer.status_code in _REDIRECT_STATUSES:
                return str(answer.headers.get("Location", ""))
            if answer.status_code >= _SERVER_ERROR or answer.status_code in {
                408,
                425,
                429,
            }:
                raise Unavailable(
                    f"{who} is not available (status {answer.status_code})."
                )
            return (
                _read_body(answer, stopped) if answer.is_success else answer.status_code
            )

    def _client(self, *, near: bool) -> httpx.Client:
        """Return a client without any token; one near goes around the proxy."""
        with self._lock:
            if near not in self._clients:
                base = "http://localhost" if near else f"https://{_DELIVERY_HOST}"
                self._clients[near] = build_client(base, timeout=_TIMEOUT)
            return self._clients[near]

    def _check_url(self, address: str) -> SplitResult:
        """Return the parts of an address that may be followed.

        Raises:
            BackendError: it leads where no image should be.
            Unavailable: nobody knows where it leads.
        """
        parts = _parse_url(address)
        host = parts.hostname or ""
        if parts.scheme == "https" and self._is_public_host(host):
            return parts
        same = (parts.scheme, parts.netloc) == (self._home.scheme, self._home.netloc)
        if self._is_api_private() and (same or not self._is_public_host(host)):
            return parts
        raise BackendError(
            f"The model names {parts.scheme}://{host} as the place of the image, where"
            " nothing is fetched from.",
            hint="Images come over https, and not from one's own network.",
        )

    def _is_public_host(self, host: str) -> bool:
        """Whether every address of the host is one of the public network."""
        found = _parse_ip_literal(host) or list(self._resolve(host))
        if not found:
            if getproxies().get("https"):
                return True  # the proxy looks it up, and fetches from where it stands
            raise Unavailable(f"There is no host {host}, or no way to ask for it.")
        return all(_is_public(each) for each in found)

    def _is_api_private(self) -> bool:
        """Whether the API itself is in one's own network."""
        if self._inside is None:
            host = self._home.hostname or ""
            self._inside = is_loopback(self._home.geturl()) or not self._is_public_host(
                host
            )
        return self._inside

    def _is_trusted(self, parts: SplitResult) -> bool:
        """Whether the token may go there."""
        if (parts.scheme, parts.netloc) == (self._home.scheme, self._home.netloc):
            return True
        host = parts.hostname or ""
        ours = host in {_API_HOST, _DELIVERY_HOST} or host.endswith(
            f".{_DELIVERY_HOST}"
        )
        return parts.scheme == "https" and ours


def _read_body(answer: httpx.Response, stopped: Event) -> bytes:
    content = bytearray()
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > MAX_FILE_BYTES:
            raise BackendError(
                f"The file is larger than {MAX_FILE_BYTES // 1024**2} MB."
            )
        if stopped.is_set():
            raise Unavailable("Nobody wants the image any more.")
    return bytes(content)


def _decode_data_uri(uri: str) -> bytes:
    """Return what a data URI holds."""
    head, _, body = uri.partition(",")
    try:
        content = unquote_to_bytes(body)
        return b64decode(content, validate=True) if ";base64" in head else content
    except ValueError as error:
        raise BackendError("The model returned an image that is garbled.") from error


def _parse_url(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        makes_sense = bool(parts.hostname) and parts.port != 0
    except ValueError:
        makes_sense, parts = False, urlsplit("")
    if not makes_sense or parts.username is not None:
        raise BackendError("The model names an address that makes no sense.")
    return parts


def _parse_ip_literal(host: str) -> list[str]:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return []
    return [host]


def _is_public(text: str) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast
