"""The errors of the Gemini API, and the reasons for which it returns no image."""

import re
from collections.abc import Mapping

from imagen.adapters.remote.json_values import as_line, as_list, as_mapping
from imagen.adapters.remote.problems import parse_problem
from imagen.adapters.remote.vendor import HttpResponse
from imagen.domain.consumption import Used
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Unauthorized,
)

_LONGEST = 10_000
"""Messages are shortened after secrets were removed."""

_REFUSALS = re.compile(
    r"SAFETY|PROHIBITED|BLOCKLIST|SPII|RECITATION|ESCALATION|MODEL_ARMOR", re.IGNORECASE
)
_WITHOUT_REASON = {"OTHER", "IMAGE_OTHER", "NO_IMAGE", "LANGUAGE"}
"""Reasons with which another attempt, or another prompt, may succeed."""

_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")
_NO_QUOTA = re.compile(r"PerDay|limit: 0\b", re.IGNORECASE)


def to_error(response: HttpResponse, server: str) -> ImagenError | str:
    """Return the error for a response without success.

    Returns:
        The API's message if the error is the usual one of its status; "" for none.
    """
    body = parse_problem(response.content)
    # Some errors come in a list of one.
    first = next(iter(as_list(body)), body)
    problem = as_mapping(as_mapping(first).get("error"))
    message = as_line(problem.get("message"), longest=_LONGEST)
    details = [as_mapping(detail) for detail in as_list(problem.get("details"))]
    reasons = {detail.get("reason") for detail in details}
    if "API_KEY_INVALID" in reasons:
        return Unauthorized(
            f"{server} does not accept the key: {message}.",
            hint="Create one at aistudio.google.com/apikey.",
        )
    match response.status, problem.get("status"):
        case 400, "FAILED_PRECONDITION":
            return Unauthorized(f"{server} does not serve this account: {message}.")
        case ((400 | 404 | 405 | 501), _):
            more = f": {message}" if message else f" (HTTP {response.status})"
            return InvalidRequest(f"{server} rejects the request{more}.")
        case 429, _:
            return _to_quota_error(server, message, details)
        case _:
            return message


def describe_failure(
    server: str, reason: str, message: str, *, refused: bool, used: Used
) -> ImagenError:
    """Return the error for a job that has ended without an image.

    Args:
        server: The name of the service, for messages.
        reason: The reason of the failure, such as IMAGE_SAFETY; "" for none.
        message: The service's own words; "" for none.
        refused: Whether it is a refusal, whatever the reason.
        used: What the job consumed.
    """
    name = f" ({reason})" if reason else ""
    words = f": {message}" if message else ""
    if refused or _REFUSALS.search(reason):
        return Refused(
            f"{server} refuses the image{name}{words}.",
            hint="Change the prompt or the reference images.",
            used=used,
        )
    hint = ""
    if not reason or reason in _WITHOUT_REASON:
        hint = "Try again, or describe the image in other words."
    return BackendError(
        f"{server} returned no image{name}{words}.", hint=hint, used=used
    )


def _to_quota_error(
    server: str, message: str, details: list[Mapping[str, object]]
) -> ImagenError:
    from imagen.adapters.remote.errors import to_throttled  # noqa: PLC0415 - network

    violations = [
        as_mapping(each)
        for detail in details
        for each in as_list(detail.get("violations"))
    ]
    quotas = " ".join(str(each.get("quotaId")) for each in violations)
    if _NO_QUOTA.search(f"{quotas} {message}") or any(
        each.get("quotaValue") == "0" for each in violations
    ):
        return OutOfCredit(
            f"The quota at {server} for this model is used up: {message}.",
            hint="A daily quota is renewed at midnight, Pacific time; without billing"
            " some models have none.",
        )
    delays = (_DELAY.fullmatch(str(detail.get("retryDelay"))) for detail in details)
    seconds = next((float(found[1]) for found in delays if found), None)
    return to_throttled(server, detail=message, retry_after=seconds)
