"""Finish open calls: download the images of remote jobs, and store them."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import TypeAlias

import msgspec

from imagen.domain import events
from imagen.domain.call import Call, ClaimedCall, OpenCall, OutputTarget, Received
from imagen.domain.errors import Cancelled, ImagenError, JournalError, Unfinished
from imagen.domain.instance import Instance
from imagen.domain.money.cost import describe_open_cost
from imagen.domain.result import FailedImage, StoredImage
from imagen.engine.attempt import RetryPolicy, find_lost_job, latest_creation
from imagen.engine.cancellation import Cancellation
from imagen.engine.cost import look_up_cost
from imagen.engine.job_context import RunningJobContext
from imagen.engine.persist import PersistImages
from imagen.engine.recorder import CallRecorder, Recorder
from imagen.engine.store import StoreImage
from imagen.engine.thread_pool import run_tasks
from imagen.ports.backend import ImageBackend, ResumableBackend
from imagen.ports.clock import Clock
from imagen.ports.journal import Journal

LOOKUPS_AT_ONCE = 8
"""How many lost jobs are looked up at the same time: one that the vendor does not list
takes more than seven seconds."""


class ResumeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of resuming one open call.

    Attributes:
        live: Whether another process works on it.
        note: A remark for the user, in a sentence.
        error: Why the call is still open, or has failed.
    """

    call_id: str
    closed: bool
    live: bool = False
    stored: tuple[StoredImage, ...] = ()
    failed: tuple[FailedImage, ...] = ()
    note: str = ""
    error: BaseException | None = None

    @property
    def is_complete(self) -> bool:
        """True if the call is closed and all its images are stored."""
        return self.closed and not self.failed and self.error is None


Task: TypeAlias = Callable[[], ResumeResult | None]


class ResumeCalls(msgspec.Struct, frozen=True, kw_only=True):
    """Finishes open calls, at no cost.

    Never submits a job: if it is unknown whether the backend accepted a call, the
    remote job is looked up. Several processes may do this at the same time.

    Attributes:
        backend_of: Builds the backend of an instance; raises if the config has none.
    """

    journal: Journal
    records: Recorder
    backend_of: Callable[[Instance], ImageBackend]
    store_of: Callable[[OutputTarget], StoreImage]
    clock: Clock
    retry: RetryPolicy = RetryPolicy()
    listen: events.Listener = events.ignore_event

    def outcomes(
        self, calls: Sequence[OpenCall], cancellation: Cancellation
    ) -> Generator[ResumeResult]:
        """Finish the calls, and yield each result.

        Jobs whose id is known are fetched one after the other, so that a cancellation
        cancels one of them. A call that fails does not stop the others. After a
        cancellation, calls that were not started yield nothing.
        """
        known, lost = list[Task](), list[Task]()
        for call in calls:
            tasks = lost if call.state == "sent" and not call.reference else known
            tasks.append(partial(self._try_run, call, cancellation))
        groups = [(known, 1), (lost, LOOKUPS_AT_ONCE)]
        with closing(
            run_tasks(groups, cancellation=cancellation, clock=self.clock)
        ) as results:
            for result in results:
                if result is not None:
                    yield result
        self.listen(events.Finished())

    def run(self, open_call: OpenCall, *, cancellation: Cancellation) -> ResumeResult:
        """Finish one call, as far as that is possible at the moment."""
        call = open_call.call
        claim = self.journal.claim(call.id)
        if claim is None:
            return self._describe_unclaimed(call)
        record = CallRecorder(recorder=self.records, call=call, is_recorded=True)
        try:
            return self._finish(claim, record, cancellation)
        except ImagenError as error:
            if isinstance(error, JournalError):
                raise
            return self._handle_failure(error, record)
        except BaseException as error:
            # Otherwise no process could claim the call before this process ends.
            record.leave_open(f"{type(error).__name__}: {error}")
            raise

    def _try_run(
        self, call: OpenCall, cancellation: Cancellation
    ) -> ResumeResult | None:
        if cancellation.event.is_set():
            return None
        try:
            return self.run(call, cancellation=cancellation)
        except Exception as error:  # noqa: BLE001 - one call must not stop the others
            return ResumeResult(call_id=call.call.id, closed=False, error=error)

    def _describe_unclaimed(self, call: Call) -> ResumeResult:
        """Return the result of a call that this process could not claim."""
        if not self._is_open(call):
            return ResumeResult(
                call_id=call.id, closed=True, note="It was closed in the meantime."
            )
        note = "Another process is working on it."
        return ResumeResult(call_id=call.id, closed=False, live=True, note=note)

    def _finish(
        self, claim: ClaimedCall, record: CallRecorder, cancellation: Cancellation
    ) -> ResumeResult:
        call, state = record.call, claim.open.state
        if state == "planned":
            record.close(None)
            return ResumeResult(call_id=call.id, closed=True, note="It was never sent.")
        context = RunningJobContext(
            number=call.job.number,
            clock=self.clock,
            listen=self.listen,
            record=record,
            reference=claim.open.reference or None,
        )
        cancellation.on_cancel(context.stop)
        received = claim.received
        if received is None or received.generated.delayed:
            received = self._receive(claim, context)
            record.mark_received(received)
        received = look_up_cost(
            received,
            call=call,
            backend_of=partial(self.backend_of, call.plan.instance),
            context=context,
            clock=self.clock,
        )
        persist = PersistImages(
            store=self.store_of(call.target),
            records=self.records,
            listen=self.listen,
            again=True,
        )
        outcomes = persist.run(record, received)
        # If the journal cannot be read, the images are stored all the same, and that
        # has to be reported.
        is_closed = False
        with suppress(JournalError):
            is_closed = not self._is_open(call)
        return ResumeResult(
            call_id=call.id,
            closed=is_closed,
            stored=tuple(each for each in outcomes if isinstance(each, StoredImage)),
            failed=tuple(each for each in outcomes if isinstance(each, FailedImage)),
        )

    def _receive(self, claim: ClaimedCall, context: RunningJobContext) -> Received:
        """Return what has arrived so far, with what can be fetched now.

        Raises:
            ImagenError: nothing has arrived, and nothing can be fetched.
        """
        earlier = claim.received
        try:
            fetched = self._fetch(claim, context)
        except ImagenError as error:
            if earlier is None or isinstance(error, JournalError):
                raise
            return earlier.without_rest(error.message, final=_has_ended(error))
        return fetched if earlier is None else earlier.completed_by(fetched.generated)

    def _fetch(self, claim: ClaimedCall, context: RunningJobContext) -> Received:
        call, name = claim.open.call, claim.open.call.plan.instance.name
        backend = self.backend_of(call.plan.instance)
        if not isinstance(backend, ResumableBackend):
            raise Unfinished(f"{name} cannot look up a job that was submitted earlier.")
        self.listen(events.Started(number=call.job.number))
        sent_at, now = claim.open.sent_at, self.clock.now()
        reference = context.reference or find_lost_job(
            backend,
            call.job,
            since=sent_at or call.created_at,
            until=sent_at and latest_creation(call.job, sent_at=sent_at, now=now),
            context=context,
        )
        if not reference:
            consequence = "it is not submitted again automatically"
            cost = describe_open_cost(call.reserved, consequence=consequence)
            raise Unfinished(
                f"{name} has no job that certainly belongs to this call.",
                hint=cost if call.may_cost else "",
            )
        attempt = 1
        while True:
            try:
                generated = backend.resume(call.job, reference, context)
                break
            except ImagenError as failure:
                wait = self.retry.wait_after(failure, attempt=attempt)
                if wait is None:
                    raise
            context.sleep(wait)
            attempt += 1
        now = self.clock.now()
        elapsed_ms = round((now - call.created_at).total_seconds() * 1000)
        return Received(
            generated=generated, at=now, latency_ms=max(0, elapsed_ms), observed=False
        )

    def _handle_failure(self, error: ImagenError, record: CallRecorder) -> ResumeResult:
        """Close a call that has certainly failed; leave any other call open."""
        call = record.call
        self.listen(
            events.Failed(
                number=call.job.number, code=error.code, message=error.message
            )
        )
        if not _has_ended(error):
            record.leave_open(error.message)
            return ResumeResult(call_id=call.id, closed=False, error=error)
        record.close_failed(error, latency_ms=None)
        return ResumeResult(call_id=call.id, closed=True, error=error)

    def _is_open(self, call: Call) -> bool:
        return call.id in {each.call.id for each in self.journal.list_open()}


def _has_ended(error: ImagenError) -> bool:
    """Return whether the error says that the remote job has ended."""
    if isinstance(error, Cancelled):
        return error.settled
    # Only an error that may have cost money says so. Any other error, such as an
    # outage, leaves that unknown.
    return error.may_have_cost and not isinstance(error, Unfinished)
