"""Reads about one accepted job, repeated while the vendor is unavailable."""

from collections.abc import Callable
from typing import TypeVar

from imagen.adapters.remote.background import BackgroundCall
from imagen.adapters.remote.fetch import OutputDeleted
from imagen.adapters.remote.submission import UnknownState
from imagen.adapters.remote.vendor import JobRunning
from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    OutOfCredit,
    Throttled,
    Unauthorized,
    Unfinished,
)
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext

# Some models take half a second, so polling starts at short intervals.
FIRST_POLL_INTERVAL, MAX_POLL_INTERVAL = 0.2, 2.0
"""Seconds between two polls, at first and at most."""

MAX_OUTAGE = 60.0
"""Seconds for which the vendor may be unavailable while it has the job."""

Result = TypeVar("Result")


class JobReads:
    """Reads about one job.

    Attributes:
        reference: The id of the job; "" before it is known.
        fraction: The progress from 0 to 1; None if unknown.
        interrupted: True once a read failed.
    """

    def __init__(
        self, context: JobContext, clock: Clock, *, clean: Callable[[str], str]
    ) -> None:
        """Prepare the reads; `clean` removes secrets from texts of the vendor."""
        self.reference = ""
        self.fraction: float | None = None
        self.interrupted = False
        self._context = context
        self._clock = clock
        self._clean = clean

    def repeat(
        self, read: Callable[[], Result], server: str, *, limit: float = MAX_OUTAGE
    ) -> Result:
        """Repeat a read until it succeeds or the limit in seconds is over.

        Raises:
            Unfinished: it did not succeed; the job exists.
        """
        outage, pause = 0.0, FIRST_POLL_INTERVAL
        while True:
            began = self._clock.monotonic()
            try:
                return BackgroundCall(read).result(self._context)
            except (Cancelled, Unfinished, OutputDeleted):
                raise
            except (Unauthorized, OutOfCredit) as error:
                raise self._left_open(error.message, error.hint) from error
            # A job that was there a moment ago is not gone, so an error such as 404 is
            # temporary as well.
            except ImagenError as error:
                reason = error
            self.interrupted = True
            wait = max(pause, retry_after(reason) or 0.0)
            outage += self._clock.monotonic() - began + wait
            if outage > limit:
                message = f"{server} was not available for {limit:g} s"
                raise self._left_open(
                    f"{message}: {reason.message}",
                    "The job exists; its images can be fetched later.",
                ) from reason
            self._context.progress(self.fraction, f"waiting for {server}")
            self._context.sleep(wait)
            pause = min(2 * MAX_POLL_INTERVAL, pause * 2)

    def _left_open(self, message: str, hint: str) -> Unfinished:
        job = f" The job is {self.reference}." if self.reference else ""
        return Unfinished(f"{message}{job}", hint=hint)

    def report(self, running: JobRunning) -> None:
        """Report the progress, which never goes back."""
        if running.fraction is not None:
            fraction = min(1.0, max(0.0, running.fraction))
            self.fraction = max(self.fraction or 0.0, fraction)
        note = self._clean(running.note)
        self._context.progress(self.fraction, note, steps=running.steps or None)


def retry_after(error: ImagenError) -> float | None:
    """Return the seconds that the server asks to wait; None if it does not."""
    if isinstance(error, Throttled | UnknownState):
        return error.retry_after
    return None
