"""Staying with a prediction: what passes, what does not, and calling it off."""

import time
from collections.abc import Callable
from threading import Thread

import pytest
from tests.integration.replicate.conftest import (
    ActingContext,
    Build,
    drawn,
    job,
    outcome_of,
)
from tests.integration.replicate.models import COLLAGE, SKETCH
from tests.integration.replicate.server import ReplicateServer

from imagen.adapters.backends.replicate.adapter import ReplicateBackend
from imagen.adapters.backends.replicate.run import MAX_OUTAGE
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    Unavailable,
    Unfinished,
)
from imagen.domain.result import Generated
from imagen.formats.container import read_facts
from imagen.testing.fakes import CancelledContext, RecordingContext, StoppableContext

PATIENCE = 2.0


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


def test_waits_as_long_as_it_is_told(
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


def test_what_was_deleted_is_told(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(removed=True)

    outcome = drawn(backend)

    assert type(outcome) is BackendError
    assert "deleted" in outcome.message
    assert outcome.used.images == 1


# Calling it off


def stopped_when(
    condition: Callable[[], object],
    server: ReplicateServer,
    backend: ReplicateBackend,
    work: Callable[[StoppableContext], object] | None = None,
) -> tuple[object, StoppableContext]:
    """Return what becomes of a job that is stopped when it has come to that."""
    context = StoppableContext()
    outcomes: list[object] = []
    doing = work or (lambda context: backend.generate(job(), context))
    worker = Thread(
        target=lambda: outcomes.append(outcome_of(lambda: doing(context))), daemon=True
    )
    worker.start()
    server.wait_until(condition)
    context.sleep(0.05)  # by then the adapter has seen it too
    began = time.perf_counter()
    context.stop()
    worker.join(PATIENCE)
    assert outcomes, "it did not stop in time"
    assert time.perf_counter() - began < PATIENCE
    return outcomes[0], context


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

    outcome, _ = stopped_when(lambda: server.looked, server, backend)

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert outcome.used is not None
    assert outcome.used.seconds == 0.5
    assert server.predictions[0].status == "canceled"


def test_what_was_cancelled_before_it_began_is_free(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_begins=True)

    outcome, _ = stopped_when(lambda: server.looked, server, backend)

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert outcome.used == UNTOUCHED


def test_what_was_finished_all_the_same_is_brought_along(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True, ignores_cancel=True)

    outcome, _ = stopped_when(lambda: server.looked, server, backend)

    assert isinstance(outcome, Generated), outcome
    assert server.paid == 1


def test_what_was_finished_and_cannot_be_fetched_in_time_stays_open(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True, ignores_cancel=True, file_late=30)

    outcome, _ = stopped_when(lambda: server.looked, server, backend)

    assert isinstance(outcome, Cancelled)
    assert not outcome.settled


def test_a_cancelling_during_the_fetching_still_brings_the_image(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(file_late=0.5)

    outcome, _ = stopped_when(lambda: server.fetched, server, backend)

    assert isinstance(outcome, Generated), outcome
    assert not server.predictions[0].cancelled


def test_a_frozen_server_does_not_keep_anybody(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.spoil("/predictions", late=60)

    outcome, _ = stopped_when(lambda: len(server.requests) > 1, server, backend)

    assert isinstance(outcome, Cancelled)
    assert not outcome.settled


def test_a_cancelling_is_tried_again(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True)
    server.spoil("/predictions", method="POST", status=502, times=2)

    outcome, _ = stopped_when(lambda: server.looked, server, backend)

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert server.predictions[0].cancelled


def test_an_order_that_is_answered_after_the_cancelling_is_cancelled_and_named(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True, answer_late=0.8)

    outcome, context = stopped_when(lambda: server.predictions, server, backend)

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert context.references == [server.predictions[0].id]
    assert server.predictions[0].status == "canceled"


def test_an_order_that_is_answered_much_later_is_cancelled_then(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True, answer_late=2.2)

    outcome, _ = stopped_when(lambda: server.predictions, server, backend)

    assert isinstance(outcome, Cancelled)
    assert not outcome.settled
    server.wait_until(lambda: server.predictions[0].cancelled)


def test_an_order_that_is_refused_after_the_cancelling_is_settled(
    build: Build, server: ReplicateServer
) -> None:
    server.spoil("/models", method="POST", late=0.6, status=402)

    outcome, _ = stopped_when(lambda: server.orders, server, build())

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
    with pytest.raises(Unfinished, match="no job abc, or not for this token"):
        backend.resume(job(), "abc", RecordingContext())


def test_an_old_job_cannot_be_asked_for_now(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.spoil("/predictions", status=503)

    with pytest.raises(Unavailable):
        backend.resume(job(), "abc", RecordingContext())


def test_whoever_cancels_the_asking_cancels_the_job(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.spoil("/predictions", method="GET", status=401)
    context = RecordingContext()
    server.trouble(never_ends=True)
    drawn(backend, context)
    server.calm()

    def enough() -> None:
        raise Cancelled("Enough.")

    outcome = outcome_of(
        lambda: backend.resume(job(), context.references[0], ActingContext(enough))
    )

    assert isinstance(outcome, Cancelled)
    assert outcome.settled
    assert server.predictions[0].status == "canceled"


def test_whoever_cancels_the_first_look_cancels_the_job(
    backend: ReplicateBackend, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True, answer_late=0.1)
    server.spoil("/predictions", method="GET", late=60)
    context = StoppableContext()
    ordering = Thread(target=drawn, args=(backend, context), daemon=True)
    ordering.start()
    server.wait_until(lambda: context.references)

    outcome, _ = stopped_when(
        lambda: len(server.requests) > 2,
        server,
        backend,
        work=lambda second: backend.resume(job(), context.references[0], second),
    )

    assert isinstance(outcome, Cancelled)
    assert server.predictions[0].cancelled
    context.stop()
