"""Ask a backend, and ask again where that is certain to cost nothing twice."""

from collections.abc import Callable

from imagen.domain import events
from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    TimedOut,
    Unfinished,
)
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated
from imagen.domain.retry import RetryPolicy
from imagen.ports.backend import ImageBackend
from imagen.ports.clock import Clock
from imagen.usecases.cancellation import Cancellation


class JobWatch:
    """The `Watch` of one job: turns a backend's words into events, and ends its waits.

    Attributes:
        reference: What the remote job is called, once the backend took it.
        timed_out: Whether it was the deadline that stopped the job.
    """

    def __init__(self, *, number: int, clock: Clock, listen: events.Listener) -> None:
        self.number = number
        self.reference: str | None = None
        self.timed_out = False
        self._clock = clock
        self._listen = listen
        self._stopped = Cancellation()

    @property
    def stopped(self) -> bool:
        """Whether the job was cancelled, or its time is over."""
        return self._stopped.happened.is_set()

    def accepted(self, reference: str) -> None:
        """Remember the name and pass it on."""
        self.reference = reference
        self._listen(events.Accepted(number=self.number, reference=reference))

    def report(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None:
        """Pass the word on."""
        self._listen(
            events.Progressed(
                number=self.number, fraction=fraction, note=note, steps=steps
            )
        )

    def wait(self, seconds: float) -> None:
        """Let time pass, unless the job was stopped."""
        if self._clock.wait(self._stopped.happened, seconds):
            raise Cancelled("The job was cancelled.")

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Have the backend's reading broken off when the job is stopped."""
        self._stopped.then(close)

    def stop(self) -> None:
        """Stop the job."""
        self._stopped.cancel()

    def expire(self) -> None:
        """Stop the job because its time is over."""
        if not self.stopped:
            self.timed_out = True
            self.stop()


def attempt(
    backend: ImageBackend,
    job: ImageJob,
    *,
    watch: JobWatch,
    clock: Clock,
    listen: events.Listener,
    retry: RetryPolicy,
    may_cost: bool,
) -> Generated:
    """Return the first good answer, or raise the last failure.

    Once the backend has taken the job nothing is repeated.

    Raises:
        TimedOut: the time was over, and it cost nothing.
        Unfinished: the time was over, and it may have cost something.
        ImagenError: whatever else the backend raised.
    """
    deadline = clock.monotonic() + job.timeout * job.count
    call_off = clock.after(job.timeout * job.count, watch.expire)
    number = 1
    in_flight = False
    try:
        while True:
            watch.wait(0)
            in_flight = True
            try:
                return backend.generate(job, watch)
            except ImagenError as failure:
                if watch.stopped and not failure.may_have_cost:
                    # A connection that we closed ourselves looks like an outage.
                    raise Cancelled("The job was cancelled.") from failure
                wait = retry.wait_after(failure, attempt=number)
                taken = watch.reference is not None
                if taken and may_cost and not failure.may_have_cost:
                    raise Unfinished(
                        f"{failure.message} The backend had taken the job as "
                        f"{watch.reference}.",
                        hint="It may have been billed, so it is not repeated.",
                    ) from failure
                if wait is None or taken or clock.monotonic() + wait >= deadline:
                    raise
                in_flight = False
                listen(
                    events.Retrying(
                        number=job.number,
                        code=failure.code,
                        message=failure.message,
                        wait=wait,
                    )
                )
            watch.wait(wait)
            number += 1
    except Cancelled as stopped:
        if not watch.timed_out:
            raise
        may_be_billed = may_cost and in_flight
        raise _out_of_time(job, watch, may_be_billed=may_be_billed) from stopped
    finally:
        call_off()


def _out_of_time(job: ImageJob, watch: JobWatch, *, may_be_billed: bool) -> ImagenError:
    what = f"No image after {job.timeout * job.count:g} seconds, so it was cancelled"
    if may_be_billed:
        taken = f"; the backend calls it {watch.reference}" if watch.reference else ""
        return Unfinished(
            f"{what}{taken}.",
            hint="It may have been billed, so it is not repeated by itself.",
        )
    return TimedOut(f"{what}.", hint="Give it longer with --timeout.")
