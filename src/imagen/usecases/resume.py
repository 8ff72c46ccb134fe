"""Finish what another process began: ask the backend for the job, and store it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial

import msgspec

from imagen.domain import events
from imagen.domain.call import (
    Call,
    ClaimedCall,
    OpenCall,
    OutputTarget,
    Received,
    usage_row,
)
from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    JournalError,
    Unfinished,
)
from imagen.domain.instance import Instance
from imagen.domain.money.budget import format_micros
from imagen.domain.money.cost import Cost
from imagen.domain.money.price import calculate_cost
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.retry import RetryPolicy
from imagen.engine.cancellation import Cancellation
from imagen.engine.job_context import RunningJobContext
from imagen.engine.lookup import find_lost_job
from imagen.engine.persist import PersistImages
from imagen.engine.recorder import CallRecorder, Recorder
from imagen.engine.store import StoreImage
from imagen.engine.thread_pool import run_tasks
from imagen.ports.backend import ImageBackend, ResumableBackend
from imagen.ports.clock import Clock
from imagen.ports.journal import Journal


class ResumeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one open call.

    Attributes:
        call_id: Which one.
        over: Whether it is over now.
        live: Whether another process works on it.
        stored: Its images that are stored now.
        failed: Those that are not, and why.
        note: What there is to say besides, in a sentence.
        error: Why it is still open, or failed for good.
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
        """Whether it is over, and nothing of it is missing."""
        return self.closed and not self.failed and self.error is None


class ResumeCalls(msgspec.Struct, frozen=True, kw_only=True):
    """Finishes open calls; safe at any time, twice, and by two at once.

    Sends nothing that could cost anything: a call whose fate is unknown is looked up.

    Attributes:
        journal: What knows them.
        records: What is written down of them.
        backend_of: Builds the backend of that instance; raises if the config has none.
        store_of: What puts images into such a place.
        clock: The time.
        retry: When to ask again.
        listen: Hears what happens.
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
    ) -> Iterator[ResumeResult]:
        """Finish the calls, one after the other, and yield what becomes of each.

        One that fails does not keep the others from being finished. After a
        cancellation those that were not begun stay as they are, and yield nothing.
        """
        tasks = [partial(self._resume_one, call, cancellation) for call in calls]
        ended = run_tasks(tasks, at_once=1, cancellation=cancellation, clock=self.clock)
        with closing(ended):
            for resumed in ended:
                if resumed is not None:
                    yield resumed
        self.listen(events.Finished())

    def run(self, open_call: OpenCall, *, cancellation: Cancellation) -> ResumeResult:
        """Finish one call, as far as that is possible now.

        Raises:
            JournalError: the journal cannot be read or written.
        """
        call = open_call.call
        claim = self.journal.claim(call.id)
        if claim is None:
            return self._describe_unclaimed(call)
        record = CallRecorder(self.records, call, recorded=True)
        try:
            return self._finish(claim, record, cancellation)
        except ImagenError as error:
            if isinstance(error, JournalError):
                raise
            return self._handle_failure(error, record)
        except BaseException as error:
            record.leave_open(f"{type(error).__name__}: {error}")
            raise

    def _resume_one(
        self, call: OpenCall, cancellation: Cancellation
    ) -> ResumeResult | None:
        if cancellation.event.is_set():
            return None
        try:
            return self.run(call, cancellation=cancellation)
        except Exception as error:  # noqa: BLE001 - one call takes no other along
            return ResumeResult(call_id=call.call.id, closed=False, error=error)

    def _describe_unclaimed(self, call: Call) -> ResumeResult:
        """Somebody else works on it, or it is over by now."""
        still = {each.call.id for each in self.journal.list_open()}
        if call.id not in still:
            return ResumeResult(call_id=call.id, closed=True, note="It is over by now.")
        working = "Another process works on it."
        return ResumeResult(call_id=call.id, closed=False, live=True, note=working)

    def _finish(
        self, claim: ClaimedCall, record: CallRecorder, cancellation: Cancellation
    ) -> ResumeResult:
        call, state = record.call, claim.open.state
        if state == "planned":
            record.close(None)
            return ResumeResult(call_id=call.id, closed=True, note="It was never sent.")
        received = claim.received
        if received is None:
            received = self._fetch(claim, record, cancellation)
            record.mark_received(received)
        keep = PersistImages(
            store=self.store_of(call.target),
            records=self.records,
            listen=self.listen,
            again=True,
        )
        outcomes = keep.run(record, received)
        failed = tuple(each for each in outcomes if isinstance(each, FailedImage))
        return ResumeResult(
            call_id=call.id,
            closed=self._is_over(call),
            stored=tuple(each for each in outcomes if isinstance(each, StoredImage)),
            failed=failed,
        )

    def _fetch(
        self, claim: ClaimedCall, record: CallRecorder, cancellation: Cancellation
    ) -> Received:
        call, name = record.call, record.call.plan.instance.name
        backend = self.backend_of(call.plan.instance)
        if not isinstance(backend, ResumableBackend):
            raise Unfinished(f"{name} cannot be asked for a job that was handed in.")
        context = RunningJobContext(
            number=call.job.number, clock=self.clock, listen=self.listen, record=record
        )
        cancellation.on_cancel(context.stop)
        self.listen(events.Started(number=call.job.number))
        reference = claim.open.reference or find_lost_job(
            backend, call.job, since=call.created_at, context=context
        )
        if not reference:
            raise Unfinished(
                f"{name} knows of no job that is certainly this one.", hint=_bill(call)
            )
        attempt = 1
        while True:
            try:
                generated = backend.resume(call.job, reference, context)
            except ImagenError as failure:
                wait = self.retry.wait_after(failure, attempt=attempt)
                if wait is None:
                    raise
                context.sleep(wait)
                attempt += 1
            else:
                break
        now = self.clock.now()
        took = round((now - call.created_at).total_seconds() * 1000)
        return Received(
            generated=generated, at=now, latency_ms=max(0, took), observed=False
        )

    def _handle_failure(self, error: ImagenError, record: CallRecorder) -> ResumeResult:
        """Close a call that failed for good, and leave every other one open."""
        call = record.call
        self.listen(
            events.Failed(
                number=call.job.number, code=error.code, message=error.message
            )
        )
        settled = isinstance(error, Cancelled) and error.settled
        good = error.may_have_cost and not isinstance(error, (Cancelled, Unfinished))
        if not (settled or good):
            record.leave_open(error.message)
            return ResumeResult(call_id=call.id, closed=False, error=error)
        cost = (
            Cost()
            if error.used is None
            else calculate_cost(call.plan.price, error.used)
        )
        record.close(
            usage_row(
                call,
                status="cancelled" if settled else "failed",
                cost=cost,
                latency_ms=None,
            )
        )
        return ResumeResult(call_id=call.id, closed=True, error=error)

    def _is_over(self, call: Call) -> bool:
        try:
            there = self.journal.list_open()
        except JournalError:
            return False  # its images are stored, and that is to be said all the same
        return call.id not in {each.call.id for each in there}


def _bill(call: Call) -> str:
    if not call.may_cost:
        return ""
    amount = "" if call.reserved is None else f", with {format_micros(call.reserved)}"
    return f"It may have been billed{amount}; it is not sent again by itself."
