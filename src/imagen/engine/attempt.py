"""Ask a backend, and ask again where that is certain to cost nothing twice."""

from imagen.domain import events
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    ReferenceTaken,
    TimedOut,
    Unfinished,
)
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated
from imagen.domain.retry import RetryPolicy
from imagen.engine.job_context import RunningJobContext
from imagen.engine.lookup import find_lost_job
from imagen.ports.backend import ImageBackend, ResumableBackend
from imagen.ports.clock import Clock


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
    """Return the first good answer, or raise the last failure.

    Once the backend has taken the job, or may have, nothing is repeated. Where nobody
    knows whether it has, it is asked for the job.

    Raises:
        TimedOut: the time was over, and it cost nothing.
        Unfinished: accepted, or of unknown fate, and not over.
        JournalError: nothing was sent, for it could not be counted.
        ImagenError: whatever else the backend raised.
    """
    deadline = clock.monotonic() + job.timeout * job.count
    call_off = clock.after(job.timeout * job.count, context.expire)
    number = 1
    try:
        while True:
            context.sleep(0)
            context.set_sending(active=True)
            try:
                return _once(backend, job, context=context, clock=clock)
            except ImagenError as failure:
                if context.stopped and not failure.may_have_cost:
                    # A connection that we closed ourselves looks like an outage.
                    raise Cancelled(
                        "The job was cancelled.",
                        used=failure.used,
                        settled=not may_cost,
                    ) from failure
                wait = retry.wait_after(failure, attempt=number)
                taken = context.reference is not None
                if taken and may_cost and not failure.may_have_cost:
                    raise Unfinished(
                        f"{failure.message} The backend had taken the job as "
                        f"{context.reference}.",
                        hint="It may have been billed, so it is not repeated.",
                    ) from failure
                if not failure.may_have_cost and not taken:
                    context.set_sending(active=False)
                if wait is None or taken or clock.monotonic() + wait >= deadline:
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
    except Cancelled as stopped:
        if not context.timed_out:
            raise
        raise _out_of_time(job, context, stopped, may_cost=may_cost) from stopped
    finally:
        call_off()


def _once(
    backend: ImageBackend, job: ImageJob, *, context: RunningJobContext, clock: Clock
) -> Generated:
    began = clock.now()
    try:
        return backend.generate(job, context)
    except ReferenceTaken as taken:  # by a call that looked for a job just like this
        lost = Unfinished(f"{taken.message} It was taken for that of the other.")
    except Unfinished as unfinished:
        lost = unfinished
    if context.reference is not None or not isinstance(backend, ResumableBackend):
        raise lost
    reference = find_lost_job(backend, job, since=began, context=context)
    if reference is None:
        raise lost
    return backend.resume(job, reference, context)


def _out_of_time(
    job: ImageJob, context: RunningJobContext, stopped: Cancelled, *, may_cost: bool
) -> ImagenError:
    what = f"No image after {job.timeout * job.count:g} seconds, so it was cancelled"
    if not (may_cost and context.sent) or stopped.used == UNTOUCHED:
        return TimedOut(f"{what}.", hint="Give it longer with --timeout.")
    if stopped.settled:
        return BackendError(
            f"{what}; the time until then may have been billed.",
            hint="Give it longer with --timeout.",
            used=stopped.used,
        )
    taken = f"; the backend calls it {context.reference}" if context.reference else ""
    return Unfinished(
        f"{what}{taken}.",
        hint="It may have been billed, so it is not repeated by itself.",
    )
