"""Which hosts are this server, and which sites' pages may use it (CSRF, CORS)."""

import socket
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from imagen.server.errors import ErrorResponse

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so that a page of another site may send them."""
_PREFLIGHT_SECONDS = "600"
_EXPOSED = (
    b"Retry-After, X-Should-Retry, X-Request-Id, Idempotent-Replayed, Imagen-Joined, "
    b"ETag, Content-Range"
)

Headers = Mapping[bytes, bytes]


class Origins:
    """The names of this server, and the origins whose pages may use it.

    Args:
        hosts: Host names besides those of this machine.
        url: The server's own URL; "" if it has none.
        origins: Origins such as https://app.example.org.
    """

    def __init__(
        self, *, hosts: Iterable[str] = (), url: str = "", origins: Iterable[str] = ()
    ) -> None:
        name = socket.gethostname()
        own = urlsplit(url)
        names = ("localhost", name, f"{name}.local", own.hostname or "")
        self._hosts = {host.lower() for host in (*hosts, *names) if host}
        self._own = f"{own.scheme}://{own.netloc}".lower() if own.netloc else None
        self._origins = {origin.rstrip("/").lower() for origin in origins}

    def check_host(self, host: str) -> None:
        """Raise an ErrorResponse (421) unless the host is this server."""
        if not self._is_known_host(host):
            raise ErrorResponse(
                421,
                f"Unknown Host header {host[:80]!r}. Add it to `serve.hosts` in the "
                "server's config, or send an API key as `Authorization: Bearer KEY`.",
                code="unknown_host",
            )

    def check_origin(self, host: str, headers: Headers) -> None:
        """Raise an ErrorResponse (403) unless the page may change something here."""
        received = headers.get(b"origin")
        # Without `Origin` the client is a program, or a browser that sends
        # Sec-Fetch-Site.
        if received is None:
            site = headers.get(b"sec-fetch-site", b"none").decode("latin-1")
            if site in {"none", "same-origin"}:
                return
            raise _cross_origin(f"Sec-Fetch-Site: {site[:20]}")
        origin = received.decode("latin-1").lower()
        if not (
            urlsplit(origin).netloc == host
            or origin == self._own
            or origin in self._origins
        ):
            raise _cross_origin(f"Origin: {origin[:80]}")

    def answer_preflight(self, headers: Headers) -> dict[str, str]:
        """Return the headers of the response to a CORS preflight request.

        Raises:
            ErrorResponse: the config does not have the origin (403).
        """
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin.lower() not in self._origins:
            raise _cross_origin(f"Origin: {origin[:80]}")
        requested = headers.get(b"access-control-request-headers", b"")
        return {
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Allow-Headers": requested.decode("latin-1"),
            "Access-Control-Allow-Private-Network": "true",
            "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
        }

    def cors_headers(self, headers: Headers) -> Sequence[tuple[bytes, bytes]]:
        """Return the headers that let a page of an accepted origin read a response."""
        if not self._origins:
            return ()
        vary = (b"vary", b"Origin")
        origin = headers.get(b"origin", b"")
        if origin.decode("latin-1").lower() not in self._origins:
            return (vary,)
        return (
            vary,
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
        )

    def _is_known_host(self, host: str) -> bool:
        # Without the port, and an IPv6 address without its brackets.
        bracketed, plain = host[1:].partition("]")[0], host.partition(":")[0]
        name = bracketed if host.startswith("[") else plain
        if name in self._hosts or name.endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        # DNS rebinding needs a name that an attacker controls; an IP address is safe.
        return True


def is_preflight(method: str, headers: Headers) -> bool:
    """Return True for the request that a browser sends before one of another site."""
    return (
        method == "OPTIONS"
        and b"origin" in headers
        and b"access-control-request-method" in headers
    )


def _cross_origin(received: str) -> ErrorResponse:
    return ErrorResponse(
        403,
        f"A page of another site sent this request ({received}). Add its origin to "
        "`serve.origins` in the server's config, or send an API key as "
        "`Authorization: Bearer KEY`.",
        code="cross_origin",
    )
