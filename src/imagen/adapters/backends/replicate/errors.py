"""Translation of Replicate's error responses into imagen's errors."""

# The modules of `remote` that need httpx are imported late: every config that names an
# instance loads this module.
import re
from collections.abc import Mapping

from imagen.adapters.remote.json_values import (
    as_line,
    as_mapping,
    as_number,
)
from imagen.adapters.remote.problems import parse_problem
from imagen.adapters.remote.vendor import HttpResponse
from imagen.domain.errors import ImagenError, InvalidRequest, Refused, Unavailable

LOW_CREDIT_HINT = (
    "With little credit Replicate accepts six jobs a minute, one at a time: leave"
    " `concurrency` at 1, or add credit at replicate.com/account/billing."
)

# The messages are shortened after secrets were removed, so that no half of one remains.
_MAX_DETAIL = 10_000
_RETRY_SECONDS = re.compile(
    r"(?:resets in ~?|available in )(\d+(?:\.\d+)?) ?s", re.IGNORECASE
)
_LOW_CREDIT = re.compile(r"less than \$|reduced to \d+ requests", re.IGNORECASE)


class NotFound(InvalidRequest):
    """The resource does not exist (HTTP 404)."""


def to_error(response: HttpResponse, server: str) -> ImagenError | str:
    """Return the error for a response without success.

    Returns:
        Replicate's message if the error is the usual one of its status; "" for none.
    """
    problem = as_mapping(parse_problem(response.content))
    detail = as_line(
        problem.get("detail") or problem.get("title"), longest=_MAX_DETAIL
    ).removeprefix("- ")
    more = f": {detail}" if detail else ""
    match response.status:
        case 404:
            return NotFound(f"{server} does not have it, or not for this token{more}.")
        case 422:
            return Refused(f"{server} refused the inputs{more}.")
        case 413:
            return Refused(
                f"The request is too large for {server}{more}.",
                hint="Use smaller reference images.",
            )
        case 429:
            from imagen.adapters.remote.errors import to_throttled  # noqa: PLC0415

            return to_throttled(
                server,
                detail=detail,
                retry_after=_read_wait(problem, detail, response.headers),
                hint=LOW_CREDIT_HINT if _LOW_CREDIT.search(detail) else "",
            )
        case 301 | 302 | 303 | 307 | 308 as status:
            return Unavailable(
                f"A server on the way to {server} redirects requests (HTTP {status}).",
                hint="Check base_url, and whether the network requires a sign-in.",
            )
        case _:
            return detail


def _read_wait(
    problem: Mapping[str, object], detail: str, headers: Mapping[str, str]
) -> float | None:
    """Return the seconds to wait; None if they are not stated, or as a date."""
    from imagen.adapters.remote.errors import parse_retry_after  # noqa: PLC0415

    # Replicate states them in the body, in the header, or only in the text.
    wait = as_number(problem.get("retry_after"))
    if wait is not None and 0 <= wait < float("inf"):
        return wait
    if header := headers.get("retry-after"):
        return parse_retry_after(header)
    found = _RETRY_SECONDS.search(detail)
    return float(found[1]) if found else None
