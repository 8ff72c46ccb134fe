"""Cancellation of a remote job within the two seconds that the port promises."""

import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import TypeVar

from imagen.adapters.remote.background import BackgroundCall
from imagen.adapters.remote.requests import CANCEL_TIMEOUT, JobRequests
from imagen.adapters.remote.submission import Answer
from imagen.adapters.remote.vendor import JobAccepted, JobFailed, JobSucceeded
from imagen.domain.consumption import Used
from imagen.domain.errors import Cancelled, ImagenError, Unfinished

CANCEL_POLL_INTERVAL = 0.1
"""Seconds between two polls of a cancelled job."""

Result = TypeVar("Result")


class Canceller:
    """Cancels one job.

    Attributes:
        deadline: When the caller must be answered, in the seconds of `real_time`.
    """

    def __init__(
        self, requests: JobRequests, stopped: Cancelled, *, timeout: float
    ) -> None:
        """Begin to cancel.

        Args:
            requests: The requests about the job.
            stopped: The exception that the context raised.
            timeout: Seconds that a queued job may take until it is drawn.
        """
        self.deadline = real_time() + CANCEL_TIMEOUT
        self._requests = requests
        self._stopped = stopped
        self._timeout = timeout

    def settle(self, call: BackgroundCall[Answer]) -> JobAccepted | JobSucceeded:
        """Wait a moment for the response to the submit request.

        Raises:
            Cancelled: settled if the job was not created, or has ended; otherwise its
                state is unknown, and a late response cancels the job.
        """
        if self._requests.has_progress:
            self._interrupt(self.deadline)
        self._cancel_named()
        try:
            answer = call.result_within(self.deadline - real_time())
        except Unfinished:
            self._cancel_named()
            raise self.unsettled() from self._stopped
        except ImagenError as error:
            raise self._settled(error.used) from self._stopped
        if answer is None:
            call.abandon()
            if self._requests.has_progress:
                BackgroundCall(self._interrupt_later)
            raise self.unsettled() from self._stopped
        if isinstance(answer, JobFailed):
            raise self._settled(answer.error.used) from self._stopped
        return answer

    def end(self, reference: str) -> JobSucceeded:
        """Cancel the job, and return its result if it had finished before.

        Raises:
            Cancelled: settled if the job has certainly ended without an image.
        """
        cancelled = not self._requests.can_cancel
        while real_time() < self.deadline:
            # Repeated while it fails, because an uncancelled job costs money.
            cancelled = cancelled or bool(
                self.attempt(lambda: self._requests.cancel(reference))
            )
            if not self._requests.can_poll:
                break
            status = self.attempt(lambda: self._requests.poll(reference))
            if isinstance(status, JobFailed):
                raise self._settled(status.error.used) from self._stopped
            if isinstance(status, JobSucceeded):
                return status
            # The context raises at once when it is cancelled, so it cannot wait here.
            left = max(0.0, self.deadline - real_time())
            Event().wait(min(CANCEL_POLL_INTERVAL, left))
        raise self.unsettled() from self._stopped

    def attempt(self, call: Callable[[], Result]) -> Result | None:
        """Return the result of a call; None if it fails or takes too long."""
        left = self.deadline - real_time()
        if left <= 0:
            return None
        # A bug in the vendor file must not turn a cancelled job into another error.
        with suppress(Exception):
            return BackgroundCall(call).result_within(left)
        return None

    def unsettled(self) -> Cancelled:
        """Return the exception for a job that may exist."""
        return Cancelled(self._stopped.message, hint=self._stopped.hint)

    def _settled(self, used: Used | None) -> Cancelled:
        stopped = self._stopped
        return Cancelled(stopped.message, hint=stopped.hint, used=used, settled=True)

    def _cancel_named(self) -> None:
        """Cancel a job whose id is known before the response arrives."""
        if self._requests.named and self._requests.can_cancel:
            self.attempt(lambda: self._requests.cancel(self._requests.key))

    def _interrupt(self, deadline: float) -> bool:
        """Cancel the job that the vendor draws now, if it is this one."""
        self.deadline = deadline
        running = self.attempt(self._requests.read_progress)
        if running is None:
            return False
        self.attempt(lambda: self._requests.cancel(self._requests.key))
        return True

    def _interrupt_later(self) -> None:
        """Wait until a queued job is drawn, at most for its timeout, and cancel it."""
        end = real_time() + self._timeout
        while real_time() < end:
            if self._interrupt(real_time() + CANCEL_TIMEOUT):
                return
            Event().wait(1)


def real_time() -> float:
    """Return seconds of real time, even where a test's clock stands still."""
    # The promise of two seconds is about the user who waits.
    return time.monotonic()  # noqa: TID251
