"""The promises that every `ImageBackend` keeps."""

import math
import socket
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from io import BytesIO
from itertools import pairwise
from threading import Barrier, Event, Thread
from types import FrameType
from typing import Generic, NoReturn, TypeVar

import msgspec
import pytest
from PIL import Image

from imagen.domain.errors import (
    BackendError,
    Cancelled,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated
from imagen.domain.seed import LARGEST_SEED
from imagen.domain.size import Size
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.backend import (
    CheckableBackend,
    CloseableBackend,
    ImageBackend,
    Readiness,
    WarmupBackend,
)
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.brief import abbreviate
from imagen.testing.contracts.lookup import LookupContract
from imagen.testing.fakes import CancelledContext, RecordingContext, StoppableContext

Answer = TypeVar("Answer")

TROUBLED = (
    "refusing_backend",
    "throttled_backend",
    "unavailable_backend",
    "unauthorized_backend",
    "creditless_backend",
    "failing_backend",
    "vanishing_backend",
)
"""Fixtures whose vendor makes trouble."""

SOON = 2.0
"""Seconds in which a cancelled job ends."""

LONGEST_LOOK = 10.0
"""Seconds that a backend waits between two looks at a job, at most."""

CROWD = 8
"""Threads that use one backend at once."""


class BackendContract(LookupContract, Contract):
    """Override `backend`; and, as far as you can stage them, the others.

    What is not staged is skipped, and `pytest -rs` tells which: a list of what is not
    yet proved. Where it may cost money, `secret` and all the troubled ones must be
    staged, and their tests fail until they are. The fixtures are best served by a small
    vendor of your own: canned answers, or a server on a socket. Jobs ask for small
    images, and no wait takes time.
    """

    @pytest.fixture
    def backend(self) -> ImageBackend:
        """A backend that makes every image that is asked for."""
        raise NotImplementedError("Override the fixture `backend` to return yours.")

    @pytest.fixture
    def secret(self, backend: ImageBackend) -> str:
        """The credential that all these backends were built with."""
        _unstaged("secret", backend)

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        """Options that a request may name, with a value that makes no sense."""
        pytest.skip("no `nonsense` is given")

    @pytest.fixture
    def sent_images(self) -> Callable[[], Collection[bytes]]:
        """A way to see the bytes of every image that the vendor of `backend` sent."""
        pytest.skip("no look at the `sent_images`")

    @pytest.fixture
    def refusing_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor will not make this image."""
        _unstaged("refusing_backend", backend)

    @pytest.fixture
    def throttled_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor finds the first request too soon, the next not."""
        _unstaged("throttled_backend", backend)

    @pytest.fixture
    def unavailable_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor is down for the first request, not for the next."""
        _unstaged("unavailable_backend", backend)

    @pytest.fixture
    def unauthorized_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor does not know the credential."""
        _unstaged("unauthorized_backend", backend)

    @pytest.fixture
    def creditless_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose account is empty."""
        _unstaged("creditless_backend", backend)

    @pytest.fixture
    def failing_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor takes the job and then fails."""
        _unstaged("failing_backend", backend)

    @pytest.fixture
    def vanishing_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor goes silent for good once it may have the job."""
        _unstaged("vanishing_backend", backend)

    @pytest.fixture
    def slow_backend(self) -> ImageBackend:
        """A backend whose vendor takes the job, and is silent for a minute."""
        pytest.skip("no `slow_backend` is staged")

    @pytest.fixture
    def cancelled_remotely(self) -> Callable[[], bool]:
        """A way to see whether the vendor of `slow_backend` was told to stop."""
        pytest.skip("no look at what was `cancelled_remotely`")

    @pytest.fixture
    def patience(self) -> float:
        """Real seconds that a job may take though no wait takes any.

        More is needed only where images are really made.
        """
        return 5.0

    @pytest.fixture
    def job(self, backend: ImageBackend) -> ImageJob:
        """The smallest job that the backend takes."""
        return _job(backend)

    # What it says of itself

    def test_is_built_without_network(self, request: pytest.FixtureRequest) -> None:
        """Building one costs no network."""
        with _observed() as done:
            request.getfixturevalue("backend")

        assert done.connects == []

    def test_says_the_same_of_itself_every_time(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """Its capabilities are the same every time, before and after a job."""
        first = backend.capabilities()
        backend.generate(job, RecordingContext())

        assert backend.capabilities() == first

    def test_says_what_it_can_without_network(self, backend: ImageBackend) -> None:
        """Its capabilities are known quickly, and without network."""
        with _observed() as done:
            backend.capabilities()

        assert done.connects == []
        assert done.sleeps == []

    def test_offers_its_own_model(self, backend: ImageBackend) -> None:
        """What it uses unless told otherwise is one that may be chosen, if any may."""
        can = backend.capabilities()

        assert not can.models or not can.model or can.model in can.models

    def test_names_formats_by_media_type(self, backend: ImageBackend) -> None:
        """The formats that it can be asked for are different media types of images."""
        formats = backend.capabilities().formats

        assert [name for name in formats if not name.startswith("image/")] == []
        assert len(set(formats)) == len(formats)

    def test_draws_sensible_limits(self, backend: ImageBackend) -> None:
        """It makes a size, an image in each call, and seeds from 1, if it takes any."""
        can = backend.capabilities()

        assert can.sizes.allows(can.sizes.nearest(Size()))
        assert can.largest_batch >= 1
        assert can.largest_seed is None or 1 <= can.largest_seed <= LARGEST_SEED

    # What it returns

    def test_returns_whole_images(self, backend: ImageBackend, job: ImageJob) -> None:
        """Each image is a whole one, to the last pixel."""
        generated = backend.generate(job, RecordingContext())

        assert [_trouble_with(image.content) for image in generated.images] == [
            None for _ in generated.images
        ]

    def test_says_of_what_type_an_image_is(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """Each image is of the media type that it says."""
        generated = backend.generate(job, RecordingContext())

        claimed = [image.media_type for image in generated.images]
        assert claimed == [_type_of(image.content) for image in generated.images]

    def test_returns_the_bytes_as_the_vendor_sent_them(
        self,
        backend: ImageBackend,
        job: ImageJob,
        sent_images: Callable[[], Collection[bytes]],
    ) -> None:
        """The bytes are the vendor's, unchanged."""
        generated = backend.generate(job, RecordingContext())

        returned = {abbreviate(image.content) for image in generated.images}
        assert returned <= {abbreviate(content) for content in sent_images()}

    def test_returns_as_many_images_as_the_job_counts(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """There are as many images as the job counts."""
        can = backend.capabilities()
        counts = {1} if can.largest_seed else {1, can.largest_batch}

        for count in counts:
            several = msgspec.structs.replace(job, count=count)
            generated = backend.generate(several, RecordingContext())

            assert len(generated.images) == count

    def test_makes_images_at_the_size_of_the_job(self, backend: ImageBackend) -> None:
        """Each image has the size of the job, which is one that it makes."""
        for size in _sizes(backend):
            generated = backend.generate(_job(backend, size=size), RecordingContext())

            sizes = {_size_of(image.content) for image in generated.images}
            assert sizes == {size.sides}

    def test_sends_its_first_format_unasked(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """The first of its formats is what it sends unasked."""
        formats = backend.capabilities().formats
        generated = backend.generate(job, RecordingContext())

        assert {_type_of(image.content) for image in generated.images} <= (
            {formats[0]} if formats else {_type_of(generated.images[0].content)}
        )

    def test_sends_the_format_that_is_asked_for(self, backend: ImageBackend) -> None:
        """It sends any of its formats when asked for it."""
        for wanted in backend.capabilities().formats[1:]:
            generated = backend.generate(
                _job(backend, media_type=wanted), RecordingContext()
            )

            assert {_type_of(image.content) for image in generated.images} == {wanted}

    def test_claims_no_seed_but_the_one_of_the_job(self, backend: ImageBackend) -> None:
        """It uses the seed of the job, and claims no other, up to the largest."""
        largest = backend.capabilities().largest_seed
        for seed in {1, largest} if largest else ():
            generated = backend.generate(_job(backend, seed=seed), RecordingContext())

            assert {image.seed for image in generated.images} <= {seed, None}

    def test_takes_all_that_it_says_it_can(self, backend: ImageBackend) -> None:
        """It takes every parameter that its capabilities allow, each of its models."""
        can = backend.capabilities()
        for model in can.models or (can.model,):
            full = _full_job(backend, model=model)

            assert backend.generate(full, RecordingContext()).images

    def test_takes_words_in_any_script(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """A prompt is any text: quotes, line ends, all scripts, a thousand words."""
        words = (
            'Ein "Fuß",\n\u0434\u0432\u0430, 三隻貓 🐈\u200d⬛ \\ %s {prompt} $HOME '
            + "na " * 999
        )
        generated = backend.generate(
            msgspec.structs.replace(job, prompt=words), RecordingContext()
        )

        assert generated.images

    def test_charges_nothing_negative(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """A cost is no less than nothing; an unknown one is None, never 0."""
        cost = backend.generate(job, RecordingContext()).cost

        assert cost.micros is None or cost.micros >= 0
        assert (cost.micros is None) == (cost.source == "unknown")

    def test_charges_nothing_if_it_says_so(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """A backend that may not cost anything reports no cost."""
        cost = backend.generate(job, RecordingContext()).cost

        assert backend.capabilities().may_cost or not cost.micros

    def test_reports_parameters_that_can_be_written_down(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """What else it reports can be written as JSON, for the sidecar."""
        generated = backend.generate(job, RecordingContext())

        written = msgspec.json.encode(generated.parameters)
        assert msgspec.json.decode(written).keys() == generated.parameters.keys()

    # How it works

    def test_reports_fractions_only(self, backend: ImageBackend, job: ImageJob) -> None:
        """It reports fractions from 0 to 1, or None."""
        context = RecordingContext()
        backend.generate(job, context)

        known = [fraction for fraction in context.fractions if fraction is not None]
        assert [fraction for fraction in known if not 0 <= fraction <= 1] == []
        assert [
            steps for steps in context.steps if steps is not None and steps < 1
        ] == []

    def test_reports_no_step_back(self, backend: ImageBackend, job: ImageJob) -> None:
        """The fractions of one job never fall."""
        context = RecordingContext()
        backend.generate(job, context)

        known = [fraction for fraction in context.fractions if fraction is not None]
        assert not any(after < before for before, after in pairwise(known))

    def test_calls_the_remote_job_by_one_name(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """What it says the remote job is called is one name, if it says any."""
        context = RecordingContext()
        backend.generate(job, context)

        assert "" not in context.references
        assert len(set(context.references)) <= 1

    def test_waits_only_through_the_watch(
        self, backend: ImageBackend, job: ImageJob, patience: float
    ) -> None:
        """It waits only through the context: no time passes unless that lets it."""
        context = RecordingContext()
        began = time.perf_counter()
        with _observed() as done:
            backend.generate(job, context)

        assert done.sleeps == []
        assert time.perf_counter() - began < patience
        assert [
            seconds for seconds in context.waits if not 0 <= seconds < math.inf
        ] == []

    def test_stops_when_a_wait_is_cancelled(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """Cancelled passes through from the context, and no other error instead."""
        context = CancelledContext()
        outcome = _outcome_of(lambda: backend.generate(job, context))

        assert isinstance(outcome, Cancelled) or not context.waits
        assert isinstance(outcome, (Cancelled, Generated))

    def test_stops_while_the_vendor_is_silent(self, slow_backend: ImageBackend) -> None:
        """It stops within 2 seconds of being cancelled, while the vendor is silent."""
        outcome, seconds = _cancelled_while_working(slow_backend)

        assert isinstance(outcome, Cancelled), outcome
        assert seconds < SOON

    def test_cancels_the_remote_job(
        self, slow_backend: ImageBackend, cancelled_remotely: Callable[[], bool]
    ) -> None:
        """It cancels the remote job before it stops."""
        _cancelled_while_working(slow_backend)

        assert cancelled_remotely()

    def test_keeps_nothing_from_one_job_to_the_next(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """It keeps nothing from one job to the next; the same comes out the same."""
        other = _full_job(backend)
        first = _described(backend.generate(job, RecordingContext()))
        backend.generate(other, RecordingContext())

        assert _described(backend.generate(job, RecordingContext())) == first

    def test_leaves_the_job_as_it_was(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """The job is left as it was, to be asked again."""
        before = deepcopy(job)
        backend.generate(job, RecordingContext())

        assert job == before

    def test_works_for_several_threads_at_once(self, backend: ImageBackend) -> None:
        """One instance may be used from several threads at once; each gets its own."""
        jobs = _different_jobs(backend)
        alone = [_described(backend.generate(job, RecordingContext())) for job in jobs]

        together = _made_at_once(backend, jobs)

        assert together == alone

    # How it fails

    def test_does_not_send_nonsense(
        self, backend: ImageBackend, job: ImageJob, nonsense: Mapping[str, object]
    ) -> None:
        """A value in the options that makes no sense is an InvalidRequest, not sent."""
        context = RecordingContext()
        with pytest.raises(InvalidRequest):
            backend.generate(msgspec.structs.replace(job, options=nonsense), context)

        assert context.references == []

    def test_says_refused(self, refusing_backend: ImageBackend) -> None:
        """An image that the vendor will not make is Refused."""
        with pytest.raises(Refused):
            refusing_backend.generate(_job(refusing_backend), RecordingContext())

    def test_says_throttled_instead_of_asking_again(
        self, throttled_backend: ImageBackend
    ) -> None:
        """Too many requests is Throttled at once, with what the vendor says to wait."""
        with pytest.raises(Throttled) as throttled:
            throttled_backend.generate(_job(throttled_backend), RecordingContext())

        retry_after = throttled.value.retry_after
        assert retry_after is None or 0 <= retry_after < math.inf

    def test_says_unavailable_instead_of_asking_again(
        self, unavailable_backend: ImageBackend
    ) -> None:
        """A vendor that is not reached, or down, is Unavailable at once."""
        with pytest.raises(Unavailable):
            unavailable_backend.generate(_job(unavailable_backend), RecordingContext())

    def test_says_unauthorized(self, unauthorized_backend: ImageBackend) -> None:
        """Credentials that are missing or refused are Unauthorized."""
        with pytest.raises(Unauthorized):
            unauthorized_backend.generate(
                _job(unauthorized_backend), RecordingContext()
            )

    def test_says_out_of_credit(self, creditless_backend: ImageBackend) -> None:
        """An empty account is OutOfCredit."""
        with pytest.raises(OutOfCredit):
            creditless_backend.generate(_job(creditless_backend), RecordingContext())

    def test_says_that_the_backend_failed(self, failing_backend: ImageBackend) -> None:
        """Any other failure on the vendor's side is a BackendError."""
        with pytest.raises(BackendError):
            failing_backend.generate(_job(failing_backend), RecordingContext())

    def test_says_that_a_fate_is_unknown(self, vanishing_backend: ImageBackend) -> None:
        """A job that the vendor may have taken, of unknown fate, is Unfinished."""
        with pytest.raises(Unfinished):
            vanishing_backend.generate(_job(vanishing_backend), RecordingContext())

    # What it keeps to itself

    def test_does_not_show_its_secret(
        self, backend: ImageBackend, job: ImageJob, secret: str
    ) -> None:
        """Neither its repr nor anything that it hands out contains a secret."""
        context = RecordingContext()
        generated = backend.generate(job, context)

        assert secret not in f"{backend!r} {backend!s} {backend.capabilities()!r}"
        assert secret not in f"{generated.parameters!r} {generated.model}"
        assert secret not in f"{context.references} {context.notes}"

    @pytest.mark.parametrize("troubled", TROUBLED)
    def test_shows_no_secret_in_an_error(
        self, troubled: str, secret: str, request: pytest.FixtureRequest
    ) -> None:
        """No error contains a secret, nor does what led to it."""
        backend: ImageBackend = request.getfixturevalue(troubled)
        outcome = _outcome_of(
            lambda: backend.generate(_job(backend), RecordingContext())
        )

        told = " ".join(_told_by(outcome))
        assert secret not in told

    # For those who take a moment before their first job

    def test_prepares_without_network(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """To prepare for a job sends nothing, and the job can be sent after that."""
        if not isinstance(backend, WarmupBackend):
            pytest.skip("it is always prepared")
        with _observed() as done:
            backend.prepare()

        assert done.connects == []
        assert backend.generate(job, RecordingContext()).images

    # For those who hold something open

    def test_lets_go_of_what_it_holds(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """One that holds something open lets go of it after its last job."""
        if not isinstance(backend, CloseableBackend):
            pytest.skip("it holds nothing open")
        backend.generate(job, RecordingContext())

        backend.close()

    # For those who can be asked whether they would work

    def test_is_ready(self, backend: ImageBackend) -> None:
        """A backend that would work says so when it is checked, and spends nothing."""
        context = RecordingContext()
        findings = _checkable(backend).check(context)

        assert [finding for finding in findings if not finding.ready] == []
        assert context.references == []

    @pytest.mark.parametrize("troubled", TROUBLED)
    def test_raises_nothing_when_checked(
        self, troubled: str, request: pytest.FixtureRequest
    ) -> None:
        """A check raises nothing, whatever is found."""
        backend = _checkable(request.getfixturevalue(troubled))

        findings = _outcome_of(lambda: backend.check(RecordingContext()))

        assert isinstance(findings, tuple)
        assert all(isinstance(finding, Readiness) for finding in findings)

    def test_stops_checking_when_cancelled(self, backend: ImageBackend) -> None:
        """Cancelled passes through a check from the context."""
        context = CancelledContext()
        outcome = _outcome_of(lambda: _checkable(backend).check(context))

        assert isinstance(outcome, Cancelled) or not context.waits
        assert isinstance(outcome, (Cancelled, tuple))


def _unstaged(fixture: str, backend: ImageBackend) -> NoReturn:
    if backend.capabilities().may_cost:
        pytest.fail(
            f"`{fixture}` is not staged, and this backend may cost money: what it says "
            "then decides whether something is paid twice, or a key gets out. Override "
            "the fixture; where the vendor knows no such case, with pytest.skip and "
            "the reason.",
            pytrace=False,
        )
    pytest.skip(f"no `{fixture}` is staged")


def _job(backend: ImageBackend, **changes: object) -> ImageJob:
    can = backend.capabilities()
    job = ImageJob(
        number=1,
        prompt="a red square",
        size=_sizes(backend)[0],
        seed=min(7, can.largest_seed) if can.largest_seed else None,
        model=can.model,
        timeout=60,
    )
    return msgspec.structs.replace(job, **changes)


def _full_job(backend: ImageBackend, **changes: object) -> ImageJob:
    """A job that asks for all that can be asked, and differs from the smallest."""
    can = backend.capabilities()
    return _job(
        backend,
        **{
            "prompt": "a blue circle",
            "size": _sizes(backend)[-1],
            "negative": "squares" if can.negative else "",
            "steps": 4 if can.steps else None,
            "seed": min(8, can.largest_seed) if can.largest_seed else None,
            "media_type": can.formats[-1] if can.formats else None,
            "model": can.models[-1] if can.models else can.model,
            **changes,
        },
    )


def _sizes(backend: ImageBackend) -> list[Size]:
    """Return up to three small sizes that it makes, the smallest first."""
    rule = backend.capabilities().sizes
    asked = rule.choices or (Size(64, 64), Size(192, 64), Size(64, 128))
    made = {rule.nearest(size) for size in asked}
    return sorted(made, key=lambda size: (size.width * size.height, size))[:3]


def _different_jobs(backend: ImageBackend) -> list[ImageJob]:
    sizes, largest = _sizes(backend), backend.capabilities().largest_seed
    return [
        _job(
            backend,
            prompt=f"a red square, number {number}",
            size=sizes[number % len(sizes)],
            seed=1 + number % largest if largest else None,
        )
        for number in range(CROWD)
    ]


def _made_at_once(backend: ImageBackend, jobs: list[ImageJob]) -> list[object]:
    start = Barrier(len(jobs), timeout=30)

    def make(job: ImageJob) -> object:
        start.wait()
        return _described(backend.generate(job, _CrowdedContext()))

    workers = [_Worker(partial(make, job)) for job in jobs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [worker.outcome for worker in workers]


class _CrowdedContext(RecordingContext):
    """Lets the other threads have their turn whenever it is spoken to."""

    def accepted(self, reference: str) -> None:
        _let_others_run()
        super().accepted(reference)

    def progress(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None:
        _let_others_run()
        super().progress(fraction, note, steps=steps)

    def sleep(self, seconds: float) -> None:
        _let_others_run()
        super().sleep(seconds)


def _let_others_run() -> None:
    Event().wait(0.002)


class _Worker(Thread, Generic[Answer]):
    """A thread that keeps what came of its work; not waited for if it hangs."""

    def __init__(self, work: Callable[[], Answer]) -> None:
        super().__init__(daemon=True)
        self.outcome: Answer | Exception | None = None
        self._work = work

    def run(self) -> None:
        self.outcome = _outcome_of(self._work)


class _HurriedContext(StoppableContext):
    """Cuts short the waits between two looks, so that the silence is soon reached."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = Event()

    def accepted(self, reference: str) -> None:
        super().accepted(reference)
        self.taken.set()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds if seconds > LONGEST_LOOK else 0.01)


def _cancelled_while_working(backend: ImageBackend) -> tuple[object, float]:
    """Return what came of a job that was cancelled, and how long that took."""
    context = _HurriedContext()
    job = _job(backend)
    worker = _Worker(lambda: backend.generate(job, context))
    worker.start()
    context.taken.wait(0.3)  # not every vendor gives the job a name
    worker.join(0.05)  # by now it reads what does not come
    began = time.perf_counter()
    context.stop()
    worker.join(SOON)
    return worker.outcome, time.perf_counter() - began


def _outcome_of(work: Callable[[], Answer]) -> Answer | Exception:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever comes out is looked at
        return error


def _checkable(backend: ImageBackend) -> CheckableBackend:
    if not isinstance(backend, CheckableBackend):
        pytest.skip("it cannot be checked")
    return backend


def _described(generated: Generated) -> object:
    """Return what must be the same when the same job is made again."""
    images = [
        (image.media_type, _size_of(image.content), image.seed)
        for image in generated.images
    ]
    return images, generated.model, generated.steps


def _size_of(content: bytes) -> tuple[int, int] | None:
    try:
        facts = read_facts(content)
    except NotAnImage:
        return None
    return facts.width, facts.height


def _type_of(content: bytes) -> str:
    """Return the media type by the first bytes; the rest may be missing."""
    try:
        with Image.open(BytesIO(content)) as image:
            return Image.MIME[image.format or ""]
    except (OSError, KeyError):
        return f"no image: {content[:32]!r}"


def _trouble_with(content: bytes) -> str | None:
    try:
        read_facts(content)
        with Image.open(BytesIO(content)) as image:
            image.load()
    except (NotAnImage, OSError, SyntaxError, ValueError) as error:
        return str(error)
    return None


def _told_by(outcome: object) -> Iterator[str]:
    """Yield all words of an error and of those that led to it."""
    open_errors = [outcome] if isinstance(outcome, BaseException) else []
    seen: set[int] = set()
    while open_errors:
        error = open_errors.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield f"{error!s} {error!r} {vars(error)!r}"
        open_errors += filter(None, (error.__cause__, error.__context__))


class _Observed(msgspec.Struct):
    """What a thread did that it should have left to others."""

    sleeps: list[str] = msgspec.field(default_factory=list[str])
    connects: list[str] = msgspec.field(default_factory=list[str])


@contextmanager
def _observed() -> Generator[_Observed, None, None]:
    """See this thread sleep or connect, without standing in anybody's way."""
    done = _Observed()

    def look(frame: FrameType, event: str, called: object) -> None:
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if event == "c_call" and called is time.sleep:  # noqa: TID251 - to catch it
            done.sleeps.append(where)
        elif event == "c_call" and _connects(called):
            done.connects.append(where)
        elif event == "call" and _is_async_sleep(frame):
            done.sleeps.append(where)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield done
    finally:
        sys.setprofile(before)


def _connects(called: object) -> bool:
    name = getattr(called, "__name__", "")
    if name == "getaddrinfo":
        return True
    owner = getattr(called, "__self__", None)
    return name in {"connect", "connect_ex"} and isinstance(owner, socket.socket)


def _is_async_sleep(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__")
    return module == "asyncio.tasks" and frame.f_code.co_name == "sleep"
