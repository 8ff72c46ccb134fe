"""The part of `BackendContract` about models and about jobs of other processes."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from imagen.domain.errors import (
    BackendError,
    Cancelled,
    InvalidRequest,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.size import Size
from imagen.ports.backend import (
    CostBackend,
    ImageBackend,
    LookupBackend,
    PerModelBackend,
    ResumableBackend,
)
from imagen.testing.contracts.backend_images import (
    check_cost,
    describe,
    image_size,
    small_job,
)
from imagen.testing.contracts.backend_waiting import (
    CANCEL_TIMEOUT,
    LiveContext,
    StoppedCall,
    check_cancelled,
)
from imagen.testing.contracts.base import Contract, missing_fixture
from imagen.testing.contracts.promises import proves
from imagen.testing.fakes import RecordingContext

PAST = datetime(2000, 1, 1, tzinfo=UTC)
FUTURE = datetime(2999, 1, 1, tzinfo=UTC)


class LookupContract(Contract):
    """A part of `BackendContract`, which provides `backend`, `job` and the others."""

    @pytest.fixture
    def jobs_created(self, backend: ImageBackend) -> Callable[[], int]:
        """A function that counts the jobs that the vendor of `backend` accepted."""
        missing_fixture(
            "jobs_created",
            backend,
            "a lookup must not pay for a new job. Override it and return a function "
            "that counts the submitted jobs.",
        )

    @pytest.fixture
    def unknown_model(self) -> str:
        """A valid name of a model that does not exist."""
        return "no-owner/no-model-4711"

    @pytest.fixture
    def unknown_reference(self) -> str:
        """A valid reference of a remote job that does not exist."""
        return "nothing4711"

    @proves("capabilities_of: Return", "capabilities_of: The result")
    def test_says_the_same_of_a_model_every_time(self, backend: ImageBackend) -> None:
        """The capabilities of a model are equal at each call."""
        per_model = _per_model(backend)
        first = per_model.capabilities_of("", RecordingContext())

        assert per_model.capabilities_of("", RecordingContext()) == first

    @proves("capabilities_of: The result")
    def test_keeps_what_it_says_of_a_model(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """A job within the capabilities of a model succeeds, at its size."""
        capabilities = _per_model(backend).capabilities_of("", RecordingContext())
        small = msgspec.structs.replace(
            job,
            size=capabilities.sizes.nearest(Size(64, 64)),
            seed=capabilities.largest_seed,
            steps=4 if capabilities.steps else None,
        )

        generated = backend.generate(small, RecordingContext())

        sizes = {image_size(image.content) for image in generated.images}
        assert sizes <= {small.size.sides, None}

    @proves("capabilities_of: May use")
    def test_looks_a_model_up_at_no_cost(
        self, backend: ImageBackend, request: pytest.FixtureRequest
    ) -> None:
        """`capabilities_of` creates no job."""
        per_model = _per_model(backend)
        count: Callable[[], int] = request.getfixturevalue("jobs_created")
        context = RecordingContext()
        per_model.capabilities_of("", context)

        assert context.references == []
        assert count() == 0, "`capabilities_of` submitted a job"

    @proves("capabilities_of: InvalidRequest")
    def test_refuses_to_look_up_what_there_is_not(
        self, backend: ImageBackend, unknown_model: str
    ) -> None:
        """`capabilities_of` an unknown model is an InvalidRequest."""
        with pytest.raises(InvalidRequest):
            _per_model(backend).capabilities_of(unknown_model, RecordingContext())

    @proves("capabilities_of: Cancelled")
    def test_stops_looking_up_when_cancelled(self, backend: ImageBackend) -> None:
        """`capabilities_of` lets Cancelled pass through from the context."""
        per_model = _per_model(backend)

        check_cancelled(lambda context: per_model.capabilities_of("", context))

    @proves("resume: Wait", "resume: Returns")
    def test_returns_an_old_job_as_it_was(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """`resume` returns what `generate` returned in another process."""
        resumable, context = _resumable(backend), RecordingContext()
        generated = backend.generate(job, context)

        resumed = resumable.resume(job, context.references[0], RecordingContext())

        assert describe(resumed)[:2] == describe(generated)[:2]
        assert (resumed.cost, resumed.used) == (generated.cost, generated.used)

    @proves("resume: Submits")
    def test_resumes_any_number_of_times_at_no_cost(
        self, backend: ImageBackend, job: ImageJob, request: pytest.FixtureRequest
    ) -> None:
        """`resume` creates no job, however often it is called."""
        resumable, context = _resumable(backend), RecordingContext()
        count: Callable[[], int] = request.getfixturevalue("jobs_created")
        backend.generate(job, context)
        before = count()

        for _ in range(2):
            resumable.resume(job, context.references[0], RecordingContext())

        assert count() == before, "`resume` submitted a job and so paid again"

    @proves("resume: Unfinished")
    def test_says_that_an_old_job_is_gone(
        self, backend: ImageBackend, job: ImageJob, unknown_reference: str
    ) -> None:
        """An unknown job is a BackendError, or Unfinished if it may exist elsewhere."""
        # BackendError closes the call for good. An adapter that may be asking the wrong
        # account raises Unfinished, so that a paid image can still be fetched.
        with pytest.raises((BackendError, Unfinished)):
            _resumable(backend).resume(job, unknown_reference, RecordingContext())

    @proves("resume: Cancelling")
    def test_stops_resuming_when_cancelled(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """`resume` lets Cancelled pass through from the context."""
        resumable, submitting = _resumable(backend), RecordingContext()
        backend.generate(job, submitting)
        reference = submitting.references[0]

        check_cancelled(lambda context: resumable.resume(job, reference, context))

    @pytest.fixture
    def stopped_resume(
        self, slow_backend: ImageBackend, cancelled_remotely: Callable[[], bool]
    ) -> StoppedCall:
        """A `resume` of a job of `slow_backend` that was cancelled."""
        job, resumable = small_job(slow_backend), _resumable(slow_backend)
        submitting, resuming = LiveContext(), LiveContext()
        first = submitting.start(lambda context: slow_backend.generate(job, context))
        if not submitting.has_reference.wait(CANCEL_TIMEOUT):
            pytest.fail("the vendor accepted the job, but no reference was reported")
        reference = submitting.references[0]
        second = resuming.start(
            lambda context: resumable.resume(job, reference, context)
        )
        resuming.has_begun.wait(CANCEL_TIMEOUT)
        began = time.perf_counter()
        resuming.stop()
        second.join(CANCEL_TIMEOUT)
        stopped = StoppedCall(
            outcome=second.outcome,
            seconds=time.perf_counter() - began,
            # Read before the first call is cancelled, which would cancel the job, too.
            cancelled=cancelled_remotely(),
        )
        submitting.stop()
        first.join(0.1)
        return stopped

    @proves("resume: Cancelling")
    def test_cancels_an_old_job(
        self, backend: ImageBackend, stopped_resume: StoppedCall
    ) -> None:
        """Cancelling `resume` cancels the remote job and returns within 2 s."""
        _resumable(backend)

        assert issubclass(type(stopped_resume.outcome), Cancelled)
        assert stopped_resume.cancelled, "`resume` did not cancel the remote job"

    @proves("find: Return", "find: The oldest")
    def test_finds_the_jobs_that_it_took(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """`find` returns the references of all equal jobs, the oldest first."""
        # Each of several calls whose responses were lost gets one of them.
        lookup, context = _lookup(backend), RecordingContext()
        for _ in range(2):
            backend.generate(job, context)

        found = lookup.find(job, since=PAST, context=RecordingContext())

        assert found == tuple(context.references)

    @proves("find: Return")
    def test_finds_no_other_jobs(self, backend: ImageBackend, job: ImageJob) -> None:
        """`find` does not return a job that differs in one character."""
        lookup = _lookup(backend)
        backend.generate(job, RecordingContext())
        other = msgspec.structs.replace(job, prompt=f"{job.prompt}!")

        assert lookup.find(other, since=PAST, context=RecordingContext()) == ()

    @proves("find: Return")
    def test_finds_no_jobs_from_before(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """`find` does not return a job from before `since`."""
        lookup = _lookup(backend)
        backend.generate(job, RecordingContext())

        assert lookup.find(job, since=FUTURE, context=RecordingContext()) == ()

    @proves("find: Submits")
    def test_searches_at_no_cost(
        self, backend: ImageBackend, job: ImageJob, request: pytest.FixtureRequest
    ) -> None:
        """`find` creates no job."""
        lookup = _lookup(backend)
        count: Callable[[], int] = request.getfixturevalue("jobs_created")
        lookup.find(job, since=PAST, context=RecordingContext())

        assert count() == 0, "`find` submitted a job"

    @proves("find: Cancelled")
    def test_stops_searching_when_cancelled(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """`find` lets Cancelled pass through from the context."""
        lookup = _lookup(backend)

        check_cancelled(lambda context: lookup.find(job, since=PAST, context=context))

    @proves("look_up_cost: Return")
    def test_states_the_cost_of_a_job(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """A cost that is looked up is that of the result, if that has one."""
        asked, context = _cost(backend), RecordingContext()
        generated = backend.generate(job, context)

        found = asked.look_up_cost(context.references[0], RecordingContext())

        check_cost(found)
        known = {found.micros, generated.cost.micros} - {None}
        assert len(known) <= 1, "two figures for one job"

    @proves("look_up_cost: Submits")
    def test_looks_the_cost_up_at_no_cost(
        self, backend: ImageBackend, job: ImageJob, request: pytest.FixtureRequest
    ) -> None:
        """`look_up_cost` creates no job, and says the same every time."""
        asked, context = _cost(backend), RecordingContext()
        count: Callable[[], int] = request.getfixturevalue("jobs_created")
        backend.generate(job, context)
        before, asking = count(), RecordingContext()

        first, second = (
            asked.look_up_cost(context.references[0], asking) for _ in range(2)
        )

        assert first == second
        assert asking.references == []
        assert count() == before, "`look_up_cost` submitted a job"

    @proves("look_up_cost: Cancelled")
    def test_stops_looking_the_cost_up_when_cancelled(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """`look_up_cost` lets Cancelled pass through from the context."""
        asked, context = _cost(backend), RecordingContext()
        backend.generate(job, context)
        reference = context.references[0]

        check_cancelled(lambda asking: asked.look_up_cost(reference, asking))


def _per_model(backend: ImageBackend) -> PerModelBackend:
    if not isinstance(backend, PerModelBackend):
        pytest.skip("the backend has no `capabilities_of`")
    return backend


def _resumable(backend: ImageBackend) -> ResumableBackend:
    if not isinstance(backend, ResumableBackend):
        pytest.skip("the backend has no `resume`")
    return backend


def _lookup(backend: ImageBackend) -> LookupBackend:
    if not isinstance(backend, LookupBackend):
        pytest.skip("the backend has no `find`")
    return backend


def _cost(backend: ImageBackend) -> CostBackend:
    if not isinstance(backend, CostBackend):
        pytest.skip("the backend has no `look_up_cost`")
    return backend
