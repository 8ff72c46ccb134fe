"""Everything that can go wrong, as one family.

ImagenError
├── InvalidRequest          the words or numbers make no sense
│   ├── UsageError          ... on the command line
│   └── Unsupported         ... to this backend
├── Misconfigured           the config, or something that it names, is wrong or missing
├── Unavailable             not reached, or down before it took the job
│   └── TimedOut            took too long, at no cost, and was cancelled
├── Throttled               too fast; ask again after a while
├── BackendError            the backend let us down for good
│   └── Refused             it will not make this; asking again will not help
├── Unauthorized            credentials are missing or refused
├── OutOfCredit             the account at the backend is empty
├── OverBudget              our own budget says no
├── Unfinished              accepted, or its fate is unknown: may have been billed
├── StorageError            the image was made, but not stored where it should be
│   └── NameTaken           something else is already stored under that name
├── JournalError            the account of what was made cannot be read or written
│   └── ReferenceTaken      another call has, or had, the remote job of that name
├── SomeImagesFailed        of several images, not all were made
└── Cancelled               a person, or a signal, stopped it
"""

from typing import TYPE_CHECKING, ClassVar

from imagen.domain.consumption import Used

if TYPE_CHECKING:
    from collections.abc import Sequence


class ImagenError(Exception):
    """Base of every error that imagen raises on purpose.

    Attributes:
        code: The stable name for machines; never changes its meaning.
        retryable: Whether asking again by itself may help, and cost nothing twice.
        may_have_cost: Whether money may have been spent all the same.
        hint: What to do about it, one sentence, or nothing.
        used: What the call used up all the same; None when nobody knows.
    """

    code: ClassVar[str] = "imagen_error"
    retryable: ClassVar[bool] = False
    may_have_cost: ClassVar[bool] = False

    def __init__(
        self, message: str, *, hint: str = "", used: Used | None = None
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.used = used

    @property
    def message(self) -> str:
        """What is wrong and where, as one or two sentences."""
        return str(self.args[0])


class InvalidRequest(ImagenError, ValueError):
    """The request makes no sense, whichever backend would get it.

    Also a `ValueError`, so that a decoder adds the path to the field.
    """

    code = "invalid_request"


class UsageError(InvalidRequest):
    """The command line cannot be understood."""

    code = "usage"


class Unsupported(InvalidRequest):
    """The request makes sense, but not to this backend."""

    code = "unsupported"


class Misconfigured(ImagenError):
    """The config, or something that it names, is wrong or missing."""

    code = "misconfigured"


class UnknownOwner(Misconfigured):
    """The user whose copies the cloud is to keep is not there."""

    code = "unknown_owner"


class Unavailable(ImagenError):
    """The backend was not reached, or was down before it took the job."""

    code = "unavailable"
    retryable = True


class TimedOut(Unavailable):
    """The image took too long; the job was cancelled and cost nothing."""

    code = "timed_out"
    retryable = False


class Throttled(ImagenError):
    """The backend asks us to slow down.

    Attributes:
        retry_after: Seconds to wait before asking again, when the backend says.
    """

    code = "throttled"
    retryable = True

    def __init__(
        self, message: str, *, retry_after: float | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class BackendError(ImagenError):
    """The backend took the job and failed, for a reason of its own."""

    code = "backend_error"
    may_have_cost = True


class Refused(BackendError):
    """The backend will not make this; asking again will not help."""

    code = "refused"


class Unauthorized(ImagenError):
    """Credentials are missing or refused."""

    code = "unauthorized"


class OutOfCredit(ImagenError):
    """The account at the backend is empty."""

    code = "out_of_credit"


class OverBudget(ImagenError):
    """A budget of ours says no."""

    code = "over_budget"


class Unfinished(ImagenError):
    """Accepted, or of unknown fate: it may be billed, and is not repeated.

    What the backend calls the job is what it told the context, if it did.
    """

    code = "unfinished"
    may_have_cost = True


class StorageError(ImagenError):
    """The image was made, but could not be stored where it should be.

    Attributes:
        rescued_at: Where it is instead; None when no place could take it.
    """

    code = "storage_error"
    may_have_cost = True

    def __init__(
        self, message: str, *, hint: str = "", rescued_at: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.rescued_at = rescued_at


class NameTaken(StorageError):
    """Something else is already stored under that name."""

    code = "name_taken"


class JournalError(ImagenError):
    """The account of what was made cannot be read or written."""

    code = "journal_error"


class ReferenceTaken(JournalError):
    """Another call has, or had, the remote job of that name."""

    code = "reference_taken"


class SomeImagesFailed(ImagenError):
    """Of several images, not all were made.

    Attributes:
        images: Those that were made and stored.
        errors: Why the others were not, in the order of the images.
    """

    code = "some_images_failed"
    may_have_cost = True

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


class Cancelled(ImagenError):
    """A person, a signal or a deadline stopped it.

    Attributes:
        settled: Whether it is certain that nothing goes on at the backend: nothing was
            sent, or the backend confirmed that the job has ended.
    """

    code = "cancelled"
    may_have_cost = True

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
