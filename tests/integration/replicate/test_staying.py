"""Staying with a prediction: what passes, what does not, and calling it off."""

from collections.abc import Callable
from threading import Event, Thread

import pytest
from tests.integration.replicate.conftest import (
    TOO_LONG,
    ActingContext,
    Build,
    ReplicateBackend,
    drawn,
    job,
    outcome_of,
)
from tests.integration.replicate.models import COLLAGE, SKETCH
from tests.integration.replicate.server import ReplicateServer

from imagen.adapters.remote import cancellation
from imagen.adapters.remote.background import CHECK_INTERVAL
from imagen.adapters.remote.reads import MAX_OUTAGE
from imagen.adapters.remote.requests import CANCEL_TIMEOUT
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    Unavailable,
    Unfinished,
)
from imagen.domain.result import Generated
from imagen.formats.container import read_facts
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import CancelledContext, RecordingContext, StoppableContext


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500},
        {"status": 502},
        {"status": 503, "body": "<html>maintenance</html>"},
        {"status": 429, "retry_after": "3"},
        {"status": 404},
        {"status": 302, "location": "/login"},
        {"status": 200, "body": "<html>log in</html>"},
        {"status": 200, "body": '{"id": "x"'},
        {"status": 200, "body": '{"id": "another", "status": "failed"}'},
        {"drops": True},
    ],
    ids=str,
)
def test_what_passes_is_ridden_out(
    backend: ReplicateBackend, server: ReplicateServer, trouble: dict[str, object]
) -> None:
    server.spoil("/predictions", method="GET", times=3, **trouble)

    generated = drawn(backend)

    assert isinstance(generated, Generated), generated
    assert server.created == 1


def test_waits_as_long_as_retry_after_states(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.spoil("/predictions", method="GET", times=1, status=429, retry_after="9")
    context = RecordingContext()

    drawn(backend, context)

    assert 9 in context.waits


def test_waits_longer_and_longer_but_not_for_ever(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.spoil("/predictions", method="GET", status=503)
    context = RecordingContext()

    outcome = drawn(backend, context)

    waits = [wait for wait in context.waits if wait][1:]
    assert type(outcome) is Unfinished
    assert waits == sorted(waits)
    assert MAX_OUTAGE / 2 < sum(waits) <= MAX_OUTAGE
    assert context.references == [server.predictions[0].id]
    assert server.created == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_taken_back_meanwhile_leaves_the_job(
    backend: ReplicateBackend, server: ReplicateServer, status: int
) -> None:
    server.spoil("/predictions", method="GET", status=status)

    outcome = drawn(backend)

    assert type(outcome) is Unfinished
    assert server.predictions[0].id in outcome.message


def test_looks_often_at_first_and_less_often_later(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.looks = 30
    context = RecordingContext()

    drawn(backend, context)

    waits = [wait for wait in context.waits if wait]
    assert waits[0] <= 0.25
    assert waits == sorted(waits)
    assert max(waits) == 2


def test_tells_the_name_before_anything_else(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    asked: list[int] = []

    class Noting(RecordingContext):
        def accepted(self, reference: str) -> None:
            super().accepted(reference)
            asked.append(len(server.requests))

    context = Noting()
    drawn(backend, context)

    assert asked == [1]
    assert context.references == [server.predictions[0].id]


def test_tells_how_far_the_steps_are(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.looks = 4
    context = RecordingContext()

    drawn(backend, context)

    assert [f for f in context.fractions if f is not None][:4] == [0.25, 0.5, 0.75, 1]
    assert set(context.steps) == {None, 4}
    assert context.notes[0] == "starting"


def test_a_bar_of_other_work_does_not_count(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(loads_first=True)
    server.looks = 4
    context = RecordingContext()

    drawn(backend, context)

    assert next(f for f in context.fractions if f is not None) == 0.25


def test_claims_the_seed_that_was_really_used(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(seed_used=99)

    assert drawn(backend, seed=7).images[0].seed == 99


def test_claims_the_seed_that_was_sent_if_nothing_is_said(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(silent_log=True)

    generated = drawn(backend, seed=7)

    assert server.predictions[0].given["seed"] == 7
    assert generated.images[0].seed == 7


def test_stays_until_the_last_of_several_is_there(
    build: Build, server: ReplicateServer
) -> None:
    server.trouble(output="growing")

    generated = drawn(build(model=COLLAGE), count=2, seed=None)

    assert len(generated.images) == 2


def test_deleted_data_is_an_error(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(removed=True)

    outcome = drawn(backend)

    assert type(outcome) is BackendError
    assert "deleted" in outcome.message
    assert outcome.used.images == 1


# Calling it off


class NoticedContext(StoppableContext):
    """Knows when the adapter has noticed that the job is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.noticed = Event()

    def sleep(self, seconds: float) -> None:
        try:
            super().sleep(seconds)
        except Cancelled:
            self.noticed.set()
            raise


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a cancelled job end even on a machine that is very busy."""
    monkeypatch.setattr(cancellation, "CANCEL_TIMEOUT", TOO_LONG)


@pytest.fixture
def hurried(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a cancelled job soon that does not end."""
    monkeypatch.setattr(cancellation, "CANCEL_TIMEOUT", 0.3)


def stopped_when(
    condition: Callable[[], object],
    server: ReplicateServer,
    work: Callable[[JobContext], object],
    *,
    release: bool = False,
) -> tuple[object, NoticedContext]:
    """Stop the work once the condition holds; return its outcome.

    With `release` the server then sends the answers that it holds.
    """
    context = NoticedContext()
    outcomes: list[object] = []
    worker = Thread(
        target=lambda: outcomes.append(outcome_of(lambda: work(context))), daemon=True
    )
    worker.start()
    server.wait_until(condition)
    context.stop()
    assert context.noticed.wait(TOO_LONG)
    if release:
        server.release()
    worker.join(TOO_LONG)
    return outcomes[0], context


def generate_with(backend: ReplicateBackend) -> Callable[[JobContext], object]:
    return lambda context: backend.generate(job(), context)


def test_nothing_is_sent_for_what_was_cancelled_before(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    outcome = drawn(backend, CancelledContext())

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert outcome.used == UNTOUCHED
    assert server.requests == []


def test_what_was_cancelled_is_settled_once_replicate_says_so(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True)

    outcome, _ = stopped_when(lambda: server.looked, server, generate_with(backend))

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert outcome.used is not None
    assert outcome.used.seconds == 0.5
    assert server.predictions[0].status == "canceled"


def test_what_was_cancelled_before_it_began_is_free(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_begins=True)

    outcome, _ = stopped_when(lambda: server.looked, server, generate_with(backend))

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert outcome.used == UNTOUCHED


def test_what_was_finished_all_the_same_is_brought_along(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True, ignores_cancel=True)

    outcome, _ = stopped_when(lambda: server.looked, server, generate_with(backend))

    assert isinstance(outcome, Generated), outcome
    assert server.paid == 1


@pytest.mark.usefixtures("hurried")
def test_what_was_finished_and_cannot_be_downloaded_in_time_stays_open(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True, ignores_cancel=True)
    server.spoil("/out", held=True)

    outcome, _ = stopped_when(lambda: server.looked, server, generate_with(backend))

    assert isinstance(outcome, Cancelled)
    assert not outcome.settled


def test_a_cancellation_during_the_download_still_brings_the_image(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.spoil("/out", held=True)

    outcome, _ = stopped_when(
        lambda: server.fetched, server, generate_with(backend), release=True
    )

    assert isinstance(outcome, Generated), outcome
    assert not server.predictions[0].cancelled


@pytest.mark.usefixtures("hurried")
def test_a_silent_server_keeps_no_cancelled_job(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.spoil("/predictions", held=True)

    outcome, _ = stopped_when(
        lambda: len(server.requests) > 1, server, generate_with(backend)
    )

    assert isinstance(outcome, Cancelled)
    assert not outcome.settled


def test_a_cancelled_job_stops_within_the_2_s_that_the_port_promises() -> None:
    assert CANCEL_TIMEOUT + CHECK_INTERVAL < 2


def test_a_cancel_request_is_sent_again(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True)
    server.spoil("/predictions", method="POST", status=502, times=2)

    outcome, _ = stopped_when(lambda: server.looked, server, generate_with(backend))

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert server.predictions[0].cancelled


def test_a_job_that_is_accepted_after_the_cancellation_is_cancelled_and_named(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True)
    server.spoil("/models", method="POST", held=True)

    outcome, context = stopped_when(
        lambda: server.predictions, server, generate_with(backend), release=True
    )

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert context.references == [server.predictions[0].id]
    assert server.predictions[0].status == "canceled"


@pytest.mark.usefixtures("hurried")
def test_a_job_that_is_accepted_much_later_is_cancelled_then(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True)
    server.spoil("/models", method="POST", held=True)

    outcome, _ = stopped_when(
        lambda: server.predictions, server, generate_with(backend)
    )

    assert isinstance(outcome, Cancelled)
    assert not outcome.settled
    assert not server.predictions[0].cancelled
    server.release()
    server.wait_until(lambda: server.predictions[0].cancelled)


def test_a_job_that_is_refused_after_the_cancellation_is_settled(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.spoil("/models", method="POST", held=True, status=402)

    outcome, _ = stopped_when(
        lambda: server.orders, server, generate_with(backend), release=True
    )

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert outcome.used == UNTOUCHED


# Asking for what another process ordered


def test_an_old_job_is_finished_without_another_order(
    build: Build, server: ReplicateServer
) -> None:
    server.spoil("/predictions", method="GET", status=503)
    context = RecordingContext()
    assert isinstance(drawn(build(), context), Unfinished)
    server.calm()

    (reference,) = context.references
    again = RecordingContext()
    resumed = [build().resume(job(), reference, again) for _ in range(3)]

    facts = read_facts(resumed[0].images[0].content)
    assert (facts.width, facts.height) == (512, 512)
    assert resumed[0] == resumed[1] == resumed[2]
    assert len(server.orders) == server.paid == 1
    assert again.references == []


def test_an_old_job_brings_what_it_would_have_brought(
    build: Build, server: ReplicateServer
) -> None:
    context = RecordingContext()
    generated = drawn(build(model=SKETCH), context, options={"guidance_scale": 3})

    resumed = build(model=SKETCH).resume(
        job(options={"guidance_scale": 3}), context.references[0], RecordingContext()
    )

    assert resumed == generated
    assert resumed.parameters["inputs"]["guidance_scale"] == 3


def test_an_old_job_that_this_account_does_not_have_stays_open(
    backend: ReplicateBackend,
) -> None:
    with pytest.raises(Unfinished, match="no job abc, or not for this key"):
        backend.resume(job(), "abc", RecordingContext())


def test_an_old_job_cannot_be_asked_for_now(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.spoil("/predictions", status=503)

    with pytest.raises(Unavailable):
        backend.resume(job(), "abc", RecordingContext())


def left_open(backend: ReplicateBackend, server: ReplicateServer) -> str:
    """Leave a job that runs and was never polled; return its reference."""
    context = RecordingContext()
    server.trouble(never_ends=True)
    server.spoil("/predictions", method="GET", status=401)
    assert isinstance(drawn(backend, context), Unfinished)
    server.calm()
    return context.references[0]


def test_cancelling_between_two_polls_of_an_old_job_cancels_it(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    reference = left_open(backend, server)

    def cancel() -> None:
        raise Cancelled("Enough.")

    outcome = outcome_of(
        lambda: backend.resume(job(), reference, ActingContext(cancel))
    )

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert server.predictions[0].status == "canceled"


def test_cancelling_the_first_poll_of_an_old_job_cancels_it(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    reference = left_open(backend, server)
    server.spoil("/predictions", method="GET", held=True)
    before = len(server.requests)

    outcome, _ = stopped_when(
        lambda: len(server.requests) > before,
        server,
        lambda context: backend.resume(job(), reference, context),
        release=True,
    )

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert server.predictions[0].status == "canceled"
