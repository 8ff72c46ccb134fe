"""Exit codes of the program. The meaning of a code never changes."""

from imagen.domain import errors

DONE = 0
FAILURE = 1
NOT_READY = 1
INTERRUPTED = 130
# The code that shells report for a process ended by a closed pipe: 128 + SIGPIPE.
BROKEN_PIPE = 141

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
