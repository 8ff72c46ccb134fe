"""All errors that imagen raises on purpose.

ImagenError
├── InvalidRequest          a value in the request is invalid
│   ├── UsageError          ... on the command line
│   └── Unsupported         ... for this backend
├── Misconfigured           the config, or a resource it names, is wrong or missing
│   └── UnknownOwner        the owner of the cloud copies does not exist
├── Unavailable             not reached, or down before it accepted the job
│   └── TimedOut            timed out and cancelled, at no cost
├── Throttled               rate limit exceeded; retry later
├── BackendError            the backend failed permanently
│   ├── Refused             the content was rejected; a retry will not help
│   └── NotAsRequested      the stored image differs from a strict request
├── Unauthorized            credentials are missing or rejected
├── OutOfCredit             the account at the backend has no credit left
├── OverBudget              a budget in the config is exceeded
├── Unfinished              accepted, or in an unknown state: may have been billed
├── StorageError            the image was made, but could not be stored
│   └── NameTaken           another file exists under that name
├── JournalError            the journal, ledger or history cannot be read or written
│   └── ReferenceTaken      the remote job belongs to another call
├── SomeImagesFailed        some images of the request failed
└── Cancelled               cancelled by the user, a signal or a deadline
"""

from typing import TYPE_CHECKING, ClassVar, TypedDict, Unpack

from imagen.domain.consumption import Used

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Attributes(TypedDict, total=False):
    code: str
    retryable: bool
    may_have_cost: bool


class ImagenError(Exception):
    """Base of every error that imagen raises on purpose.

    Attributes:
        code: The stable, machine-readable name. Its meaning never changes.
        retryable: Whether an automatic retry may help, without paying twice.
        may_have_cost: Whether money may have been spent in spite of the error.
        hint: What to do about it, as one sentence; "" for none.
        used: What the call consumed in spite of the error; None if unknown.
    """

    code: ClassVar[str] = "imagen_error"
    retryable: ClassVar[bool] = False
    may_have_cost: ClassVar[bool] = False

    def __init_subclass__(cls, **attributes: Unpack[_Attributes]) -> None:
        """Set the attributes given in the class statement; inherit the others."""
        super().__init_subclass__()
        for name, value in attributes.items():
            setattr(cls, name, value)

    def __init__(
        self, message: str, *, hint: str = "", used: Used | None = None
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.used = used

    @property
    def message(self) -> str:
        """The problem and its location, as one or two sentences."""
        return str(self.args[0])

    @property
    def explanation(self) -> str:
        """The message, and the hint if there is one."""
        return " ".join(filter(None, (self.message, self.hint)))


class InvalidRequest(ImagenError, ValueError, code="invalid_request"):
    """A value in the request is invalid for every backend."""

    # Also a ValueError: if a Struct raises one while it is decoded, msgspec adds the
    # path of the field to the message.


class UsageError(InvalidRequest, code="usage"):
    """The command line is invalid."""


class Unsupported(InvalidRequest, code="unsupported"):
    """The request is valid, but this backend does not support it."""


class Misconfigured(ImagenError, code="misconfigured"):
    """The config, or a resource that it names, is wrong or missing."""


class UnknownOwner(Misconfigured, code="unknown_owner"):
    """The owner of the cloud copies does not exist."""


class Unavailable(ImagenError, code="unavailable", retryable=True):
    """The backend was not reached, or was down before it accepted the job."""


class TimedOut(Unavailable, code="timed_out", retryable=False):
    """The job exceeded its timeout, was cancelled and cost nothing."""


class Throttled(ImagenError, code="throttled", retryable=True):
    """The backend is rate limiting requests.

    Attributes:
        retry_after: Seconds to wait before a retry; None if the backend does not say.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class BackendError(ImagenError, code="backend_error", may_have_cost=True):
    """The backend accepted the job and failed."""


class Refused(BackendError, code="refused"):
    """The backend rejected the content of the request; a retry will not help."""


class NotAsRequested(BackendError, code="not_as_requested"):
    """The image is stored, and differs from a strict request.

    Attributes:
        image: The stored image.
    """

    def __init__(
        self, message: str, *, hint: str = "", image: "object | None" = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.image = image


class Unauthorized(ImagenError, code="unauthorized"):
    """Credentials are missing or rejected."""


class OutOfCredit(ImagenError, code="out_of_credit"):
    """The account at the backend has no credit left."""


class OverBudget(ImagenError, code="over_budget"):
    """A budget in the config would be exceeded."""


class Unfinished(ImagenError, code="unfinished", may_have_cost=True):
    """The job was accepted, or its state is unknown: it may be billed.

    The call is never repeated. The id of the remote job, if known, is the one that the
    backend reported to the job context.
    """


class StorageError(ImagenError, code="storage_error", may_have_cost=True):
    """The image was made, but could not be stored at its location.

    Attributes:
        rescued_at: The location where it was stored instead; None if that failed too.
    """

    def __init__(
        self, message: str, *, hint: str = "", rescued_at: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.rescued_at = rescued_at


class NameTaken(StorageError, code="name_taken"):
    """Another file already exists under that name."""


class JournalError(ImagenError, code="journal_error"):
    """The journal, ledger or history cannot be read or written."""


class ReferenceTaken(JournalError, code="reference_taken"):
    """The remote job belongs, or belonged, to another call."""


class SomeImagesFailed(ImagenError, code="some_images_failed", may_have_cost=True):
    """Some images of the request failed.

    Attributes:
        images: The images that were made and stored.
        errors: The errors, in the order of the images; an image that differs from a
            strict request is in `images`, too.
    """

    def __init__(
        self,
        message: str,
        *,
        images: "Sequence[object]" = (),
        errors: "Sequence[ImagenError]" = (),
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.images = tuple(images)
        self.errors = tuple(errors)


class Cancelled(ImagenError, code="cancelled", may_have_cost=True):
    """Cancelled by the user, a signal or a deadline.

    Attributes:
        settled: Whether the backend certainly does no more work: nothing was sent, or
            the backend confirmed that the job has ended.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        used: Used | None = None,
        settled: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, used=used)
        self.settled = settled
