"""The HTTP client of a vendor: sends one request, once, to the vendor's own hosts."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from datetime import datetime
from functools import cached_property
from ssl import SSLContext
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec.structs import replace

from imagen.adapters.remote.client import build_client, build_ssl_context
from imagen.adapters.remote.errors import (
    parse_retry_after,
    to_status_error,
    translate_errors,
)
from imagen.adapters.remote.http_library import httpx
from imagen.adapters.remote.masking import SecretMask
from imagen.adapters.remote.sse import read_events
from imagen.adapters.remote.vendor import (
    HttpRequest,
    HttpResponse,
    JobSucceeded,
    Vendor,
    WebSocketRequest,
)
from imagen.domain.errors import ImagenError, Throttled, Unauthorized, Unavailable
from imagen.domain.suggestion import format_variable, join_missing

CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 15.0
"""Seconds to open a connection, and without a byte of a response that only reads."""

MAX_RESPONSE_BYTES = 1024 * 1024 * 1024
"""Largest response of the API; one long call returns several images as Base64."""

EVENT_TIMEOUT = 60.0
"""Seconds without an event after which an event stream is opened again."""

_SERVER_ERROR = 500


class VendorClient:
    """Sends the requests of a vendor file.

    Attributes:
        name: The vendor's name, for messages.
        base_url: The base URL, ending in a slash.
        http: The HTTP client, which sends the credentials with every request.
    """

    def __init__(
        self,
        vendor: Vendor,
        *,
        base_url: str,
        credentials: Mapping[str, str] | None,
        hint: str,
        key_env: str | Sequence[str] = "",
        now: Callable[[], datetime],
    ) -> None:
        self.name = vendor.name
        self.base_url = base_url.rstrip("/") + "/"
        self._vendor = vendor
        self._credentials = credentials
        self._hint = hint
        self._now = now
        variables = [key_env] if isinstance(key_env, str) else key_env
        self._key_names = [format_variable(each) for each in variables if each]
        self._hosts = [_compile_host(own) for own in getattr(vendor, "hosts", ())]
        self.http = build_client(
            self.base_url,
            headers=credentials,
            timeout=READ_TIMEOUT,
            connect_timeout=CONNECT_TIMEOUT,
        )
        self._mask = SecretMask(credentials or {})

    def require_credentials(self) -> Mapping[str, str]:
        """Return the headers with the credentials.

        Raises:
            Unauthorized: they are not configured.
        """
        if self._credentials is None:
            unknown = f"The key for {self.name} is not set"
            missing = join_missing(self._key_names) or unknown
            raise Unauthorized(f"{missing}.", hint=self._hint)
        return self._credentials

    def is_trusted(self, url: str) -> bool:
        """Return whether the URL may receive the credentials."""
        return has_same_origin(url, self.base_url) or self._is_own_host(url)

    def close(self) -> None:
        """Close the HTTP client."""
        self.http.close()

    def build(
        self, request: HttpRequest, *, timeout: float = READ_TIMEOUT
    ) -> httpx.Request:
        """Return the request with its body encoded; nothing is sent yet.

        Raises:
            Unauthorized: the credentials are not configured.
            ValueError, TypeError: the body cannot be encoded, or the path leads to
                another host.
        """
        self.require_credentials()
        url = urljoin(self.base_url, request.path.lstrip("/"))
        if not self.is_trusted(url):
            raise ValueError(f"{request.path} is not on a host of {self.name}")
        return self.http.build_request(
            request.method,
            url,
            params=dict(request.query) or None,
            headers=dict(request.headers),
            json=request.json,
            content=request.content,
            data=dict(request.form) or None,
            files=list(request.files) or None,
            timeout=httpx.Timeout(request.timeout or timeout, connect=CONNECT_TIMEOUT),
        )

    def build_socket_url(self, request: WebSocketRequest) -> str:
        """Return the address of a WebSocket at the vendor's own host."""
        url = httpx.URL(self.base_url).join(request.path.lstrip("/"))
        if not self.is_trusted(str(url)):
            raise ValueError(f"{request.path} is not on a host of {self.name}")
        scheme = "wss" if url.scheme == "https" else "ws"
        return str(url.copy_with(scheme=scheme, params=dict(request.query)))

    @cached_property
    def ssl_context(self) -> SSLContext:
        """The TLS settings for a connection that is not made by the HTTP client."""
        return build_ssl_context(self.base_url)

    def send(
        self,
        request: httpx.Request,
        *,
        creates: bool = False,
        on_event: Callable[[str], None] | None = None,
    ) -> HttpResponse:
        """Send a request, once, and return the complete response.

        Args:
            request: The request.
            creates: Whether it creates a job.
            on_event: Called with each event of a response that is a stream of events.

        Raises:
            Unavailable: nothing was sent, or the request only reads.
            Unfinished: the request was sent and creates a job; no response arrived.
        """
        with translate_errors(self.name, creates=creates):
            response = self.http.send(request, stream=True)
            try:
                kind = response.headers.get("Content-Type", "")
                if on_event and kind.startswith("text/event-stream"):
                    content = _read_stream(response, on_event)
                else:
                    content = b"".join(_limit(response.iter_bytes()))
            finally:
                response.close()
        return HttpResponse(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            content=content,
        )

    def read(
        self, request: HttpRequest, *, timeout: float = READ_TIMEOUT
    ) -> HttpResponse:
        """Send a request that may be repeated, and return a response that it reads.

        Raises:
            ImagenError: there is none.
        """
        response = self.send(self.build(request, timeout=timeout))
        if response.ok or response.status in request.reads:
            return response
        error = self.to_error(response)
        if response.status >= _SERVER_ERROR and not isinstance(error, Throttled):
            raise Unavailable(error.message, hint=error.hint)
        raise error

    def open_stream(
        self, request: HttpRequest
    ) -> AbstractContextManager[httpx.Response]:
        """Open an event stream."""
        built = self.build(request, timeout=EVENT_TIMEOUT)
        return closing(self.http.send(built, stream=True))

    def to_error(
        self, response: HttpResponse, vendor: Vendor | None = None
    ) -> ImagenError:
        """Return the error for a response without success, in printable words.

        Args:
            response: The response.
            vendor: The vendor file of the job, if it has one of its own.
        """
        error = (vendor or self._vendor).error(response)
        if not isinstance(error, ImagenError):
            error = to_status_error(
                httpx.Response(response.status, headers=dict(response.headers)),
                self.name,
                detail=self.clean(error or ""),
                now=self._now(),
            )
        elif isinstance(error, Throttled) and error.retry_after is None:
            error.retry_after = self.retry_after(response)
        if isinstance(error, Unauthorized) and not error.hint and self._key_names:
            verb = "Check" if self._credentials else "Set"
            error.hint = f"{verb} {' and '.join(self._key_names)}."
        return self.mask(error)

    def retry_after(self, response: HttpResponse) -> float | None:
        """Return the seconds that the server asks to wait; None if it does not."""
        header = response.headers.get("retry-after")
        return parse_retry_after(header, now=self._now())

    def mask(self, error: ImagenError) -> ImagenError:
        """Remove secrets and control characters from the error, and shorten it."""
        error.args = (self.clean(error.message),)
        error.hint = self.clean(error.hint)
        return error

    def clean(self, text: str) -> str:
        """Return a text of the vendor without secrets, printable and short."""
        return self._mask.clean(text)

    def hide_in(self, status: JobSucceeded) -> JobSucceeded:
        """Remove secrets from what a result would write to the sidecar."""
        try:
            plain = msgspec.json.encode(status.parameters).decode()
        except (TypeError, ValueError, OverflowError, RecursionError):
            return status
        return replace(
            status,
            model=self._mask.hide(status.model),
            parameters=msgspec.json.decode(self._mask.hide(plain)),
        )

    def _is_own_host(self, url: str) -> bool:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme == "https" and any(
            own.fullmatch(host) for own in self._hosts
        )


def _compile_host(own: str) -> re.Pattern[str]:
    """Return the pattern of a host and its subdomains."""
    labels = re.escape(own).replace(r"\*", r"[a-z0-9-]+")
    return re.compile(rf"(?:[^.]+\.)*{labels}")


Part = TypeVar("Part", bytes, str)


def _limit(parts: Iterator[Part]) -> Iterator[Part]:
    """Return the parts of a body, which must not be too large together."""
    size = 0
    for part in parts:
        size += len(part)
        if size > MAX_RESPONSE_BYTES:
            raise httpx.StreamError("too large")
        yield part


def _read_stream(response: httpx.Response, on_event: Callable[[str], None]) -> bytes:
    """Read a stream of events to its end, and return it as it would be a body."""
    read: list[str] = []

    def keep(line: str) -> str:
        read.append(line)
        return line

    for message in read_events(map(keep, _limit(response.iter_lines()))):
        on_event(message)
    return "\n".join((*read, "")).encode()


def has_same_origin(url: str, other: str) -> bool:
    """Return whether both URLs have the same scheme, host and port."""
    first, second = httpx.URL(url), httpx.URL(other)
    return (first.scheme, first.host, first.port) == (
        second.scheme,
        second.host,
        second.port,
    )
