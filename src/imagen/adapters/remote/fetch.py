"""Downloads of the files that a job made.

The URLs come from a response, and the output of a model is up to its author. So a URL
is checked before it is requested, and the credentials are sent to the vendor only.

A file that was paid for is *delayed*, not lost, until the vendor says that it is
deleted or the time is over for which the vendor keeps it: every other failure can pass.
"""

import socket
from base64 import b64decode
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Event, Lock
from urllib.parse import SplitResult, unquote_to_bytes, urljoin, urlsplit

from imagen.adapters.remote.client import build_client, is_loopback
from imagen.adapters.remote.downloads import is_truncated
from imagen.adapters.remote.errors import (
    parse_date,
    parse_retry_after,
    to_throttled,
    to_unavailable,
    translate_errors,
)
from imagen.adapters.remote.http_library import httpx
from imagen.adapters.remote.proxies import find_proxy
from imagen.adapters.remote.vendor import JobOutput
from imagen.adapters.remote.vendor_client import (
    CONNECT_TIMEOUT,
    VendorClient,
    has_same_origin,
)
from imagen.domain.errors import BackendError, ImagenError, Unavailable, Unfinished
from imagen.domain.media import EXTENSIONS
from imagen.formats.file_type import guess_file_type

MAX_FILE_BYTES = 256 * 1024 * 1024
FILE_TIMEOUT = 30.0
"""Seconds without a byte of a file."""

_PART_BYTES = 16 * 1024
_MAX_REDIRECTS = 4
_REDIRECTS = {301, 302, 303, 307, 308}
_GONE = {403, 404, 410}
_FORBIDDEN = {401, 403}
_RATE_LIMITED = 429
_UNKNOWN = "application/octet-stream"
_TEXT_TYPES = ("text/", "application/json", "application/xml")
_USUAL_DIGITS = bytes.maketrans(b"-_", b"+/")

Resolve = Callable[[str], Iterable[str]]


class OutputDeleted(BackendError):
    """The vendor no longer keeps the file."""


class NoImageReceived(Unavailable):
    """The server sent something complete that is not the image.

    Attributes:
        content: What it sent.
    """

    def __init__(self, message: str, *, content: bytes) -> None:
        super().__init__(message)
        self.content = content


class TextReceived(NoImageReceived):
    """The server sent a page or a message, and not an image."""


def resolve_host(host: str) -> list[str]:
    """Return the IP addresses of a host; none if the name is unknown."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class FileDownloader:
    """Downloads the files of one vendor; thread-safe."""

    def __init__(
        self,
        client: VendorClient,
        *,
        now: Callable[[], datetime],
        resolve: Resolve = resolve_host,
    ) -> None:
        """Create the downloader; nothing is sent yet.

        Args:
            client: The client of the vendor, which knows the hosts to trust.
            now: Returns the current time.
            resolve: Returns the IP addresses of a host.
        """
        self._vendor = client
        self._now = now
        self._resolve = resolve
        self._lock = Lock()
        self._clients: dict[str, httpx.Client] = {}

    def close(self) -> None:
        """Close the HTTP clients."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()

    def fetch(self, output: JobOutput, stopped: Event) -> bytes:
        """Return the content of a file.

        Args:
            output: The file.
            stopped: Set when the caller no longer needs the file.

        Raises:
            OutputDeleted: the vendor has deleted the file.
            Unavailable, Throttled: the file cannot be downloaded now.
            Unfinished: the file is at an address that imagen does not request.
        """
        try:
            return self._fetch(output, stopped)
        except ImagenError as error:
            # Its host may come from a redirect.
            self._vendor.mask(error)
            if not isinstance(error, Unfinished):
                raise
            if output.kept_until is None or self._now() <= output.kept_until:
                raise
            raise OutputDeleted(error.message, hint=error.hint) from error

    def _fetch(self, output: JobOutput, stopped: Event) -> bytes:
        if output.lost:
            raise OutputDeleted(output.lost)
        if output.content is not None:
            return output.content
        if output.url[:5].lower() == "data:":
            return _decode_data_uri(output.url)
        url = _join_url(self._vendor.base_url, output.url)
        for _ in range(_MAX_REDIRECTS + 1):
            with self._open(url) as response:
                if response.status_code in _REDIRECTS:
                    url = _join_url(url, response.headers.get("Location", ""))
                    continue
                content = _read_body(response, stopped)
            self._check_response(output, response, content)
            return content
        raise Unavailable("The URL of the image has too many redirects.")

    def _check_response(
        self, output: JobOutput, response: httpx.Response, content: bytes
    ) -> None:
        """Raise an error unless the content can be the file."""
        status, host = response.status_code, response.url.host
        # By the server's own clock, because ours may be wrong by hours.
        now = parse_date(response.headers.get("Date")) or self._now()
        expired = output.kept_until is not None and now > output.kept_until
        # An address may have been signed for a time, so 403 means the same as 404.
        if status in output.deleted_with or (expired and status in _GONE):
            raise OutputDeleted(f"{self._vendor.name} has deleted the image.")
        if status == _RATE_LIMITED:
            header = response.headers.get("Retry-After")
            raise to_throttled(
                host, retry_after=parse_retry_after(header, now=self._now())
            )
        if not response.is_success:
            raise to_unavailable(host, status=status)
        # Nothing better will come, so the caller gets what there is.
        if expired:
            return
        if _is_text(response, content):
            raise TextReceived(
                f"{host} sent text instead of the image.", content=content
            )
        if is_truncated(content):
            raise NoImageReceived(f"{host} sent an incomplete image.", content=content)

    @contextmanager
    def _open(self, url: str) -> Generator[httpx.Response, None, None]:
        """Request a file: with the credentials at the vendor's own address only."""
        addresses = self._check_url(url)
        own = has_same_origin(url, self._vendor.base_url)
        headers = dict(self._vendor.require_credentials()) if own else {}
        with translate_errors(urlsplit(url).hostname or "The server of the image"):
            response = self._request(url, headers, addresses)
            # The files of most vendors are public. Another host of the vendor receives
            # the credentials only if it asks for them.
            if (
                response.status_code in _FORBIDDEN
                and not own
                and self._vendor.is_trusted(url)
            ):
                response.close()
                headers = dict(self._vendor.require_credentials())
                response = self._request(url, headers, addresses)
            try:
                yield response
            finally:
                response.close()

    def _request(
        self, url: str, headers: dict[str, str], addresses: list[str]
    ) -> httpx.Response:
        """Send the request to one of the addresses that were checked."""
        own = has_same_origin(url, self._vendor.base_url)
        client = self._vendor.http if own else self._client(url)
        target, extensions = httpx.URL(url), dict[str, object]()
        headers = {**headers, "Host": target.netloc.decode("ascii")}
        # Another name lookup might return another address than the one that was
        # checked (DNS rebinding), so the connection goes to that address.
        for number, address in enumerate(addresses or [target.host], start=1):
            if addresses:
                extensions = {"sni_hostname": target.host}
            request = client.build_request(
                "GET",
                target.copy_with(host=address),
                headers=headers,
                extensions=extensions,
                timeout=httpx.Timeout(FILE_TIMEOUT, connect=CONNECT_TIMEOUT),
            )
            try:
                return client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number >= len(addresses):
                    raise
        raise AssertionError

    def _client(self, url: str) -> httpx.Client:
        """Return a client without credentials; for loopback hosts without a proxy."""
        host = "localhost" if is_loopback(url) else "example.invalid"
        base = f"{urlsplit(url).scheme}://{host}"
        with self._lock:
            if base not in self._clients:
                self._clients[base] = build_client(base)
            return self._clients[base]

    def _check_url(self, url: str) -> list[str]:
        """Return the addresses to connect to; none for the vendor's own host.

        Raises:
            Unfinished: the URL leads into a private network, or is not https.
            Unavailable: the host cannot be resolved.
        """
        parts = _parse_url(url)
        base_url = self._vendor.base_url
        if has_same_origin(url, base_url):
            return []
        host = parts.hostname or ""
        # A service on this machine may have its files on another port.
        if is_loopback(base_url) and host == urlsplit(base_url).hostname:
            return []
        if parts.scheme == "https":
            found = _parse_ip_literal(host) or list(self._resolve(host))
            proxy = find_proxy(url)
            if not found and proxy is None:
                raise Unavailable(f"The host {host} is unknown, or DNS is unavailable.")
            # Behind a proxy the local resolver may know no public names: the proxy
            # resolves the host, in its own network.
            if all(map(is_public, found)):
                return found if proxy is None else []
        raise Unfinished(
            f"The image is at {parts.scheme}://{host}, and imagen does not download"
            " from there.",
            hint="Images are downloaded over https from public addresses, and from the"
            " vendor's own address.",
        )


def is_public(text: str) -> bool:
    """Return whether an IP address belongs to the public internet."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    # Python versions disagree about mapped addresses such as ::ffff:8.8.8.8 (3.11 calls
    # all of them private); what counts is the IPv4 address that is connected to.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast


def _read_body(response: httpx.Response, stopped: Event) -> bytes:
    if "Content-Encoding" not in response.headers:
        return _join_chunks(response.iter_raw(), stopped)
    received = _join_chunks(response.iter_raw(), stopped)
    # In parts, because a part may become a thousand times as long.
    parts = (
        received[start : start + _PART_BYTES]
        for start in range(0, len(received), _PART_BYTES)
    )
    encoded = httpx.Response(200, headers=response.headers, content=parts)
    try:
        return _join_chunks(encoded.iter_bytes(), stopped)
    except httpx.DecodingError:
        # Some servers name an encoding that the file does not have.
        if guess_file_type(received)[0] in EXTENSIONS:
            return received
        raise


def _join_chunks(chunks: Iterator[bytes], stopped: Event) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > MAX_FILE_BYTES:
            raise Unfinished(f"The file is larger than {MAX_FILE_BYTES // 2**20} MB.")
        if stopped.is_set():
            raise Unavailable("The download was cancelled.")
    return bytes(content)


def _is_text(response: httpx.Response, content: bytes) -> bool:
    """Return whether the content is a page or a message, and not an image.

    The content decides, and the stated type only where the content is unknown. An SVG
    image is not a page.
    """
    stated = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    found = guess_file_type(content)[0]
    return (stated if found == _UNKNOWN else found).startswith(_TEXT_TYPES)


def _decode_data_uri(uri: str) -> bytes:
    """Return the content; what is not Base64 comes as it is."""
    head, _, body = uri.partition(",")
    content = unquote_to_bytes(body)
    if ";base64" not in head.lower():
        return content
    # Some models write line breaks, leave out the padding, use the alphabet for URLs,
    # or lose the end.
    digits = b"".join(content.split()).rstrip(b"=").translate(_USUAL_DIGITS)
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    try:
        return b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except ValueError:
        return content


def _join_url(base: str, url: str) -> str:
    try:
        return urljoin(base, url)
    except ValueError as error:
        raise Unfinished("The model returned an invalid URL.") from error


def _parse_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid, parts = False, urlsplit("")
    if not valid or parts.username is not None:
        raise Unfinished("The model returned an invalid URL.")
    return parts


def _parse_ip_literal(host: str) -> list[str]:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return []
    return [host]
