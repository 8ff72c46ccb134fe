"""What it means when Replicate's API says no."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import cast

import httpx
import msgspec

from imagen.adapters.backends.replicate.json_values import (
    as_line,
    as_mapping,
    as_number,
)
from imagen.adapters.remote.errors import parse_retry_after, to_status_error
from imagen.domain.errors import (
    ImagenError,
    Refused,
    Throttled,
    Unavailable,
    Unfinished,
)

LOW_CREDIT_HINT = (
    "With little credit Replicate takes six jobs a minute and one at a time: leave"
    " `concurrency` at 1, or add credit at replicate.com/account/billing."
)

_MAX_DETAIL = 300
_RETRY_SECONDS = re.compile(
    r"(?:resets in ~?|available in )(\d+(?:\.\d+)?) ?s", re.IGNORECASE
)
_LOW_CREDIT = re.compile(r"less than \$|reduced to \d+ requests", re.IGNORECASE)
_SERVER_ERROR = 500


class NotFoundError(Exception):
    """There is no such thing (404)."""


class InvalidInputError(Exception):
    """It is not what is taken there (422); certain to have cost nothing."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message)
        self.refused = refused


class ApiError(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a refusal.

    Attributes:
        said: What is wrong, on one line; "" when it does not say.
        wait: Seconds to wait before the next request, if it names any.
    """

    detail: str = ""
    retry_after: float | None = None


def parse_problem(body: bytes, *, hide: Callable[[str], str]) -> ApiError:
    """Read a body that may be anything, a page of a proxy among it.

    Args:
        body: As it came.
        hide: Takes secrets out of a text.
    """
    try:
        said = cast("object", msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeError):
        return ApiError()
    problem = as_mapping(said)
    detail = problem.get("detail") or problem.get("title")
    text = hide(detail).removeprefix("- ") if isinstance(detail, str) else ""
    wait = as_number(problem.get("retry_after"))
    return ApiError(
        detail=as_line(text, longest=_MAX_DETAIL),
        retry_after=wait if wait is not None and 0 <= wait < float("inf") else None,
    )


def to_error(
    answer: httpx.Response,
    who: str,
    *,
    creates: bool = False,
    hide: Callable[[str], str],
    now: datetime,
) -> ImagenError:
    """Return what an answer that is no success means.

    Args:
        answer: Its status, its headers and its body count.
        who: Whose it is, as a user calls it.
        creates: Whether the request was to create a prediction. A 5xx then leaves open
            whether it did: nobody has recorded one of Replicate's that tells.
        hide: Takes secrets out of a text.
        now: This moment.

    Raises:
        NotThereError, NotValidError: as they say.
    """
    status, problem = answer.status_code, parse_problem(answer.content, hide=hide)
    more = f": {problem.detail}" if problem.detail else ""
    match status:
        case 404:
            raise NotFoundError(problem.detail)
        case 422:
            raise InvalidInputError(Refused(f"{who} refuses what was asked for{more}."))
        case 413:
            return Refused(
                f"{who} finds it too large{more}.", hint="Use smaller reference images."
            )
        case 429:
            wait = problem.retry_after
            if wait is None:
                wait = parse_retry_after(answer.headers.get("Retry-After"), now=now)
            return Throttled(
                f"{who} asks us to slow down{more}.",
                retry_after=_parse_retry_seconds(problem.detail)
                if wait is None
                else wait,
                hint=LOW_CREDIT_HINT if _LOW_CREDIT.search(problem.detail) else "",
            )
        case _ if status >= _SERVER_ERROR and creates:
            return Unfinished(f"{who} broke over the order (status {status}){more}.")
        case _ if status >= _SERVER_ERROR:
            return Unavailable(f"{who} is not available (status {status}){more}.")
        case 301 | 302 | 303 | 307 | 308:
            return Unavailable(
                f"Something on the way to {who} sends us elsewhere (status {status}).",
                hint="Is base_url right, and is there a page to log in to first?",
            )
        case _:
            return to_status_error(
                answer, who, creates=creates, detail=problem.detail, now=now
            )


def _parse_retry_seconds(text: str) -> float | None:
    found = _RETRY_SECONDS.search(text)
    return float(found[1]) if found else None
