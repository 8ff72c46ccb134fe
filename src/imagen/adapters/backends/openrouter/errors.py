"""The errors of OpenRouter, with an HTTP status or in an answer with status 200."""

from collections.abc import Mapping

from imagen.adapters.remote.json_values import as_line, as_mapping
from imagen.adapters.remote.problems import parse_problem
from imagen.adapters.remote.vendor import HttpResponse
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Unauthorized,
    Unavailable,
)

_LONGEST = 10_000
"""Messages are shortened after secrets were removed."""

_CREDIT_HINT = "Add credit at openrouter.ai/credits."
_MODERATION = ("moderation", "content_policy", "content policy", "flagged", "safety")


def to_error(response: HttpResponse, server: str) -> ImagenError | str:
    """Return the error for a response without success.

    Returns:
        OpenRouter's message if the error is the usual one of its status; "" for none.
    """
    problem = as_mapping(as_mapping(parse_problem(response.content)).get("error"))
    message = _describe(problem)
    if _is_moderation(problem, message):
        return _refusal(server, problem, message)
    words = message or f"HTTP {response.status}"
    match response.status:
        case 400 | 404:
            return InvalidRequest(f"{server} rejects the request: {words}.")
        case 413:
            return InvalidRequest(
                f"The request is too large for {server}.",
                hint="Use smaller reference images.",
            )
        case 402:
            return OutOfCredit(
                f"The account at {server} is empty: {words}.", hint=_CREDIT_HINT
            )
        case 529:
            return Unavailable(f"The provider behind {server} is overloaded: {words}.")
        case _:
            return message


def to_failure(problem: Mapping[str, object], server: str) -> ImagenError:
    """Return the error for an `error` in an answer with status 200."""
    message = _describe(problem) or "no reason is stated"
    if _is_moderation(problem, message):
        return _refusal(server, problem, message)
    match problem.get("code"):
        case 401:
            return Unauthorized(f"{server} does not accept the key: {message}.")
        case 402:
            return OutOfCredit(
                f"The account at {server} is empty: {message}.", hint=_CREDIT_HINT
            )
        case _:
            return BackendError(f"{server} made no image: {message}.")


def _describe(problem: Mapping[str, object]) -> str:
    """Return the message, with the provider's own if OpenRouter has passed it on."""
    metadata = as_mapping(problem.get("metadata"))
    parts = (problem.get("message"), metadata.get("provider_name"), metadata.get("raw"))
    lines = (as_line(part, longest=_LONGEST) for part in parts)
    return ": ".join(line for line in lines if line and line != "{}")


def _is_moderation(problem: Mapping[str, object], message: str) -> bool:
    metadata = as_mapping(problem.get("metadata"))
    # A status such as 403 alone may also be about the key.
    words = f"{problem.get('code')} {message}".lower()
    return bool(metadata.get("reasons")) or any(word in words for word in _MODERATION)


def _refusal(server: str, problem: Mapping[str, object], message: str) -> ImagenError:
    reasons = as_line(
        as_mapping(problem.get("metadata")).get("reasons"), longest=_LONGEST
    )
    more = f" {reasons}" if reasons else ""
    return Refused(
        f"{server} refuses the image: {message}{more}.", hint="Change the prompt."
    )
