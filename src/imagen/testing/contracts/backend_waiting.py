"""The part of `BackendContract` about progress, waiting, cancellation and threads."""

import math
import time
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from threading import Event

import msgspec
import pytest

from imagen.domain.errors import Cancelled
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.ports.backend import ImageBackend
from imagen.ports.job_context import JobContext
from imagen.testing.contracts.backend_images import (
    describe,
    different_jobs,
    full_job,
    small_job,
)
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import (
    CROWD,
    ObservedThread,
    observe_thread,
    outcome_of,
    run_at_once,
)
from imagen.testing.contracts.promises import proves
from imagen.testing.fakes import CancelledContext, RecordingContext, StoppableContext

CANCEL_TIMEOUT = 2.0
"""Seconds in which a cancelled call must end."""

MAX_POLL_INTERVAL = 10.0
"""Seconds between two status requests of a backend, at most."""


class WaitingContract(Contract):
    """A part of `BackendContract`, which provides the fixtures."""

    @proves("generate: Reports fractions")
    def test_reports_fractions_only(self, backend: ImageBackend, job: ImageJob) -> None:
        """Progress is a fraction from 0 to 1, or None; steps are at least 1."""
        context = RecordingContext()
        backend.generate(job, context)

        known = [fraction for fraction in context.fractions if fraction is not None]
        assert [fraction for fraction in known if not 0 <= fraction <= 1] == []
        assert [
            steps for steps in context.steps if steps is not None and steps < 1
        ] == []

    @proves(
        "generate: Reports fractions", cause="several passes that each count from 0"
    )
    def test_reports_no_step_back(self, backend: ImageBackend, job: ImageJob) -> None:
        """The progress of one job never decreases."""
        # A backend with several passes tends to count each pass from 0.
        context = RecordingContext()
        backend.generate(job, context)

        known = [fraction for fraction in context.fractions if fraction is not None]
        assert not any(after < before for before, after in pairwise(known)), (
            f"the reported progress decreased: {known}"
        )

    @proves("generate: Reports the id")
    def test_calls_the_remote_job_by_one_name(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """At most one reference is reported for a job, and never an empty one."""
        # The journal stores the reference, with which `imagen resume` finds the job.
        context = RecordingContext()
        backend.generate(job, context)

        assert "" not in context.references
        assert len(set(context.references)) <= 1

    @proves("generate: Waits", cause="`time.sleep`")
    def test_waits_only_through_the_context(
        self, backend: ImageBackend, job: ImageJob, patience: float
    ) -> None:
        """Waiting goes through `context.sleep`, for a finite number of seconds."""
        context = RecordingContext()
        began = time.perf_counter()
        with observe_thread() as activity:
            backend.generate(job, context)

        assert activity.sleeps == [], "use `context.sleep`, which can be cancelled"
        assert time.perf_counter() - began < patience, (
            "the job took real time; wait with `context.sleep`, or override `patience`"
        )
        assert [
            seconds for seconds in context.waits if not 0 <= seconds < math.inf
        ] == []

    @proves("generate: Cancelled")
    def test_stops_when_a_wait_is_cancelled(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """Cancelled passes through from the context, and no other error is raised."""
        outcome = check_cancelled(lambda context: backend.generate(job, context))

        assert isinstance(outcome, (Cancelled, Generated))

    @pytest.fixture
    def stopped_job(self, slow_backend: ImageBackend) -> "StoppedCall":
        """A job of `slow_backend` that was cancelled."""
        return _cancel_running_job(slow_backend)

    @proves("generate: On cancellation", cause="a request that blocks the thread")
    def test_stops_while_the_vendor_is_silent(self, stopped_job: "StoppedCall") -> None:
        """A job stops within 2 s of cancellation, even if the vendor is silent."""
        assert issubclass(type(stopped_job.outcome), Cancelled)
        assert stopped_job.seconds < CANCEL_TIMEOUT, (
            "limit each read to a second, or interrupt it with `context.on_cancel`"
        )

    @proves("generate: On cancellation")
    def test_cancels_the_remote_job(
        self, stopped_job: "StoppedCall", cancelled_remotely: Callable[[], bool]
    ) -> None:
        """The remote job is cancelled before `generate` ends."""
        assert cancelled_remotely(), (
            "the vendor received no cancel request, so the job may still cost money"
        )

    @proves("ImageBackend: An instance")
    def test_keeps_nothing_from_one_job_to_the_next(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """The same job has the same result after another job."""
        # The server uses one instance for all its requests.
        other = full_job(backend)
        first = describe(backend.generate(job, RecordingContext()))
        backend.generate(other, RecordingContext())

        assert describe(backend.generate(job, RecordingContext())) == first, (
            "a job changed the result of the next one; keep no state in the instance"
        )

    @proves("generate: Must not")
    def test_leaves_the_job_as_it_was(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """The job is not modified, so that it can be retried."""
        before = deepcopy(job)
        backend.generate(job, RecordingContext())

        assert job == before

    @proves("ImageBackend: An instance")
    def test_works_for_several_threads_at_once(self, backend: ImageBackend) -> None:
        """One instance is used from several threads, and each gets its own result."""
        # The images of one request are generated in parallel on one instance.
        jobs = different_jobs(backend, CROWD)
        alone = [describe(backend.generate(job, RecordingContext())) for job in jobs]

        together = run_at_once(
            lambda number: describe(backend.generate(jobs[number], _YieldingContext()))
        )

        assert together == alone, (
            "jobs in several threads mixed up; keep no state in the instance"
        )


def check_cancelled(call: Callable[[JobContext], object]) -> object:
    """Make a call of which every wait is cancelled; return its outcome."""
    context = CancelledContext()
    outcome = outcome_of(lambda: call(context))

    assert isinstance(outcome, Cancelled) or not context.waits, (
        "the backend caught Cancelled; cancel the remote job and raise it again"
    )
    return outcome


class _YieldingContext(RecordingContext):
    """A context that lets other threads run at each call, to provoke races."""

    def accepted(self, reference: str) -> None:
        _yield_thread()
        super().accepted(reference)

    def progress(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None:
        _yield_thread()
        super().progress(fraction, note, steps=steps)

    def sleep(self, seconds: float) -> None:
        _yield_thread()
        super().sleep(seconds)


def _yield_thread() -> None:
    Event().wait(0.002)


class LiveContext(StoppableContext):
    """The context of a job in a thread, which hurries from one poll to the next.

    Attributes:
        has_reference: Set once the job has reported its reference.
        has_begun: Set once the backend has reached the vendor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.has_reference = Event()
        self.has_begun = Event()

    def accepted(self, reference: str) -> None:
        super().accepted(reference)
        self.has_reference.set()
        self.has_begun.set()

    def sleep(self, seconds: float) -> None:
        # sleep(0) only checks for cancellation, and may come before the request.
        if seconds:
            self.has_begun.set()
        super().sleep(seconds if seconds > MAX_POLL_INTERVAL else 0.01)

    def on_cancel(self, close: Callable[[], None]) -> None:
        super().on_cancel(close)
        self.has_begun.set()

    def start(self, call: Callable[[JobContext], object]) -> ObservedThread:
        """Make the call in a thread."""
        worker = ObservedThread(lambda: call(self))
        worker.start()
        return worker


class StoppedCall(msgspec.Struct, kw_only=True):
    """A call that was cancelled.

    Attributes:
        outcome: The result, or the exception that was raised.
        seconds: How long the call went on.
        cancelled: Whether the vendor had received a cancel request when it ended.
    """

    outcome: object
    seconds: float
    cancelled: bool = False


def _cancel_running_job(backend: ImageBackend) -> StoppedCall:
    """Cancel a job that waits for a silent vendor."""
    context, job = LiveContext(), small_job(backend)
    worker = context.start(lambda context: backend.generate(job, context))
    # Not every vendor gives a job a reference, so the wait has a limit. After it, the
    # backend has reached a read that the vendor does not answer.
    context.has_reference.wait(0.3)
    worker.join(0.05)
    began = time.perf_counter()
    context.stop()
    worker.join(CANCEL_TIMEOUT)
    seconds = time.perf_counter() - began
    return StoppedCall(outcome=worker.outcome, seconds=seconds)
