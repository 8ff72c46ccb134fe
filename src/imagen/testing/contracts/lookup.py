"""The promises of backends that can be asked: about models, about jobs of others."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Thread
from typing import NoReturn, TypeVar

import msgspec
import pytest

from imagen.domain.errors import (
    BackendError,
    Cancelled,
    InvalidRequest,
    Unfinished,
)
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated
from imagen.domain.size import Size
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.backend import (
    ImageBackend,
    LookupBackend,
    PerModelBackend,
    ResumableBackend,
)
from imagen.testing.contracts.base import Contract
from imagen.testing.fakes import CancelledContext, RecordingContext, StoppableContext

Answer = TypeVar("Answer")

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
NOT_YET = datetime(2999, 1, 1, tzinfo=UTC)
SOON = 2.0
"""Seconds in which something that was cancelled ends."""


class LookupContract(Contract):
    """A part of `BackendContract`, which brings `backend`, `job` and the others."""

    @pytest.fixture
    def jobs_created(self, backend: ImageBackend) -> Callable[[], int]:
        """A way to count the jobs that the vendor of `backend` was given."""
        _uncounted(backend)

    @pytest.fixture
    def unknown_model(self) -> str:
        """A name that could be a model's, and is none."""
        return "nobody/nothing-4711"

    @pytest.fixture
    def unknown_reference(self) -> str:
        """A name that could be a remote job's, and is none."""
        return "nothing4711"

    # For those who look up what a model can do

    def test_says_the_same_of_a_model_every_time(self, backend: ImageBackend) -> None:
        """What it says of a model is the same every time."""
        varied = _varied(backend)
        first = varied.capabilities_of("", RecordingContext())

        assert varied.capabilities_of("", RecordingContext()) == first

    def test_keeps_what_it_says_of_a_model(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """What it says of a model holds for the next job."""
        can = _varied(backend).capabilities_of("", RecordingContext())
        small = msgspec.structs.replace(
            job,
            size=can.sizes.nearest(Size(64, 64)),
            seed=can.largest_seed,
            steps=4 if can.steps else None,
        )

        generated = backend.generate(small, RecordingContext())

        sizes = {_size_of(image.content) for image in generated.images}
        assert sizes <= {small.size.sides, None}

    def test_looks_a_model_up_at_no_cost(
        self, backend: ImageBackend, request: pytest.FixtureRequest
    ) -> None:
        """To look up what a model can do creates nothing."""
        varied = _varied(backend)
        count: Callable[[], int] = request.getfixturevalue("jobs_created")
        context = RecordingContext()
        varied.capabilities_of("", context)

        assert context.references == []
        assert count() == 0

    def test_refuses_to_look_up_what_there_is_not(
        self, backend: ImageBackend, unknown_model: str
    ) -> None:
        """A model that there is not is an InvalidRequest."""
        with pytest.raises(InvalidRequest):
            _varied(backend).capabilities_of(unknown_model, RecordingContext())

    def test_stops_looking_up_when_cancelled(self, backend: ImageBackend) -> None:
        """Cancelled passes through a look at a model from the context."""
        context = CancelledContext()
        outcome = _outcome_of(lambda: _varied(backend).capabilities_of("", context))

        assert isinstance(outcome, Cancelled) or not context.waits

    # For those who can be asked for a job that another process handed in

    def test_returns_an_old_job_as_it_was(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """An old job brings what it would have brought whoever handed it in."""
        resumable, context = _resumable(backend), RecordingContext()
        generated = backend.generate(job, context)

        resumed = resumable.resume(job, context.references[0], RecordingContext())

        assert _described(resumed) == _described(generated)

    def test_resumes_any_number_of_times_at_no_cost(
        self, backend: ImageBackend, job: ImageJob, request: pytest.FixtureRequest
    ) -> None:
        """To ask for an old job creates nothing, however often."""
        resumable, context = _resumable(backend), RecordingContext()
        count: Callable[[], int] = request.getfixturevalue("jobs_created")
        backend.generate(job, context)
        before = count()

        for _ in range(2):
            resumable.resume(job, context.references[0], RecordingContext())

        assert count() == before

    def test_says_that_an_old_job_is_gone(
        self, backend: ImageBackend, job: ImageJob, unknown_reference: str
    ) -> None:
        """An old job that is gone is a BackendError, or Unfinished if it may not be."""
        with pytest.raises((BackendError, Unfinished)):
            _resumable(backend).resume(job, unknown_reference, RecordingContext())

    def test_stops_resuming_when_cancelled(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """Cancelled passes through the asking for an old job from the context."""
        resumable, context = _resumable(backend), RecordingContext()
        backend.generate(job, context)
        impatient = CancelledContext()
        outcome = _outcome_of(
            lambda: resumable.resume(job, context.references[0], impatient)
        )

        assert isinstance(outcome, Cancelled) or not impatient.waits

    def test_cancels_an_old_job(
        self,
        slow_backend: ImageBackend,
        cancelled_remotely: Callable[[], bool],
    ) -> None:
        """Whoever cancels the asking for an old job cancels the job, in 2 seconds."""
        job = _small_job(slow_backend)
        resumable, handed_in, context = _resumable(slow_backend), _Heard(), _Heard()
        first = _begun(lambda: slow_backend.generate(job, handed_in), handed_in)
        if not handed_in.references:
            pytest.fail("the vendor took the job, and nobody said what it is called")
        reference = handed_in.references[0]
        second = _begun(lambda: resumable.resume(job, reference, context), context)
        context.stop()
        second.join(SOON)
        cancelled = cancelled_remotely()
        handed_in.stop()
        first.join(0.1)

        assert isinstance(second.outcome, Cancelled), second.outcome
        assert cancelled

    # For those who can be asked whether they took a job

    def test_finds_the_jobs_that_it_took(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """It finds all jobs that are just like this one."""
        searchable, context = _searchable(backend), RecordingContext()
        for _ in range(2):
            backend.generate(job, context)

        found = searchable.find(job, since=LONG_AGO, context=RecordingContext())

        assert sorted(found) == sorted(context.references)

    def test_finds_no_other_jobs(self, backend: ImageBackend, job: ImageJob) -> None:
        """It finds no job that differs, if only in a word."""
        searchable = _searchable(backend)
        backend.generate(job, RecordingContext())
        other = msgspec.structs.replace(job, prompt=f"{job.prompt}!")

        assert searchable.find(other, since=LONG_AGO, context=RecordingContext()) == ()

    def test_finds_no_jobs_from_before(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """It finds no job from before the time that is named."""
        searchable = _searchable(backend)
        backend.generate(job, RecordingContext())

        assert searchable.find(job, since=NOT_YET, context=RecordingContext()) == ()

    def test_searches_at_no_cost(
        self, backend: ImageBackend, job: ImageJob, request: pytest.FixtureRequest
    ) -> None:
        """To search for a job creates nothing."""
        searchable = _searchable(backend)
        count: Callable[[], int] = request.getfixturevalue("jobs_created")
        searchable.find(job, since=LONG_AGO, context=RecordingContext())

        assert count() == 0

    def test_stops_searching_when_cancelled(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """Cancelled passes through a search from the context."""
        context = CancelledContext()
        outcome = _outcome_of(
            lambda: _searchable(backend).find(job, since=LONG_AGO, context=context)
        )

        assert isinstance(outcome, Cancelled) or not context.waits


def _uncounted(backend: ImageBackend) -> NoReturn:
    if backend.capabilities().may_cost:
        pytest.fail(
            "`jobs_created` is not staged, and this backend may cost money: without it"
            " nobody knows whether asking for an old job pays for a new one.",
            pytrace=False,
        )
    pytest.skip("no way to count the `jobs_created`")


def _varied(backend: ImageBackend) -> PerModelBackend:
    if not isinstance(backend, PerModelBackend):
        pytest.skip("it looks nothing up")
    return backend


def _resumable(backend: ImageBackend) -> ResumableBackend:
    if not isinstance(backend, ResumableBackend):
        pytest.skip("it cannot be asked for old jobs")
    return backend


def _searchable(backend: ImageBackend) -> LookupBackend:
    if not isinstance(backend, LookupBackend):
        pytest.skip("it cannot be asked whether it took a job")
    return backend


def _small_job(backend: ImageBackend) -> ImageJob:
    can = backend.capabilities()
    return ImageJob(
        number=1,
        prompt="a red square",
        size=can.sizes.nearest(Size(64, 64)),
        seed=1 if can.largest_seed else None,
        model=can.model,
        timeout=60,
    )


class _Heard(StoppableContext):
    """Knows when it was told something, or asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = Event()

    def accepted(self, reference: str) -> None:
        super().accepted(reference)
        self.heard.set()

    def sleep(self, seconds: float) -> None:
        if seconds:
            self.heard.set()
        super().sleep(seconds)

    def on_cancel(self, close: Callable[[], None]) -> None:
        self.heard.set()
        super().on_cancel(close)


class _Work(Thread):
    """A thread that keeps what came of its work; not waited for if it hangs."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.outcome: object = None
        self._work = work

    def run(self) -> None:
        self.outcome = _outcome_of(self._work)


def _begun(work: Callable[[], object], context: _Heard) -> _Work:
    """Return the work when it is under way."""
    begun = _Work(work)
    begun.start()
    context.heard.wait(SOON)
    return begun


def _outcome_of(work: Callable[[], Answer]) -> Answer | Exception:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever comes out is looked at
        return error


def _described(generated: Generated) -> object:
    images = [
        (image.media_type, _size_of(image.content), image.seed)
        for image in generated.images
    ]
    return images, generated.model, generated.cost, generated.used


def _size_of(content: bytes) -> tuple[int, int] | None:
    try:
        facts = read_facts(content)
    except NotAnImage:
        return None
    return facts.width, facts.height
