from collections.abc import Callable

import pytest

from imagen.domain import events
from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    Refused,
    Throttled,
    TimedOut,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.domain.size import Size
from imagen.engine.attempt import RetryPolicy, attempt
from imagen.engine.job_context import RunningJobContext
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import FakeClock, ScriptedBackend, ScriptStep, plain_images

JOB = ImageJob(number=1, prompt="a cat", size=Size(16, 16), timeout=60)


class Scene:
    """One job, a backend with a script, and a clock that nobody waits for."""

    def __init__(self, *script: ScriptStep, retry: RetryPolicy | None = None) -> None:
        self.clock = FakeClock()
        self.heard: list[events.Event] = []
        self.backend = ScriptedBackend(*script)
        self.context = RunningJobContext(
            number=1, clock=self.clock, listen=self.heard.append
        )
        self.retry = retry or RetryPolicy()

    def run(self, *, job: ImageJob = JOB, may_cost: bool = False) -> Generated:
        return attempt(
            self.backend,
            job,
            context=self.context,
            clock=self.clock,
            listen=self.heard.append,
            retry=self.retry,
            may_cost=may_cost,
        )

    @property
    def waited(self) -> list[float]:
        return [seconds for seconds in self.clock.waits if seconds]


def taken_then(error: ImagenError) -> Callable[[ImageJob, JobContext], Generated]:
    def answer(_: ImageJob, context: JobContext) -> Generated:
        context.accepted("job-7")
        raise error

    return answer


def endless(_: ImageJob, context: JobContext) -> Generated:
    while True:
        context.sleep(7)


def taken_and_endless(job: ImageJob, context: JobContext) -> Generated:
    context.accepted("job-7")
    return endless(job, context)


def test_returns_the_first_good_answer() -> None:
    scene = Scene()

    assert len(scene.run().images) == 1
    assert (len(scene.backend.jobs), scene.waited) == (1, [])


def test_waits_as_long_as_the_vendor_asks() -> None:
    scene = Scene(Throttled("Slowly.", retry_after=5))

    scene.run()

    assert scene.waited == [5]
    assert len(scene.backend.jobs) == 2


def test_waits_twice_as_long_each_time() -> None:
    scene = Scene(*[Unavailable("Down.")] * 3)

    scene.run()

    assert scene.waited == [0.5, 1, 2]


def test_says_that_it_asks_again() -> None:
    scene = Scene(Throttled("Slowly.", retry_after=5))

    scene.run()

    assert scene.heard[0] == events.Retrying(
        number=1, code="throttled", message="Slowly.", wait=5
    )


def test_gives_up_after_the_last_attempt() -> None:
    scene = Scene(*[Unavailable("Down.")] * 9, retry=RetryPolicy(attempts=3))

    with pytest.raises(Unavailable, match=r"Down\."):
        scene.run()

    assert len(scene.backend.jobs) == 3


@pytest.mark.parametrize("wait", [60, 3600, float("inf")])
def test_gives_up_when_the_deadline_would_pass(wait: float) -> None:
    scene = Scene(Throttled("Slowly.", retry_after=wait))

    with pytest.raises(Throttled) as raised:
        scene.run()

    assert (scene.waited, len(scene.backend.jobs)) == ([], 1)
    again = f"again in {wait:g} s"
    assert again in raised.value.hint
    assert "the timeout of 60 s" in raised.value.hint


def test_never_repeats_after_the_job_was_taken() -> None:
    scene = Scene(taken_then(Unavailable("Lost.")))

    with pytest.raises(Unavailable, match="Lost"):
        scene.run()

    assert len(scene.backend.jobs) == 1


@pytest.mark.parametrize("error", [Refused("No."), Unfinished("Lost.")])
def test_never_repeats_what_may_have_cost(error: ImagenError) -> None:
    scene = Scene(error)

    with pytest.raises(type(error)):
        scene.run()

    assert len(scene.backend.jobs) == 1


def test_lets_faults_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        Scene(ZeroDivisionError()).run()


def test_times_out_at_no_cost() -> None:
    scene = Scene(endless)

    with pytest.raises(TimedOut, match="60 seconds"):
        scene.run()

    assert scene.clock.monotonic() == 60


def test_times_out_for_each_image_of_a_batch() -> None:
    scene = Scene(endless)
    batch = ImageJob(number=1, count=3, prompt="x", size=Size(16, 16), timeout=60)

    with pytest.raises(TimedOut, match="180 seconds"):
        scene.run(job=batch)

    assert scene.clock.monotonic() == 180


def test_a_free_job_that_was_taken_times_out() -> None:
    with pytest.raises(TimedOut):
        Scene(taken_and_endless).run(may_cost=False)


def test_a_paid_job_that_was_taken_is_unfinished() -> None:
    with pytest.raises(Unfinished, match="job-7"):
        Scene(taken_and_endless).run(may_cost=True)


def test_a_paid_job_of_unknown_fate_is_unfinished() -> None:
    with pytest.raises(Unfinished):
        Scene(endless).run(may_cost=True)


@pytest.mark.parametrize("error", [Unavailable("Lost."), Throttled("Slowly.")])
def test_a_paid_job_that_was_taken_never_cost_nothing_for_certain(
    error: ImagenError,
) -> None:
    with pytest.raises(ImagenError) as failed:
        Scene(taken_then(error)).run(may_cost=True)

    assert failed.value.may_have_cost


def broken_off(error: Exception) -> Callable[[ImageJob, JobContext], Generated]:
    """A read that the deadline breaks off, as a library would report it."""

    def answer(job: ImageJob, context: JobContext) -> Generated:
        try:
            return endless(job, context)
        except Cancelled:
            raise error from None

    return answer


def test_a_read_that_the_deadline_broke_off_times_out() -> None:
    with pytest.raises(TimedOut):
        Scene(broken_off(Unavailable("Connection closed."))).run()


def test_says_nothing_of_asking_again_once_stopped() -> None:
    scene = Scene(broken_off(Unavailable("Connection closed.")))
    scene.clock.after(1, scene.context.stop)

    with pytest.raises(Cancelled):
        scene.run()

    assert scene.heard == []


def test_a_cancellation_passes() -> None:
    scene = Scene(endless)
    scene.clock.after(10, scene.context.stop)

    with pytest.raises(Cancelled):
        scene.run(may_cost=True)

    assert scene.clock.monotonic() == 10


def test_a_cancellation_ends_a_wait_between_attempts() -> None:
    scene = Scene(Throttled("Slowly.", retry_after=50))
    scene.clock.after(10, scene.context.stop)

    with pytest.raises(Cancelled):
        scene.run()

    assert (scene.clock.monotonic(), len(scene.backend.jobs)) == (10, 1)


def test_sends_nothing_once_cancelled() -> None:
    scene = Scene()
    scene.context.stop()

    with pytest.raises(Cancelled):
        scene.run()

    assert scene.backend.jobs == []


def test_the_deadline_is_called_off_at_the_end() -> None:
    scene = Scene()
    scene.run()

    scene.context.sleep(1000)

    assert not scene.context.timed_out


def test_passes_on_what_the_backend_says() -> None:
    def answer(job: ImageJob, context: JobContext) -> Generated:
        context.accepted("job-7")
        context.progress(0.5, "drawing", steps=20)
        context.progress(None)
        return Generated(images=())

    scene = Scene(answer)
    scene.run()

    assert scene.heard == [
        events.Accepted(number=1, reference="job-7"),
        events.Progressed(number=1, fraction=0.5, note="drawing", steps=20),
        events.Progressed(number=1, fraction=None, note="", steps=None),
    ]


def test_breaks_off_what_the_backend_reads() -> None:
    closed: list[str] = []

    def answer(job: ImageJob, context: JobContext) -> Generated:
        context.on_cancel(lambda: closed.append("closed"))
        return endless(job, context)

    with pytest.raises(TimedOut):
        Scene(answer).run()

    assert closed == ["closed"]


def test_a_stop_before_the_deadline_is_no_time_out() -> None:
    context = RunningJobContext(number=1, clock=FakeClock(), listen=events.ignore_event)

    context.stop()
    context.expire()

    assert not context.timed_out


def test_plain_images_need_no_script() -> None:
    assert Scene(plain_images).run().images[0].media_type == "image/png"
