"""Downloads of the files that a prediction names.

The URLs come from a response, and the output of a model is up to its author. So a URL
is checked before it is requested, and the token is sent to Replicate's hosts only.
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
from imagen.adapters.remote.errors import to_unavailable, translate_errors
from imagen.domain.errors import BackendError, Unavailable, Unfinished

MAX_FILE_BYTES = 256 * 1024 * 1024

_MAX_REDIRECTS = 4
_TIMEOUT = 30.0
_DELIVERY_HOST = "replicate.delivery"
_API_HOST = "api.replicate.com"
_REDIRECT_STATUSES = {301, 302, 303, 307, 308}
_SERVER_ERROR = 500

Resolve = Callable[[str], Iterable[str]]


class GoneError(Exception):
    """The file was deleted."""


def resolve_host(host: str) -> list[str]:
    """Return the IP addresses of a host; none if the name is unknown."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]


class Downloader:
    """Downloads files; thread-safe.

    The token is for files that are not public; only the host of the API and Replicate's
    own hosts receive it.
    """

    def __init__(
        self, api_url: str, *, token: str, resolve: Resolve = resolve_host
    ) -> None:
        self._api = urlsplit(api_url)
        self._token = token
        self._resolve = resolve
        self._lock = Lock()
        self._clients: dict[bool, httpx.Client] = {}
        self._api_private: bool | None = None

    def __repr__(self) -> str:
        return "<downloader>"

    def close(self) -> None:
        """Close the HTTP clients."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()

    def fetch(self, url: str, stopped: Event) -> bytes:
        """Return the content of a URL or data URI, unless it is `stopped` meanwhile.

        Raises:
            GoneError: the file was deleted.
            Unavailable: the file cannot be downloaded now.
            Unfinished: the file exists, and the server refuses to send it.
            BackendError: the file can never be downloaded from this URL.
        """
        if url.startswith("data:"):
            return _decode_data_uri(url)
        for _ in range(_MAX_REDIRECTS + 1):
            result = self._fetch_once(url, stopped)
            if isinstance(result, bytes):
                return result
            url = urljoin(url, result)
        raise BackendError("The URL of the image has too many redirects.")

    def _fetch_once(self, url: str, stopped: Event) -> bytes | str:
        """Return the content, or the URL of a redirect."""
        parts = self._check_url(url)
        # Without the token first: the files of most models are public.
        result = self._request(url, stopped, with_token=False)
        if result in {401, 403} and self._is_trusted(parts):
            result = self._request(url, stopped, with_token=True)
        if not isinstance(result, int):
            return result
        if result in {404, 410}:
            raise GoneError
        raise Unfinished(f"{parts.hostname} refuses to send the image (HTTP {result}).")

    def _request(
        self, url: str, stopped: Event, *, with_token: bool
    ) -> bytes | str | int:
        """Return the content, the URL of a redirect, or the status of a refusal."""
        host = f"{urlsplit(url).hostname}"
        headers = {"Authorization": f"Bearer {self._token}"} if with_token else {}
        client = self._client(loopback=is_loopback(url))
        with (
            translate_errors(host),
            client.stream("GET", url, headers=headers) as response,
        ):
            status = response.status_code
            if status in _REDIRECT_STATUSES:
                return str(response.headers.get("Location", ""))
            if status >= _SERVER_ERROR or status in {408, 425, 429}:
                raise to_unavailable(host, status=status)
            return _read_body(response, stopped) if response.is_success else status

    def _client(self, *, loopback: bool) -> httpx.Client:
        """Return a client without the token; for loopback hosts without a proxy."""
        with self._lock:
            if loopback not in self._clients:
                base = "http://localhost" if loopback else f"https://{_DELIVERY_HOST}"
                self._clients[loopback] = build_client(base, timeout=_TIMEOUT)
            return self._clients[loopback]

    def _check_url(self, url: str) -> SplitResult:
        """Return the parts of a URL that is https and leads to public addresses."""
        parts = _parse_url(url)
        host = parts.hostname or ""
        if parts.scheme == "https" and self._is_public_host(host):
            return parts
        # An API in a private network, such as a test server, may hand out files from
        # there: the config shows that the user trusts that network.
        same = (parts.scheme, parts.netloc) == (self._api.scheme, self._api.netloc)
        if self._is_api_private() and (same or not self._is_public_host(host)):
            return parts
        raise BackendError(
            f"The model returned an image at {parts.scheme}://{host}, and imagen does"
            " not download from there.",
            hint="Images are downloaded over https from public addresses only.",
        )

    def _is_public_host(self, host: str) -> bool:
        """Return whether every address of the host is public."""
        found = _parse_ip_literal(host) or list(self._resolve(host))
        if not found:
            # Behind a proxy the local resolver may know no public names: the proxy
            # resolves the host, in its own network.
            if getproxies().get("https"):
                return True
            raise Unavailable(f"The host {host} is unknown, or DNS is not available.")
        return all(_is_public(each) for each in found)

    def _is_api_private(self) -> bool:
        """Return whether the API is in a private network."""
        if self._api_private is None:
            host = self._api.hostname or ""
            loopback = is_loopback(self._api.geturl())
            self._api_private = loopback or not self._is_public_host(host)
        return self._api_private

    def _is_trusted(self, parts: SplitResult) -> bool:
        """Return whether the token may be sent to the host."""
        if (parts.scheme, parts.netloc) == (self._api.scheme, self._api.netloc):
            return True
        host = parts.hostname or ""
        own = host in {_API_HOST, _DELIVERY_HOST} or host.endswith(f".{_DELIVERY_HOST}")
        return parts.scheme == "https" and own


def _read_body(response: httpx.Response, stopped: Event) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > MAX_FILE_BYTES:
            raise BackendError(
                f"The file is larger than {MAX_FILE_BYTES // 1024**2} MB."
            )
        if stopped.is_set():
            raise Unavailable("The download was cancelled.")
    return bytes(content)


def _decode_data_uri(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    try:
        content = unquote_to_bytes(body)
        return b64decode(content, validate=True) if ";base64" in head else content
    except ValueError as error:
        raise BackendError("The model returned an invalid data URI.") from error


def _parse_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid, parts = False, urlsplit("")
    if not valid or parts.username is not None:
        raise BackendError("The model returned an invalid URL.")
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
    # Python versions disagree about mapped addresses such as ::ffff:8.8.8.8 (3.11 calls
    # all of them private); what counts is the IPv4 address that is connected to.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast
