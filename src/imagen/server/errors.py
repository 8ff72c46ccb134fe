"""From what can go wrong to what OpenAI's clients understand of it."""

import math
from typing import Any, Self

import msgspec

from imagen.domain import errors

INTERNAL = "internal_error"
"""The code of what is a fault of ours."""

REPLAYED = "Idempotent-Replayed"
"""The header that says of an answer that it was given before."""


class ErrorDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The inside of an error, with OpenAI's names."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer is that is not 2xx."""

    error: ErrorDetails


class ErrorResponse(Exception):
    """An answer that is no result.

    Attributes:
        status: Of HTTP.
        problem: What is said.
        headers: That go with it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        type: str = "invalid_request_error",  # noqa: A002 - as OpenAI calls it
        param: str | None = None,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.details = ErrorDetails(message=message, type=type, param=param, code=code)
        # OpenAI's clients repeat a 5xx by themselves, unless this tells them not to.
        replay = "false" if retry_after is None else "true"
        self.headers = {"X-Should-Retry": replay, **(headers or {})}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    @classmethod
    def replay(cls, status: int, details: ErrorDetails) -> Self:
        """Return what was said before."""
        return cls(
            status,
            details.message,
            code=details.code or "",
            type=details.type,
            param=details.param,
            headers={REPLAYED: "true"},
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Have it come out of a worker as it was raised there."""
        return _rebuild, (self.status, self.details, self.headers)

    @property
    def body(self) -> bytes:
        """The answer's body."""
        return msgspec.json.encode(ErrorBody(error=self.details))


def shutdown_error() -> ErrorResponse:
    """Return what is said to those who are not begun with any more."""
    return ErrorResponse(
        503,
        "The server is about to stop; nothing was sent.",
        type="server_error",
        code="stopping",
        retry_after=5,
    )


def client_disconnected() -> ErrorResponse:
    """Return what is raised for nobody."""
    return ErrorResponse(
        499, "The client has gone.", type="cancelled", code="cancelled"
    )


def _rebuild(
    status: int, details: ErrorDetails, headers: dict[str, str]
) -> ErrorResponse:
    return ErrorResponse(
        status,
        details.message,
        code=details.code or "",
        type=details.type,
        param=details.param,
        headers=headers,
    )


class ErrorMapping(msgspec.Struct, frozen=True):
    """What a kind of error is to a client."""

    status: int
    type: str
    code: str | None = None


BY_ERROR: dict[type[errors.ImagenError], ErrorMapping] = {
    errors.ImagenError: ErrorMapping(500, "server_error"),
    errors.InvalidRequest: ErrorMapping(400, "invalid_request_error"),
    errors.Misconfigured: ErrorMapping(500, "server_error"),
    errors.Unavailable: ErrorMapping(503, "server_error"),
    errors.TimedOut: ErrorMapping(504, "server_error"),
    errors.Throttled: ErrorMapping(429, "rate_limit_error", "rate_limit_exceeded"),
    errors.BackendError: ErrorMapping(502, "server_error"),
    errors.Refused: ErrorMapping(
        400, "image_generation_user_error", "moderation_blocked"
    ),
    errors.Unauthorized: ErrorMapping(502, "server_error", "backend_unauthorized"),
    errors.OutOfCredit: ErrorMapping(
        402, "insufficient_quota", "backend_out_of_credit"
    ),
    errors.OverBudget: ErrorMapping(402, "insufficient_quota", "insufficient_quota"),
    errors.Unfinished: ErrorMapping(504, "server_error"),
    errors.StorageError: ErrorMapping(500, "server_error"),
    errors.JournalError: ErrorMapping(500, "server_error"),
    errors.Cancelled: ErrorMapping(499, "cancelled"),
}
"""`code` is that of the error itself where none stands here."""

_SAFE_MESSAGES: dict[type[errors.ImagenError], str] = {
    errors.Misconfigured: "The server is not set up for this; its log says what is "
    "missing.",
    errors.StorageError: "The image was made, but not stored where it should be; the "
    "server's log says where it is.",
    errors.JournalError: "The server cannot read or write its account.",
}
"""For what would say a path of the server's disk."""


def to_error_response(error: BaseException) -> ErrorResponse:
    """Return the answer that says it, without a path of the disk or a secret."""
    if isinstance(error, ErrorResponse):
        return error
    if isinstance(error, errors.SomeImagesFailed) and error.errors:
        return to_error_response(error.errors[0])
    if not isinstance(error, errors.ImagenError):
        return ErrorResponse(
            500,
            "A fault of the server's own.",
            type="server_error",
            code=INTERNAL,
        )
    classes = type(error).__mro__
    mapping = next(BY_ERROR[kind] for kind in classes if kind in BY_ERROR)
    return ErrorResponse(
        mapping.status,
        _message(error),
        type=mapping.type,
        code=mapping.code or error.code,
        retry_after=_retry_after(error),
    )


def _message(error: errors.ImagenError) -> str:
    for kind, words in _SAFE_MESSAGES.items():
        if isinstance(error, kind):
            return words
    return " ".join(filter(None, (error.message, error.hint)))


def _retry_after(error: errors.ImagenError) -> float | None:
    if isinstance(error, errors.Throttled):
        return error.retry_after or 1.0
    unavailable = isinstance(error, errors.Unavailable)
    return 5.0 if unavailable and not isinstance(error, errors.TimedOut) else None
