"""Construction of HTTP clients: timeouts, certificates, proxies, connection pool."""

import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from urllib.request import getproxies

from imagen.adapters.remote.errors import display_url, find_root_cause
from imagen.adapters.remote.http_library import httpx
from imagen.adapters.remote.proxies import find_proxy
from imagen.domain.errors import Misconfigured
from imagen.version import __version__

USER_AGENT = f"imagen/{__version__}"

# The variables of OpenSSL, then those of other programs.
CERTIFICATES = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)


def build_client(
    base_url: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    connect_timeout: float = 5.0,
) -> httpx.Client:
    """Return a client for one server; nothing is sent yet.

    Proxies and certificates are taken from the environment, but a loopback address is
    never reached through a proxy. Redirects are returned as responses.

    Args:
        base_url: The address of the server.
        headers: Sent with every request; they may hold a secret.
        timeout: Seconds that one read or write may take.
        connect_timeout: Seconds that opening a connection may take.

    Raises:
        Misconfigured: the address, a header, or the environment's proxy or certificate
            settings cannot be used.
    """
    _check_headers(headers or {})
    try:
        return httpx.Client(
            base_url=base_url,
            headers={"User-Agent": USER_AGENT, **(headers or {})},
            timeout=httpx.Timeout(timeout, connect=connect_timeout),
            verify=(ssl_context := build_ssl_context(base_url)),
            # httpx fails on a NO_PROXY that it cannot parse.
            trust_env=False,
            transport=(direct := _ConnectionPool(ssl_context)),
            mounts=None
            if is_loopback(base_url) or not getproxies()
            else {"all://": _ProxyTransport(base_url, direct, ssl_context)},
            follow_redirects=False,
        )
    except (httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise Misconfigured(
            f"The address {display_url(base_url)}, a proxy set in the environment, or a"
            " header is invalid.",
            hint="Check base_url, headers_env and the variables HTTP_PROXY, HTTPS_PROXY"
            " and ALL_PROXY.",
        ) from error
    except ImportError as error:
        from imagen.adapters.system.installation import format_install_command  # noqa: PLC0415 - rare

        raise Misconfigured(
            "The environment sets a SOCKS proxy, which needs another package.",
            hint=f"Run: {format_install_command('socks')}",
        ) from error


def build_ssl_context(url: str) -> ssl.SSLContext:
    """Return the TLS settings for a URL.

    The certificates of the first of `CERTIFICATES` that is set replace the usual ones.

    Raises:
        Misconfigured: they cannot be read.
    """
    # A URL without TLS gets a context without certificates, which takes a hundredth of
    # the time to build.
    if urlsplit(url).scheme not in {"https", "wss"}:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    environ = os.environ  # noqa: TID251 - as urllib reads the proxies
    variable = next((name for name in CERTIFICATES if environ.get(name)), None)
    if variable is None:
        return httpx.create_ssl_context(trust_env=False)
    path = Path(environ[variable])
    try:
        if path.is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        is_file = isinstance(error, ssl.SSLError)
        reason = "not a file of certificates" if is_file else error.strerror
        raise Misconfigured(
            f"The certificates that {variable} names cannot be read: {reason}.",
            hint="Set the variable to a file in PEM format, or unset it.",
        ) from error


def is_loopback(url: str) -> bool:
    """Return whether the host of the URL is this machine."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _check_headers(headers: Mapping[str, str]) -> None:
    # Checked here because the error of httpx would show the value, which is a secret.
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable() and value.strip() == value):
            raise Misconfigured(
                f"The secret for the header {name} contains characters that a header"
                " cannot have.",
                hint="Often a line end or a blank was copied along.",
            )


class DeadProxyError(httpx.ProxyError):
    """The proxy itself was not reached.

    Attributes:
        proxy: Its URL, without user and password.
    """

    def __init__(self, proxy: str, *, request: httpx.Request) -> None:
        self.proxy = display_url(proxy)
        super().__init__(f"the proxy {self.proxy} was not reached", request=request)


class _ProxyTransport(httpx.BaseTransport):
    """Sends each request through the proxy that the environment has for its URL."""

    def __init__(
        self, base_url: str, direct: httpx.BaseTransport, ssl_context: ssl.SSLContext
    ) -> None:
        self._direct = direct
        self._ssl_context = ssl_context
        self._proxied: dict[str, httpx.HTTPTransport] = {}
        # Now, because the settings of a proxy may be wrong.
        if (proxy := find_proxy(base_url)) is not None:
            self._transport(proxy)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request.

        Raises:
            DeadProxyError: the proxy was not reached.
        """
        # Not the host of the URL: a download connects to an address that was checked.
        proxy = find_proxy(f"{request.url.scheme}://{request.headers['Host']}")
        if proxy is None:
            return self._direct.handle_request(request)
        try:
            return self._transport(proxy).handle_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            # Through the tunnel of a proxy, only the certificate of the server.
            if isinstance(find_root_cause(error), ssl.SSLError):
                raise
            raise DeadProxyError(proxy, request=request) from error

    def close(self) -> None:
        """Close all connections."""
        for transport in self._proxied.values():
            transport.close()

    def _transport(self, proxy: str) -> httpx.HTTPTransport:
        if proxy not in self._proxied:
            self._proxied[proxy] = httpx.HTTPTransport(
                verify=self._ssl_context,
                proxy=proxy,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            )
        return self._proxied[proxy]


# httpcore's own pool (1.0.9) examines every connection of all threads at every request,
# and closes some that it has just handed to another thread: a thousand threads took
# 20 s instead of 3 s, and some failed with EBADF.
class _ConnectionPool(httpx.BaseTransport):
    """A pool with as many connections as threads; one thread uses each at a time."""

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        self._ssl_context = ssl_context
        self._idle: list[httpx.HTTPTransport] = []
        self._all: set[httpx.HTTPTransport] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request over the idle connection used last, or over a new one."""
        try:
            connection = self._idle.pop()
        except IndexError:
            limits = httpx.Limits(max_connections=1)
            connection = httpx.HTTPTransport(verify=self._ssl_context, limits=limits)
            self._all.add(connection)
        try:
            response = connection.handle_request(request)
        except BaseException:
            connection.close()
            self._all.discard(connection)
            raise
        body = cast("httpx.SyncByteStream", response.stream)
        response.stream = _PooledBody(body, lambda: self._idle.append(connection))
        return response

    def close(self) -> None:
        """Close all connections."""
        self._idle.clear()
        for connection in list(self._all):
            connection.close()


class _PooledBody(httpx.SyncByteStream):
    """A response body that returns its connection to the pool when it is closed."""

    def __init__(self, body: httpx.SyncByteStream, release: Callable[[], None]) -> None:
        self._body = body
        self._release: Callable[[], None] | None = release

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body

    def close(self) -> None:
        self._body.close()
        # httpx may close a body twice; the connection is returned once.
        release, self._release = self._release, None
        if release is not None:
            release()
