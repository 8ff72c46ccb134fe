"""The one place that builds an HTTP client and turns its failures into ours.

The rule about money: what failed before anything was sent is Unavailable, and may be
asked again; what failed later is Unfinished if it was to create something, for it may
exist all the same. A read can always be asked again.
"""

import os
import ssl
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from ipaddress import ip_address
from threading import Event, Lock, Thread
from typing import Generic, TypeVar, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    Misconfigured,
    OutOfCredit,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.formats.container import PNG_SIGNATURE, NotAnImage, read_facts
from imagen.ports.backend import JobContext
from imagen.version import __version__

USER_AGENT = f"imagen/{__version__}"
A_SLICE = 0.25
"""Seconds between two looks at the context while something blocks."""

Answer = TypeVar("Answer")

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
_PICTURES = (PNG_SIGNATURE, b"\xff\xd8\xff", b"RIFF", b"GIF8")
_OTHER_TROUBLE = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


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
    _check(headers or {})
    try:
        return httpx.Client(
            base_url=base_url,
            headers={"User-Agent": USER_AGENT, **(headers or {})},
            timeout=httpx.Timeout(timeout, connect=connect_timeout),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            verify=(trust := build_ssl_context(base_url)),
            trust_env=not is_loopback(base_url),
            transport=None if _has_proxy(base_url) else _Connections(trust),
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


class _Connections(httpx.BaseTransport):
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
        answer.stream = _Body(body, lambda: self._idle.append(connection))
        return answer

    def close(self) -> None:
        """Close all of them."""
        self._idle.clear()
        for connection in list(self._all):
            connection.close()


class _Body(httpx.SyncByteStream):
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


def display_url(url: str) -> str:
    """Return an address as it can be shown: without user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/") if host else "its address"


@contextmanager
def translate_errors(who: str, *, creates: bool = False) -> Generator[None, None, None]:
    """Turn what goes wrong with a request into an error of ours.

    Args:
        who: Whom the request goes to, as a user calls it.
        creates: Whether the request creates something, so that it must not be repeated
            unless it was certainly not received.

    Raises:
        Unavailable: nothing was sent, or only a question.
        Unfinished: it was sent, and its fate is unknown.
    """
    try:
        yield
    except _NOT_SENT as error:
        raise Unavailable(
            f"{who} was not reached: {_reason(error)}.",
            hint="Is it running, and is its address right?",
        ) from error
    except _OTHER_TROUBLE as error:
        if creates:
            raise Unfinished(
                f"{who} may have taken the order, and then fell silent "
                f"({_reason(error)})."
            ) from error
        raise Unavailable(f"{who} does not answer: {_reason(error)}.") from error


@contextmanager
def mark_unsent() -> Generator[None, None, None]:
    """Say of whatever goes wrong that it came before anything could cost.

    Raises:
        Cancelled: from the context, now settled.
    """
    try:
        yield
    except Cancelled as stopped:
        raise Cancelled(
            stopped.message, hint=stopped.hint, used=UNTOUCHED, settled=True
        ) from stopped
    except ImagenError as error:
        error.used = UNTOUCHED
        raise


def to_status_error(
    answer: httpx.Response,
    who: str,
    *,
    creates: bool = False,
    says: str = "",
    now: datetime | None = None,
) -> ImagenError:
    """Return what an answer that is no success means.

    Args:
        answer: Its status and headers count.
        who: Whose answer it is, as a user calls it.
        creates: Whether the request was to create something; then a server that broke
            while it handled it may have done so.
        says: What it says itself, fit to be shown.
        now: This moment, for a date in `Retry-After`.
    """
    status, more = answer.status_code, f": {says}" if says else ""
    match status:
        case 401 | 403:
            return Unauthorized(f"{who} does not accept the credentials{more}.")
        case 402:
            return OutOfCredit(f"The account at {who} is empty{more}.")
        case 407:
            return Unavailable(
                f"{who} was not reached: a proxy on the way wants credentials.",
                hint="Look at the variables *_PROXY.",
            )
        case 408 | 425 | 503:
            return Unavailable(f"{who} is not available (status {status}){more}.")
        case 429:
            return Throttled(
                f"{who} asks us to slow down{more}.",
                retry_after=parse_retry_after(
                    answer.headers.get("Retry-After"), now=now
                ),
            )
        case 500 | 502 | 504 if creates:
            return Unfinished(f"{who} broke over the order (status {status}){more}.")
        case 502 | 504:
            return Unavailable(f"{who} is not available (status {status}){more}.")
        case _:
            return BackendError(f"{who} answered with status {status}{more}.")


def parse_retry_after(
    value: str | None, *, now: datetime | None = None
) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, if it makes sense."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    if now is not None and text:
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - rare

        with suppress(ValueError, TypeError):
            return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    return None


def is_truncated(content: bytes) -> bool:
    """Whether what came is a picture that we know, and not a whole one."""
    if content and not content.startswith(_PICTURES):
        return False
    try:
        read_facts(content)
    except NotAnImage:
        return True
    return False


class BackgroundCall(Generic[Answer]):
    """A call that blocks, in a thread of its own, so that it can be left behind.

    Reading from a silent server, or looking up its name, cannot be broken off from
    outside; but nobody has to wait for it.
    """

    def __init__(
        self,
        call: Callable[[], Answer],
        *,
        undo: Callable[[Answer], object] | None = None,
    ) -> None:
        """Set out.

        Args:
            call: What blocks.
            undo: Called with an answer that comes when nobody waits for it any more.
        """
        self._call = call
        self._undo = undo
        self._done = Event()
        self._came = Event()
        self._lock = Lock()
        self._left = False
        self._answer: list[Answer] = []
        self._error: BaseException | None = None
        Thread(target=self._run, daemon=True).start()

    def result(self, context: JobContext) -> Answer:
        """Wait for what the call returns or raises, as long as the context lets us.

        Raises:
            Cancelled: passed through from the context; the call is left behind.
        """
        try:
            while not self._done.wait(A_SLICE):
                context.sleep(0)
        except BaseException:
            self.leave()
            raise
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def ends_within(self, seconds: float) -> bool:
        """Wait for the call, but no longer, and say whether it is over."""
        return self._done.wait(max(0.0, seconds))

    def late(self, seconds: float) -> Answer | None:
        """Return what it brings within that time, even if it was left behind.

        Returns:
            None when it brings nothing in time.
        """
        if not self._came.wait(max(0.0, seconds)):
            return None
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def leave(self) -> None:
        """Wait for it no more; what it brings is undone."""
        with self._lock:
            self._left = True
            answers = list(self._answer)
        for answer in answers:
            self._undone(answer)

    def _run(self) -> None:
        try:
            answer = self._call()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
        else:
            self._arrive(answer)
        finally:
            self._came.set()
            self._done.set()

    def _arrive(self, answer: Answer) -> None:
        with self._lock:
            self._answer.append(answer)
            self._came.set()
            left = self._left
        if left:
            self._undone(answer)

    def _undone(self, answer: Answer) -> None:
        if self._undo is not None:
            with suppress(Exception):  # nobody is there to hear of it
                self._undo(answer)


def _check(headers: Mapping[str, str]) -> None:
    """Refuse a header that cannot be sent, before an error shows what is in it."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable() and value.strip() == value):
            raise Misconfigured(
                f"The secret for the header {name} has characters that none may have.",
                hint="Often it is a line end or a blank that was copied along.",
            )


def _reason(error: Exception) -> str:
    """Return why in a few words, and never an address: it may hold a secret."""
    match error:
        case httpx.ConnectTimeout():
            return "it did not open the connection in time"
        case httpx.TimeoutException():
            return "it took too long"
        case httpx.ProxyError():
            return "the proxy refused"
        case httpx.ConnectError() if isinstance(_root(error), ssl.SSLError):
            return f"its certificate is not trusted ({_root(error)})"
        case httpx.ConnectError():
            return _system_reason(error)
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return "its address makes no sense"
        case _:
            return "the connection broke"


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _system_reason(error: Exception) -> str:
    number = getattr(_root(error), "errno", None)
    said = os.strerror(number).lower() if isinstance(number, int) and number > 0 else ""
    return said or "there is no such host, or no way to it"
