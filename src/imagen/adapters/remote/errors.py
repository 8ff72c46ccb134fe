"""Translation of HTTP failures into imagen's errors.

The rule about money: a request that failed before anything was sent is Unavailable and
may be sent again. A request that failed later is Unfinished if it creates something,
because the job may exist; a read can always be sent again.
"""

import os
import ssl
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

from imagen.adapters.remote.http_library import httpx
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    OutOfCredit,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
_CHECK_PROXY = "Check the variables HTTP_PROXY, HTTPS_PROXY and ALL_PROXY."
_CHECK_ADDRESS = "Check that it is running and that its address is correct."
_CHECK_CERTIFICATE = "If its CA is a private one, set SSL_CERT_FILE to the CA's file."
_OTHER_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


@contextmanager
def translate_errors(
    server: str, *, creates: bool = False
) -> Generator[None, None, None]:
    """Translate the errors of httpx.

    Args:
        server: The name of the server for messages.
        creates: Whether the request creates something, so that it must not be repeated
            unless the server certainly did not receive it.

    Raises:
        Unavailable: nothing was sent, or the request only reads.
        Unfinished: the request was sent, and the server may have accepted it.
    """
    try:
        yield
    except httpx.ProxyError as error:
        proxy = getattr(error, "proxy", "")
        problem = f"the proxy {proxy} was not reached" if proxy else ""
        raise Unavailable(
            f"{server} was not reached: {problem or _describe_error(error)}.",
            hint=_CHECK_PROXY,
        ) from error
    except _NOT_SENT as error:
        untrusted = isinstance(find_root_cause(error), ssl.SSLCertVerificationError)
        raise Unavailable(
            f"{server} was not reached: {_describe_error(error)}.",
            hint=_CHECK_CERTIFICATE if untrusted else _CHECK_ADDRESS,
        ) from error
    except _OTHER_ERRORS as error:
        if creates:
            raise Unfinished(
                f"{server} may have accepted the job, but the connection was lost "
                f"({_describe_error(error)})."
            ) from error
        raise Unavailable(
            f"{server} did not respond: {_describe_error(error)}."
        ) from error


@contextmanager
def mark_unsent() -> Generator[None, None, None]:
    """Mark every exception inside as raised before anything was sent: it cost nothing.

    Its attribute `used` is then `UNTOUCHED`, also that of a KeyboardInterrupt.
    """
    try:
        yield
    except Cancelled as stopped:
        raise Cancelled(
            stopped.message, hint=stopped.hint, used=UNTOUCHED, settled=True
        ) from stopped
    except BaseException as error:
        error.__dict__["used"] = UNTOUCHED  # most classes do not declare it
        raise


def to_status_error(
    response: httpx.Response,
    server: str,
    *,
    detail: str = "",
    now: datetime | None = None,
) -> ImagenError:
    """Return the error for a response whose status is not a success.

    Args:
        response: Its status and headers are used.
        server: The name of the server for messages.
        detail: The server's own message, without secrets; "" for none.
        now: The current time, for a `Retry-After` header that is a date.
    """
    status, more = response.status_code, f": {detail}" if detail else ""
    match status:
        case 401 | 403:
            return Unauthorized(f"{server} does not accept the credentials{more}.")
        case 402:
            return OutOfCredit(f"The account at {server} is empty{more}.")
        case 407:
            return Unavailable(
                f"{server} was not reached: the proxy requires credentials.",
                hint=_CHECK_PROXY,
            )
        case 429:
            header = response.headers.get("Retry-After")
            return to_throttled(
                server, detail=detail, retry_after=parse_retry_after(header, now=now)
            )
        case 408 | 425 | 502 | 503 | 504:
            return to_unavailable(server, status=status, detail=detail)
        case _:
            return BackendError(f"{server} returned HTTP {status}{more}.")


def to_throttled(
    server: str,
    *,
    detail: str = "",
    retry_after: float | None = None,
    hint: str = "",
) -> Throttled:
    """Return the error for HTTP 429; `retry_after` is in seconds, None if unknown."""
    more = f": {detail}" if detail else ""
    retry = "" if retry_after is None else f" Retry after {retry_after:g} s."
    return Throttled(
        f"{server} is rate limiting requests (HTTP 429){more}.{retry}",
        retry_after=retry_after,
        hint=hint,
    )


def to_unavailable(server: str, *, status: int, detail: str = "") -> Unavailable:
    """Return the error for a status that says that the server is down for a while."""
    more = f": {detail}" if detail else ""
    return Unavailable(f"{server} is not available (HTTP {status}){more}.")


def parse_retry_after(
    value: str | None, *, now: datetime | None = None
) -> float | None:
    """Return the seconds that a `Retry-After` header states; None if it is unreadable.

    A header that is a date is read only if `now` is given.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    if now is not None and (moment := parse_date(text)) is not None:
        return max(0.0, (moment - now).total_seconds())
    return None


def parse_date(value: str | None) -> datetime | None:
    """Return the time that a header states; None if it is missing or unreadable."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - rare

    with suppress(ValueError, TypeError):
        moment = parsedate_to_datetime(value or "")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def display_url(url: str) -> str:
    """Return a URL for messages: without user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/") if host else "its address"


def _describe_error(error: Exception) -> str:
    """Return the reason in a few words."""
    # Never httpx's own message: it may contain the URL, and a URL may hold a secret.
    match error:
        case httpx.ConnectTimeout():
            return "connection timed out"
        case httpx.TimeoutException():
            return "timed out"
        case httpx.ProxyError():
            return "the proxy refused the connection"
        case httpx.ConnectError() if isinstance(
            cause := find_root_cause(error), ssl.SSLError
        ):
            return f"its certificate is not trusted ({cause})"
        case httpx.ConnectError():
            number = getattr(find_root_cause(error), "errno", None)
            # A failed name lookup has a negative number of getaddrinfo, not an errno.
            if isinstance(number, int) and number > 0:
                return os.strerror(number).lower()
            return "unknown host, or no route to it"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return "invalid address"
        case _:
            return "connection interrupted"


def find_root_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain of errors."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
