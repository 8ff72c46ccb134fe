"""Turns failures of HTTP requests into imagen's errors.

The rule about money: what failed before anything was sent is Unavailable, and may be
asked again; what failed later is Unfinished if it was to create something, for it may
exist all the same. A read can always be asked again.
"""

import os
import ssl
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from urllib.parse import urlsplit

import httpx

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
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
_OTHER_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


@contextmanager
def translate_errors(
    server: str, *, creates: bool = False
) -> Generator[None, None, None]:
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
            f"{server} was not reached: {_describe_error(error)}.",
            hint="Is it running, and is its address right?",
        ) from error
    except _OTHER_ERRORS as error:
        if creates:
            raise Unfinished(
                f"{server} may have taken the order, and then fell silent "
                f"({_describe_error(error)})."
            ) from error
        raise Unavailable(
            f"{server} does not answer: {_describe_error(error)}."
        ) from error


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
    response: httpx.Response,
    server: str,
    *,
    creates: bool = False,
    detail: str = "",
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
    status, more = response.status_code, f": {detail}" if detail else ""
    match status:
        case 401 | 403:
            return Unauthorized(f"{server} does not accept the credentials{more}.")
        case 402:
            return OutOfCredit(f"The account at {server} is empty{more}.")
        case 407:
            return Unavailable(
                f"{server} was not reached: a proxy on the way wants credentials.",
                hint="Look at the variables *_PROXY.",
            )
        case 408 | 425 | 503:
            return Unavailable(f"{server} is not available (status {status}){more}.")
        case 429:
            return Throttled(
                f"{server} asks us to slow down{more}.",
                retry_after=parse_retry_after(
                    response.headers.get("Retry-After"), now=now
                ),
            )
        case 500 | 502 | 504 if creates:
            return Unfinished(f"{server} broke over the order (status {status}){more}.")
        case 502 | 504:
            return Unavailable(f"{server} is not available (status {status}){more}.")
        case _:
            return BackendError(f"{server} answered with status {status}{more}.")


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


def display_url(url: str) -> str:
    """Return an address as it can be shown: without user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/") if host else "its address"


def _describe_error(error: Exception) -> str:
    """Return why in a few words, and never an address: it may hold a secret."""
    match error:
        case httpx.ConnectTimeout():
            return "it did not open the connection in time"
        case httpx.TimeoutException():
            return "it took too long"
        case httpx.ProxyError():
            return "the proxy refused"
        case httpx.ConnectError() if isinstance(_root_cause(error), ssl.SSLError):
            return f"its certificate is not trusted ({_root_cause(error)})"
        case httpx.ConnectError():
            return _describe_os_error(error)
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return "its address makes no sense"
        case _:
            return "the connection broke"


def _root_cause(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _describe_os_error(error: Exception) -> str:
    number = getattr(_root_cause(error), "errno", None)
    said = os.strerror(number).lower() if isinstance(number, int) and number > 0 else ""
    return said or "there is no such host, or no way to it"
