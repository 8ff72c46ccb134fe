"""Exit codes of the program. The meaning of a code never changes."""

from imagen.domain import errors

DONE = 0
FAILURE = 1
NOT_READY = 1
INTERRUPTED = 130
# The code that shells report for a process ended by a closed pipe: 128 + SIGPIPE.
BROKEN_PIPE = 141

MEANINGS = {
    DONE: "done",
    FAILURE: "an internal error, or the journal or ledger cannot be read or written; "
    "also: something is not ready, still open, or different",
    2: "nothing was sent: wrong usage, config or request",
    3: "cost nothing for certain, and can be retried",
    4: "the backend refused the request or failed for good",
    5: "credentials missing or rejected, out of credit, over budget",
    6: "the image was made but not stored at its target; the message names its path",
    7: "accepted, or outcome unknown: may be billed; do not repeat the request",
    INTERRUPTED: "interrupted (129 by SIGHUP, 143 by SIGTERM)",
    BROKEN_PIPE: "the reader of stdout closed the pipe; remaining images are cancelled",
}

BY_ERROR: dict[type[errors.ImagenError], int] = {
    errors.ImagenError: FAILURE,
    errors.InvalidRequest: 2,
    errors.Misconfigured: 2,
    errors.Unavailable: 3,
    errors.Throttled: 3,
    errors.BackendError: 4,
    errors.Unauthorized: 5,
    errors.OutOfCredit: 5,
    errors.OverBudget: 5,
    errors.JournalError: FAILURE,
    errors.StorageError: 6,
    errors.Unfinished: 7,
    errors.Cancelled: INTERRUPTED,
}


def exit_code_for(error: BaseException) -> int:
    """Return the exit code of the nearest listed base class of the error.

    If several images failed, the first error decides.
    """
    if isinstance(error, errors.SomeImagesFailed) and error.errors:
        return exit_code_for(error.errors[0])
    return next(
        (BY_ERROR[kind] for kind in type(error).__mro__ if kind in BY_ERROR), FAILURE
    )
