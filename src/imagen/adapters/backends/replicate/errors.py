"""Translation of Replicate's error responses into imagen's errors."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import cast

import httpx
import msgspec

from imagen.adapters.backends.replicate.json_values import (
    as_line,
    as_mapping,
    as_number,
)
from imagen.adapters.remote.errors import (
    parse_retry_after,
    to_status_error,
    to_throttled,
    to_unavailable,
    to_unfinished,
)
from imagen.domain.errors import ImagenError, Refused, Unavailable

LOW_CREDIT_HINT = (
    "With little credit Replicate accepts six jobs a minute, one at a time: leave"
    " `concurrency` at 1, or add credit at replicate.com/account/billing."
)

_MAX_DETAIL = 300
_RETRY_SECONDS = re.compile(
    r"(?:resets in ~?|available in )(\d+(?:\.\d+)?) ?s", re.IGNORECASE
)
_LOW_CREDIT = re.compile(r"less than \$|reduced to \d+ requests", re.IGNORECASE)
_SERVER_ERROR = 500


class NotFoundError(Exception):
    """The resource does not exist (HTTP 404)."""


class InvalidInputError(Exception):
    """The inputs are invalid (HTTP 422); the request certainly cost nothing."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message)
        self.refused = refused


def to_error(
    response: httpx.Response,
    server: str,
    *,
    creates: bool = False,
    hide: Callable[[str], str],
    now: datetime,
) -> ImagenError:
    """Return the error for a response whose status is not a success.

    Args:
        response: Its status, headers and body are used.
        server: The name of the server for messages.
        creates: Whether the request creates a prediction.
        hide: Removes secrets from a text.
        now: The current time, for a `Retry-After` header that is a date.

    Raises:
        NotFoundError: for a 404.
        InvalidInputError: for a 422.
    """
    status, problem = response.status_code, _parse_problem(response.content)
    text = problem.get("detail") or problem.get("title")
    text = hide(text).removeprefix("- ") if isinstance(text, str) else ""
    detail = as_line(text, longest=_MAX_DETAIL)
    more = f": {detail}" if detail else ""
    match status:
        case 404:
            raise NotFoundError(detail)
        case 422:
            raise InvalidInputError(Refused(f"{server} refused the inputs{more}."))
        case 413:
            return Refused(
                f"The request is too large for {server}{more}.",
                hint="Use smaller reference images.",
            )
        case 429:
            # Replicate states the seconds in the body, in the header, or only in the
            # text of the message.
            wait = as_number(problem.get("retry_after"))
            if wait is None or not 0 <= wait < float("inf"):
                header = response.headers.get("Retry-After")
                wait = parse_retry_after(header, now=now)
            if wait is None and (found := _RETRY_SECONDS.search(detail)):
                wait = float(found[1])
            return to_throttled(
                server,
                detail=detail,
                retry_after=wait,
                hint=LOW_CREDIT_HINT if _LOW_CREDIT.search(detail) else "",
            )
        # No recorded 5xx of Replicate's says whether the prediction was created, so
        # every one of them leaves that open.
        case _ if status >= _SERVER_ERROR and creates:
            return to_unfinished(server, status=status, detail=detail)
        case _ if status >= _SERVER_ERROR:
            return to_unavailable(server, status=status, detail=detail)
        case 301 | 302 | 303 | 307 | 308:
            return Unavailable(
                f"A server on the way to {server} redirects requests (HTTP {status}).",
                hint="Check base_url, and whether the network requires a sign-in.",
            )
        case _:
            return to_status_error(
                response, server, creates=creates, detail=detail, now=now
            )


def _parse_problem(body: bytes) -> Mapping[str, object]:
    """Return the body of an error response; empty for the HTML page of a proxy."""
    try:
        return as_mapping(cast("object", msgspec.json.decode(body)))
    except (msgspec.DecodeError, UnicodeError):
        return {}
