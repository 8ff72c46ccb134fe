"""Builds the HTTP clients of all adapters."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from imagen.adapters.remote.errors import display_url
from imagen.domain.errors import Misconfigured
from imagen.version import __version__

USER_AGENT = f"imagen/{__version__}"


def build_client(
    base_url: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    connect_timeout: float = 5.0,
) -> httpx.Client:
    """Return a client for one server; nothing is sent yet.

    Proxies and certificates are taken from the environment, but no proxy stands between
    two programs on one machine. Redirects are not followed.

    Args:
        base_url: Where the server is.
        headers: Sent with every request; they may hold a secret.
        timeout: Seconds that a read or a write may take.
        connect_timeout: Seconds that it may take to get through.

    Raises:
        Misconfigured: the address, a header or the environment's proxy is no good.
    """
    _check_headers(headers or {})
    try:
        return httpx.Client(
            base_url=base_url,
            headers={"User-Agent": USER_AGENT, **(headers or {})},
            timeout=httpx.Timeout(timeout, connect=connect_timeout),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            verify=(trust := build_ssl_context(base_url)),
            trust_env=not is_loopback(base_url),
            transport=None if _has_proxy(base_url) else _ConnectionPool(trust),
            follow_redirects=False,
        )
    except (httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise Misconfigured(
            f"{display_url(base_url)}, the proxy that the environment names for it, or "
            "a header for it makes no sense.",
            hint="Look at base_url, headers_env and the variables *_PROXY.",
        ) from error
    except ImportError as error:
        raise Misconfigured(
            "The environment names a SOCKS proxy, which needs another package.",
            hint="pip install 'httpx[socks]'",
        ) from error
    except OSError as error:
        raise Misconfigured(
            "The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read.",
        ) from error


def build_ssl_context(url: str) -> ssl.SSLContext:
    """Return whom to trust: certificates are read only where there is TLS.

    `$SSL_CERT_FILE` and `$SSL_CERT_DIR` go before the usual ones. For a plain address
    it is a context that trusts nobody, which takes a hundredth of the time.
    """
    if urlsplit(url).scheme not in {"https", "wss"}:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.create_ssl_context(trust_env=True)


def is_loopback(url: str) -> bool:
    """Whether the address is on this machine."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _check_headers(headers: Mapping[str, str]) -> None:
    """Refuse a header that cannot be sent, before an error shows what is in it."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable() and value.strip() == value):
            raise Misconfigured(
                f"The secret for the header {name} has characters that none may have.",
                hint="Often it is a line end or a blank that was copied along.",
            )


class _ConnectionPool(httpx.BaseTransport):
    """As many connections as there are threads; each is one thread's at a time.

    httpcore's own pool (1.0.9) looks at every connection for each, at every request,
    and closes some that it has just handed to another thread: a thousand threads took
    20 s for what takes 3, and some failed with EBADF.
    """

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._idle: list[httpx.HTTPTransport] = []
        self._all: set[httpx.HTTPTransport] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask over an idle connection, the one that was used last, or a new one."""
        try:
            connection = self._idle.pop()
        except IndexError:
            one = httpx.Limits(max_connections=1)
            connection = httpx.HTTPTransport(verify=self._trust, limits=one)
            self._all.add(connection)
        try:
            answer = connection.handle_request(request)
        except BaseException:
            connection.close()
            self._all.discard(connection)
            raise
        body = cast("httpx.SyncByteStream", answer.stream)  # of a transport that waits
        answer.stream = _PooledBody(body, lambda: self._idle.append(connection))
        return answer

    def close(self) -> None:
        """Close all of them."""
        self._idle.clear()
        for connection in list(self._all):
            connection.close()


class _PooledBody(httpx.SyncByteStream):
    """An answer's body, after which its connection is free."""

    def __init__(self, body: httpx.SyncByteStream, free: Callable[[], None]) -> None:
        self._body = body
        self._free: Callable[[], None] | None = free

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body

    def close(self) -> None:
        self._body.close()
        free, self._free = self._free, None
        if free is not None:
            free()


def _has_proxy(url: str) -> bool:
    """Say whether the environment has a proxy stand between us and the server."""
    return not is_loopback(url) and bool(getproxies())
