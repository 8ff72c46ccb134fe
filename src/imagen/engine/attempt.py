"""Send a job to a backend, and retry where no second charge is possible."""

from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from imagen.domain import events
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    ReferenceTaken,
    Throttled,
    TimedOut,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.engine.job_context import RunningJobContext
from imagen.ports.backend import ImageBackend, LookupBackend, ResumableBackend
from imagen.ports.clock import Clock

LOOKUP_DELAYS = (0.5, 2.0, 5.0)
"""Seconds to wait before each attempt, because a vendor's job list may lag behind."""

MAX_DELAY = timedelta(minutes=5)
"""How long after the end of its timeout the vendor may have created a job."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential back-off in seconds; a backend's `retry_after` takes precedence."""

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def wait_after(self, failure: ImagenError, *, attempt: int) -> float | None:
        """Return the seconds to wait after the nth attempt, or None to give up."""
        if not failure.retryable or attempt >= self.attempts:
            return None
        if isinstance(failure, Throttled) and failure.retry_after is not None:
            return max(0.0, failure.retry_after)
        return min(self.first_wait * 2.0 ** (attempt - 1), self.longest_wait)


def attempt(
    backend: ImageBackend,
    job: ImageJob,
    *,
    context: RunningJobContext,
    clock: Clock,
    listen: events.Listener,
    retry: RetryPolicy,
    may_cost: bool,
) -> Generated:
    """Return the first successful result, or raise the last error.

    A job that the backend has accepted, or may have accepted, is never submitted again.
    If the response to the submit request was lost, the job is looked up instead.

    Args:
        job: The job. Its timeout, in seconds, applies to each of its images.
        context: The context of the job, new for each call.

    Raises:
        TimedOut: the timeout is over, and the job cost nothing.
        Unfinished: the job was accepted, or may have been, and has not ended.
        JournalError: the job was not sent, because a budget could not count it.
    """
    deadline = clock.monotonic() + job.timeout * job.count
    cancel_alarm = clock.after(job.timeout * job.count, context.expire)
    number = 1
    try:
        while True:
            context.sleep(0)
            context.set_sending(active=True)
            try:
                return _generate(backend, job, context=context, clock=clock)
            except ImagenError as failure:
                if context.stopped and not failure.may_have_cost:
                    # Cancelling closes the connection, which looks like an outage.
                    raise Cancelled(
                        "The job was cancelled.",
                        used=failure.used,
                        settled=not may_cost,
                    ) from failure
                wait = retry.wait_after(failure, attempt=number)
                accepted = context.reference is not None
                if accepted and may_cost and not failure.may_have_cost:
                    raise Unfinished(
                        f"{failure.message} The backend had accepted the job as "
                        f"{context.reference}.",
                        hint="It is not submitted again automatically.",
                    ) from failure
                if not failure.may_have_cost and not accepted:
                    context.set_sending(active=False)
                if wait is None or accepted:
                    raise
                if clock.monotonic() + wait >= deadline:
                    _add_retry_time(failure, job, now=clock.now())
                    raise
                listen(
                    events.Retrying(
                        number=job.number,
                        code=failure.code,
                        message=failure.message,
                        wait=wait,
                    )
                )
            context.sleep(wait)
            number += 1
    except Cancelled as cancelled:
        if not context.timed_out:
            raise
        raise _timeout_error(job, context, cancelled, may_cost=may_cost) from cancelled
    finally:
        cancel_alarm()


def _generate(
    backend: ImageBackend, job: ImageJob, *, context: RunningJobContext, clock: Clock
) -> Generated:
    """Submit the job once; look it up if the response was lost."""
    submitted_at = clock.now()
    try:
        return backend.generate(job, context)
    except ReferenceTaken as taken:
        # Another call was looking for a lost job with the same parameters, and has
        # adopted this one.
        error = Unfinished(f"{taken.message} That call has adopted the job.")
    except Unfinished as unfinished:
        error = unfinished
    if context.reference is not None or not isinstance(backend, ResumableBackend):
        raise error
    reference = find_lost_job(backend, job, since=submitted_at, context=context)
    if reference is None:
        raise error
    return backend.resume(job, reference, context)


def find_lost_job(
    backend: ImageBackend,
    job: ImageJob,
    *,
    since: datetime,
    until: datetime | None = None,
    context: RunningJobContext,
) -> str | None:
    """Return the id of an identical remote job that no other call has; None for none.

    The id is then recorded in the context and in the journal. Identical jobs are
    interchangeable, so of several calls that look for one each gets another. If there
    are more jobs than calls, some were made by another program, and none is returned.

    Args:
        since: When the job was about to be sent.
        until: The latest time at which the vendor can have created it; None for now.
            Later jobs were made by another program.
    """
    if not isinstance(backend, LookupBackend):
        return None
    for seconds in LOOKUP_DELAYS:
        context.sleep(seconds)
        try:
            found = backend.find(job, since=since, context=context)
            if found and until is not None:
                later = backend.find(job, since=until, context=context)
                found = tuple(each for each in found if each not in later)
            claimable = context.claimable_references(found)
        except Cancelled:
            raise
        except ImagenError:
            # The vendor may be unavailable for a moment only.
            continue
        # The oldest first: a call that was sent later cannot take it.
        for reference in claimable:
            # Another call may claim the job at the same time.
            with suppress(ReferenceTaken):
                context.accepted(reference)
                return reference
    return None


def latest_creation(
    job: ImageJob, *, sent_at: datetime, now: datetime
) -> datetime | None:
    """Return the latest time at which the vendor can have created a job; None for now.

    Args:
        sent_at: When the job was about to be sent.
        now: The current time.
    """
    # It is not sent after its timeout, but a proxy may delay it.
    with suppress(OverflowError):
        latest = sent_at + timedelta(seconds=job.timeout * job.count) + MAX_DELAY
        return latest if latest < now else None
    return None


def _add_retry_time(failure: ImagenError, job: ImageJob, *, now: datetime) -> None:
    """Add to a rate limit that outlasts the timeout when it ends."""
    if not isinstance(failure, Throttled) or failure.retry_after is None:
        return
    at = ""
    with suppress(OverflowError):
        at = (
            f", at {now + timedelta(seconds=failure.retry_after):%Y-%m-%d %H:%M:%S} UTC"
        )
    limit = (
        f"The backend takes requests again in {failure.retry_after:g} s{at}, after the "
        f"timeout of {job.timeout * job.count:g} s."
    )
    failure.hint = " ".join(filter(None, (failure.hint, limit)))


def _timeout_error(
    job: ImageJob, context: RunningJobContext, cancelled: Cancelled, *, may_cost: bool
) -> ImagenError:
    """Return the error of a job that was cancelled because of its timeout."""
    message = f"No image after {job.timeout * job.count:g} seconds, so the job was"
    hint = "Set a longer --timeout."
    if not (may_cost and context.sent) or cancelled.used == UNTOUCHED:
        return TimedOut(f"{message} cancelled.", hint=hint)
    if cancelled.settled:
        return BackendError(
            f"{message} cancelled; the time until then may have been billed.",
            hint=hint,
            used=cancelled.used,
        )
    suffix = f"; the remote job is {context.reference}" if context.reference else ""
    return Unfinished(
        f"{message} cancelled{suffix}.",
        hint="It is not submitted again automatically.",
    )
