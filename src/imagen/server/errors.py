"""Error responses, and the mapping from imagen's errors to OpenAI's format."""

import math
import re
from collections.abc import Mapping
from typing import Any, Self

import msgspec

from imagen.bootstrap.parameters import PARAMETERS
from imagen.domain import errors
from imagen.domain.printable import encode_json

INTERNAL = "internal_error"
"""The `code` of a bug in imagen or in an adapter."""

REPLAYED = "Idempotent-Replayed"
"""Response header: the response repeats that of an earlier request with this key."""


class ErrorDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The `error` object of OpenAI's API."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


_TYPES = {
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
    499: "cancelled",
}
_SERVER_ERROR = 500


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every response whose status is not 2xx."""

    error: ErrorDetails


class ErrorResponse(Exception):
    """An HTTP error response.

    Attributes:
        details: The `error` object of the body; its `type` follows from the status,
            unless one is given.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        type: str = "",  # noqa: A002 - OpenAI's name
        param: str | None = None,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        usual = "server_error" if status >= _SERVER_ERROR else "invalid_request_error"
        self.details = ErrorDetails(
            message=message,
            type=type or _TYPES.get(status, usual),
            param=param,
            code=code,
        )
        # OpenAI's clients retry every 5xx by themselves, which could pay twice, unless
        # this header forbids it.
        should_retry = "false" if retry_after is None else "true"
        self.headers = {"X-Should-Retry": should_retry, **(headers or {})}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    @classmethod
    def rebuild(
        cls, status: int, details: ErrorDetails, headers: dict[str, str]
    ) -> Self:
        """Return the response with these details, stored or from a pickle."""
        return cls(
            status,
            details.message,
            code=details.code or "",
            type=details.type,
            param=details.param,
            headers=headers,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own __reduce__ passes only the message, and unpickling in the
        # server would fail: errors that a worker raises arrive pickled.
        return ErrorResponse.rebuild, (self.status, self.details, self.headers)

    @property
    def body(self) -> bytes:
        """The body as JSON."""
        return encode_json(ErrorBody(error=self.details))


def shutdown_error() -> ErrorResponse:
    """Return the response to requests that are rejected during shutdown."""
    return ErrorResponse(
        503,
        "The server is shutting down; nothing was sent to the backend.",
        code="stopping",
        retry_after=5,
    )


def invalid_value(param: str, message: str) -> ErrorResponse:
    """Return the response to an invalid field."""
    return ErrorResponse(400, message, param=param, code="invalid_value")


def client_disconnected() -> ErrorResponse:
    """Return the error that ends a handler whose client has disconnected."""
    return ErrorResponse(499, "The client has disconnected.", code="cancelled")


# Status and code; without a code the response has the code of the error itself.
_BY_ERROR: dict[type[errors.ImagenError], tuple[int, str]] = {
    errors.ImagenError: (500, ""),
    errors.InvalidRequest: (400, ""),
    errors.Unavailable: (503, ""),
    errors.TimedOut: (504, ""),
    errors.Throttled: (429, "rate_limit_exceeded"),
    errors.BackendError: (502, ""),
    errors.Refused: (400, "moderation_blocked"),
    # 502, not 401: the client's own key was accepted, the backend's key was not.
    errors.Unauthorized: (502, "backend_unauthorized"),
    errors.OutOfCredit: (402, "backend_out_of_credit"),
    errors.OverBudget: (402, "insufficient_quota"),
    errors.Unfinished: (504, ""),
    errors.Cancelled: (499, ""),
}

# The messages of these errors contain paths of the server's disk, which clients must
# not see; the log has the full message.
_SAFE_MESSAGES: dict[type[errors.ImagenError], str] = {
    errors.Misconfigured: "The server is not configured for this request. The server's "
    "log says what is missing.",
    errors.StorageError: "The image was generated, but could not be stored in its "
    "folder. The server's log says where it is.",
    errors.JournalError: "The server cannot read or write its database.",
}


def to_error_response(error: BaseException) -> ErrorResponse:
    """Return the response for an error, without paths of the disk or secrets."""
    if isinstance(error, ErrorResponse):
        return error
    if isinstance(error, errors.SomeImagesFailed) and error.errors:
        return to_error_response(error.errors[0])
    if not isinstance(error, errors.ImagenError):
        return ErrorResponse(
            500,
            "Internal server error. The server's log has the details.",
            code=INTERNAL,
        )
    classes = type(error).__mro__
    status, code = next(_BY_ERROR[each] for each in classes if each in _BY_ERROR)
    safe = (text for kind, text in _SAFE_MESSAGES.items() if isinstance(error, kind))
    return ErrorResponse(
        status,
        next(safe, "") or _explain(error),
        type="image_generation_user_error" if isinstance(error, errors.Refused) else "",
        code=code or error.code,
        retry_after=_retry_after(error),
    )


def _explain(error: errors.ImagenError) -> str:
    """Return message and hint, with HTTP fields in place of command-line flags.

    A hint about something that only the command line can do is left out.
    """
    message, hint = (_FLAG.sub(_to_field, each) for each in (error.message, error.hint))
    if _FLAG.search(hint) or "`imagen " in hint:
        hint = ""
    return " ".join(filter(None, (message, hint)))


_FLAG = re.compile(r"`?--([a-z][a-z-]*)`?")
_FIELDS: Mapping[str, str] = {
    **{name: info.http_name for name, info in PARAMETERS.items() if info.http_name},
    **dict.fromkeys(("model", "image", "mask"), ""),
    "count": "n",
}


def _to_field(flag: re.Match[str]) -> str:
    name = flag[1].replace("-", "_")
    if name not in _FIELDS:
        return flag[0]
    return f"`{_FIELDS[name] or name}`"


def _retry_after(error: errors.ImagenError) -> float | None:
    if isinstance(error, errors.Throttled):
        return error.retry_after or 1.0
    # TimedOut is a kind of Unavailable, but a retry would time out again.
    unavailable = isinstance(error, errors.Unavailable)
    return 5.0 if unavailable and not isinstance(error, errors.TimedOut) else None
