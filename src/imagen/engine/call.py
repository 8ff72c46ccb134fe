"""Run prepared calls: attempt, store the result, record how the call ended."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import msgspec

from imagen.domain import events
from imagen.domain.call import Received, classify_failure
from imagen.domain.errors import Cancelled, ImagenError
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import describe_final_cost
from imagen.domain.result import FailedImage, StoredImage
from imagen.engine.attempt import RetryPolicy, attempt
from imagen.engine.cancellation import Cancellation
from imagen.engine.cost import look_up_cost
from imagen.engine.job_context import RunningJobContext
from imagen.engine.persist import PersistImages
from imagen.engine.recorder import CallRecorder
from imagen.engine.thread_pool import run_tasks
from imagen.ports.backend import ImageBackend, LookupBackend, ResumableBackend
from imagen.ports.clock import Clock


class PreparedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded call, ready to be made. Errors become failed images."""

    backend: ImageBackend
    persist: PersistImages
    clock: Clock
    retry: RetryPolicy = RetryPolicy()
    listen: events.Listener = events.ignore_event
    job: ImageJob
    record: CallRecorder
    context: RunningJobContext

    def run(self) -> list[StoredImage | FailedImage]:
        """Make the call and store its images."""
        started, record = self.clock.monotonic(), self.record
        try:
            self.context.sleep(0)
            self.listen(events.Started(number=self.job.number))
            generated = attempt(
                self.backend,
                self.job,
                context=self.context,
                clock=self.clock,
                listen=self.listen,
                retry=self.retry,
                may_cost=record.call.may_cost,
            )
            received = Received(
                generated=generated,
                at=self.clock.now(),
                latency_ms=self._milliseconds_since(started),
            )
            record.mark_received(received)
        except BaseException as error:  # noqa: BLE001 - a failed call does not stop others
            self._end(error, started)
            return [self.persist.fail(one, error) for one in record.call.numbers]
        try:
            received = look_up_cost(
                received,
                call=record.call,
                backend_of=lambda: self.backend,
                context=self.context,
                clock=self.clock,
            )
            return self.persist.run(record, received)
        except BaseException as error:  # noqa: BLE001 - the result is invalid
            record.leave_open(f"{type(error).__name__}: {error}")
            return [self.persist.fail(one, error) for one in record.call.numbers]

    def fail_unanswered(self, number: int) -> FailedImage:
        """Return the failure of an image whose cancelled call did not end in time."""
        error = Cancelled("Cancelled; the backend did not respond in time.")
        if self.context.sent:
            _extend_hint(error, self.record.describe_open(findable=self._is_findable()))
        return self.persist.fail(number, error)

    def _end(self, error: BaseException, started: float) -> None:
        """Record the outcome of a failed call, and complete the hint of its error."""
        record, call = self.record, self.record.call
        fate = classify_failure(error, sent=self.context.sent)
        if fate == "open" and (call.may_cost or not isinstance(error, Cancelled)):
            record.leave_open(str(error))
            _extend_hint(error, record.describe_open(findable=self._is_findable()))
        elif fate == "free" or not call.may_cost:
            record.close(None)
        else:
            latency_ms = self._milliseconds_since(started)
            cost = record.close_failed(error, latency_ms=latency_ms)
            _extend_hint(error, describe_final_cost(cost, reserved=call.reserved))

    def _is_findable(self) -> bool:
        """Return whether the backend can look up the call later."""
        known = self.context.reference is not None
        return isinstance(self.backend, ResumableBackend) and (
            known or isinstance(self.backend, LookupBackend)
        )

    def _milliseconds_since(self, started: float) -> int:
        return round((self.clock.monotonic() - started) * 1000)


def run_calls(
    groups: Sequence[tuple[Sequence[PreparedCall], int]],
    *,
    cancellation: Cancellation,
    clock: Clock,
    inline: bool = False,
) -> Iterator[StoredImage | FailedImage]:
    """Make all calls, with a concurrency limit per group, and yield the results."""
    calls = [call for group, _ in groups for call in group]
    for call in calls:
        cancellation.on_cancel(call.context.stop)
    missing = {number: call for call in calls for number in call.record.call.numbers}
    tasks = [([call.run for call in group], limit) for group, limit in groups]
    with closing(
        run_tasks(tasks, cancellation=cancellation, clock=clock, inline=inline)
    ) as results:
        for images in results:
            for image in images:
                missing.pop(image.number, None)
            yield from images
    for number in sorted(missing):
        yield missing[number].fail_unanswered(number)


def _extend_hint(error: BaseException, sentence: str) -> None:
    if isinstance(error, ImagenError):
        error.hint = " ".join(filter(None, (error.hint, sentence)))
