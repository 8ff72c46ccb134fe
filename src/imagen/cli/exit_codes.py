"""What the shell is told. A code, once given a meaning, keeps it."""

from imagen.domain import errors

DONE = 0
FAULT = 1
NOT_READY = 1
INTERRUPTED = 130
NOBODY_READS = 141
"""As a shell says of a program that a closed pipe ended (128 + SIGPIPE)."""

MEANINGS = {
    DONE: "done",
    FAULT: "a fault of our own, or the account cannot be read or written; also: "
    "something is not ready, still open, or different",
    2: "nothing was sent: wrong usage, config or request",
    3: "certainly cost nothing, worth trying again",
    4: "the backend refused or failed for good",
    5: "credentials missing or refused, out of credit, over budget",
    6: "the image was made but not where you asked; the message says where it is",
    7: "accepted or of unknown fate: may be billed; do not repeat it",
    INTERRUPTED: "interrupted (129 by SIGHUP, 143 by SIGTERM)",
    NOBODY_READS: "whoever read stdout has gone; the images not yet made are cancelled",
}

BY_ERROR: dict[type[errors.ImagenError], int] = {
    errors.ImagenError: FAULT,
    errors.InvalidRequest: 2,
    errors.Misconfigured: 2,
    errors.Unavailable: 3,
    errors.Throttled: 3,
    errors.BackendError: 4,
    errors.Unauthorized: 5,
    errors.OutOfCredit: 5,
    errors.OverBudget: 5,
    errors.JournalError: FAULT,
    errors.StorageError: 6,
    errors.Unfinished: 7,
    errors.Cancelled: INTERRUPTED,
}


def exit_code_for(error: BaseException) -> int:
    """Return the code of the nearest known ancestor; of some failures, of the first."""
    if isinstance(error, errors.SomeImagesFailed) and error.errors:
        return exit_code_for(error.errors[0])
    return next(
        (BY_ERROR[kind] for kind in type(error).__mro__ if kind in BY_ERROR), FAULT
    )
