"""What is written down of a call that may cost money, and what stops one."""

import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256

import msgspec
import pytest
from tests.contract_internal.databases import temporary_database
from tests.unit.engine.threads import no_more_threads
from tests.unit.usecases.scenes import (
    PAID,
    KnowingBackend,
    PaidScene,
    RecordingJournal,
    paid_images,
    taken,
)

from imagen.adapters.remote.errors import mark_unsent
from imagen.domain import events
from imagen.domain.call import (
    Call,
    CallAccepted,
    CallClosed,
    CallReceived,
    CallSending,
    CallUpdate,
)
from imagen.domain.consumption import UNTOUCHED, Used
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    JournalError,
    Misconfigured,
    OutOfCredit,
    OverBudget,
    Refused,
    StorageError,
    Throttled,
    TimedOut,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.money.budget import Budget, BudgetLimit
from imagen.domain.money.cost import Cost
from imagen.domain.request import GenerationRequest
from imagen.domain.result import Generated
from imagen.domain.size import Size
from imagen.engine.cancellation import Cancellation
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import (
    ANYTHING,
    MemoryStorage,
    ResumableScriptedBackend,
    ScriptedBackend,
    plain_images,
)


class BrokenJournal(RecordingJournal):
    """Cannot be written, for one reason or another."""

    def __init__(self, error: Exception, *, from_note: bool = False) -> None:
        super().__init__(temporary_database())
        self.error = error
        self.from_note = from_note

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> None:
        if not self.from_note:
            raise self.error
        super().begin(calls, limits=limits)

    def record(self, call_id: str, update: CallUpdate) -> None:
        raise self.error


class FullStorage(MemoryStorage):
    """Takes nothing."""

    def save(self, name: str, content: bytes, **_: object) -> str:  # type: ignore[override]
        raise StorageError("The disk is full.")


def test_every_step_is_written_down_before_the_next() -> None:
    scene = PaidScene(taken())

    scene.run()

    assert list(map(type, scene.journal.updates)) == [
        CallSending,
        CallAccepted,
        CallReceived,
        CallClosed,
    ]
    assert scene.states == []


def test_the_intent_is_there_when_the_backend_hears_of_it() -> None:
    seen: list[list[str]] = []

    def answer(job: ImageJob, context: JobContext) -> Generated:
        seen.append(scene.states)
        return paid_images(job, context)

    scene = PaidScene(answer)
    scene.run()

    assert seen == [["sent"]]


def test_an_image_and_its_row_know_each_other() -> None:
    scene = PaidScene(taken())

    (image,) = scene.run().stored

    (row,) = scene.usage.rows()
    assert image.sidecar.usage_id == row.id
    assert scene.history.get(image.sidecar.id) is not None
    assert (row.backend, row.caller, row.images) == ("vendor", "me", 1)
    assert row.prompt_sha256 == image.sidecar.prompt_sha256
    assert (image.sidecar.cost_usd, image.sidecar.cost_source) == (
        0.05,
        "price_table",
    )


def test_what_costs_nothing_is_in_the_history_alone() -> None:
    scene = PaidScene(plain_images, can=ANYTHING)

    (image,) = scene.run().stored

    assert scene.journal.updates == []
    assert scene.ledger == []
    assert image.sidecar.usage_id is None
    assert [entry.sidecar for entry in scene.history.find()] == [image.sidecar]


def test_a_free_job_can_be_asked_for_once_it_has_a_name() -> None:
    scene = PaidScene(taken(Unfinished("It went away.")), can=ANYTHING)

    scene.run()

    assert scene.states == ["accepted"]
    assert scene.ledger == []


def test_what_the_backend_says_it_cost_goes_before_the_table() -> None:
    def answer(job: ImageJob, context: JobContext) -> Generated:
        cost = Cost(micros=7, source="reported")
        return msgspec.structs.replace(plain_images(job, context), cost=cost)

    scene = PaidScene(answer)
    scene.run()

    assert scene.ledger == [("ok", 7)]


def test_an_unknown_price_is_no_price() -> None:
    scene = PaidScene(paid_images, price=None)

    (image,) = scene.run().stored

    assert scene.ledger == [("ok", None)]
    assert (image.sidecar.cost_usd, image.sidecar.cost_source) == (None, "unknown")


def test_each_call_has_a_row_of_its_own() -> None:
    scene = PaidScene(*[paid_images] * 3)

    scene.run(count=3)

    assert scene.ledger == [("ok", 50_000)] * 3


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("down"),
        OutOfCredit("empty"),
        Refused("Not this.", used=UNTOUCHED),
    ],
)
def test_what_certainly_cost_nothing_leaves_nothing(error: ImagenError) -> None:
    scene = PaidScene(*[error] * 9)

    scene.run()

    assert scene.states == []
    assert scene.ledger == []


def test_a_failure_at_the_backend_is_a_row() -> None:
    scene = PaidScene(taken(BackendError("Out of memory.", used=Used(images=0))))

    (failed,) = scene.run().failed

    assert scene.ledger == [("failed", 0)]
    assert "It cost $0.00." in getattr(failed.error, "hint", "")


def test_a_failure_of_unknown_cost_is_unknown() -> None:
    scene = PaidScene(taken(BackendError("Out of memory.")))

    scene.run()

    assert scene.ledger == [("failed", None)]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Unfinished("silence"), "sent"),
        (taken(Unfinished("silence")), "accepted"),
        (taken(Unavailable("silence")), "accepted"),
        (ZeroDivisionError("a bug"), "sent"),
    ],
)
def test_what_may_still_come_stays_open_and_is_sent_once(
    answer: object, state: str
) -> None:
    scene = PaidScene(answer)  # type: ignore[arg-type]

    scene.run()

    assert scene.states == [state]
    assert scene.ledger == []
    assert len(scene.backend.jobs) == 1


@pytest.mark.parametrize(
    ("kind", "command"),
    [(ResumableScriptedBackend, "resume"), (ScriptedBackend, "jobs forget")],
)
def test_an_open_call_is_named_with_what_it_may_cost_and_what_ends_it(
    kind: type[ScriptedBackend], command: str
) -> None:
    scene = PaidScene(backend=kind(Unfinished("Silence."), capabilities=PAID))

    (failed,) = scene.run().failed

    (call,) = scene.journal.list_open()
    hint = getattr(failed.error, "hint", "")
    assert re.findall("`imagen (.+?)`", hint) == [f"{command} {call.call.id}"]
    assert "$0.05" in hint


def test_between_two_attempts_it_is_certainly_not_sent() -> None:
    scene = PaidScene(Throttled("Slowly."), paid_images)

    scene.run()

    sending = [n.active for n in scene.journal.updates if isinstance(n, CallSending)]
    assert sending == [True, False, True]


def test_a_lost_answer_is_looked_up_at_once() -> None:
    backend = KnowingBackend(Unfinished("Silence."))
    backend.found = [(), ("job-7",)]
    scene = PaidScene(backend=backend)

    report = scene.run()

    assert len(report.stored) == 1
    assert len(backend.jobs) == 1
    assert backend.asked == ["job-7"]
    assert scene.ledger == [("ok", 50_000)]


def test_of_two_that_look_alike_neither_is_taken() -> None:
    backend = KnowingBackend(Unfinished("Silence."))
    backend.found = [("job-7", "job-8")] * 9
    scene = PaidScene(backend=backend)

    scene.run()

    assert backend.asked == []
    assert scene.states == ["sent"]


def test_the_job_of_another_call_is_not_taken() -> None:
    backend = KnowingBackend(taken(), Unfinished("Silence."))
    backend.found = [("job-7",)] * 9
    scene = PaidScene(backend=backend)

    scene.run(count=2)

    assert backend.asked == []
    assert scene.states == ["sent"]


def test_of_two_that_look_alike_the_one_that_is_no_other_calls_is_taken() -> None:
    backend = KnowingBackend(taken(), Unfinished("Silence."))
    backend.found = [("job-7", "job-8")]
    scene = PaidScene(backend=backend)

    report = scene.run(count=2)

    assert len(report.stored) == 2
    assert backend.asked == ["job-8"]


def test_a_job_that_was_taken_for_that_of_another_call_is_exchanged_for_it() -> None:
    backend = KnowingBackend(taken(), taken(), taken())
    backend.found = [("job-7", "job-8")]
    scene = PaidScene(backend=backend)

    report = scene.run(count=2)
    (failed,) = scene.run().failed

    assert len(report.stored) == 2
    assert backend.asked == ["job-8"]
    assert isinstance(failed.error, Unfinished)
    assert scene.states == ["sent"]


def cancelled(*, settled: bool) -> Cancelled:
    return Cancelled(
        "Stopped.", settled=settled, used=Used(images=0) if settled else None
    )


def test_a_confirmed_cancel_is_over() -> None:
    scene = PaidScene(taken(cancelled(settled=True)))

    scene.run()

    assert scene.ledger == [("cancelled", 0)]
    assert scene.states == []


def test_a_cancel_that_nobody_confirmed_stays_open() -> None:
    script = taken(cancelled(settled=False))
    scene = PaidScene(backend=ResumableScriptedBackend(script, capabilities=PAID))

    (failed,) = scene.run().failed

    assert scene.states == ["accepted"]
    assert "imagen resume" in getattr(failed.error, "hint", "")


def test_what_was_cancelled_before_it_was_sent_leaves_nothing() -> None:
    scene, cancellation = PaidScene(), Cancellation()
    cancellation.cancel()

    scene.run(cancellation=cancellation)

    assert scene.states == []
    assert scene.ledger == []
    assert scene.backend.jobs == []


def test_a_cancelled_free_job_is_over() -> None:
    scene = PaidScene(taken(cancelled(settled=False)), can=ANYTHING)

    scene.run()

    assert scene.states == []


def test_a_refusal_that_comes_with_the_cancel_is_certainly_free() -> None:
    def refused(job: ImageJob, context: JobContext) -> Generated:
        cancellation.cancel()
        error = OutOfCredit("Empty.")
        error.used = UNTOUCHED
        raise error

    scene, cancellation = PaidScene(refused), Cancellation()

    (failed,) = scene.run(cancellation=cancellation).failed

    assert isinstance(failed.error, Cancelled)
    assert (scene.states, scene.ledger) == ([], [])


def test_a_timeout_before_the_backend_began_is_certainly_free() -> None:
    def queued(job: ImageJob, context: JobContext) -> Generated:
        context.accepted("job-7")
        try:
            context.sleep(9999)
        except Cancelled as stopped:
            raise Cancelled("", used=UNTOUCHED, settled=True) from stopped
        return paid_images(job, context)

    scene = PaidScene(queued)

    (failed,) = scene.run().failed

    assert isinstance(failed.error, TimedOut)
    assert (scene.states, scene.ledger) == ([], [])


@pytest.mark.parametrize(
    ("settled", "kind", "states"),
    [(True, BackendError, []), (False, Unfinished, ["accepted"])],
)
def test_a_timeout_is_over_if_the_backend_confirmed_that(
    settled: bool, kind: type[ImagenError], states: list[str]
) -> None:
    def slow(job: ImageJob, context: JobContext) -> Generated:
        context.accepted("job-7")
        try:
            context.sleep(9999)
        except Cancelled as stopped:
            raise Cancelled("Stopped.", settled=settled) from stopped
        return paid_images(job, context)

    scene = PaidScene(slow)

    (failed,) = scene.run().failed

    assert isinstance(failed.error, kind)
    assert not isinstance(failed.error, TimedOut)
    assert scene.states == states


# When it cannot be written down


@pytest.mark.parametrize(
    ("error", "from_note"),
    [
        (JournalError("Damaged."), False),
        (JournalError("Damaged."), True),
        (RuntimeError("oops"), True),
    ],
)
def test_the_image_lands_though_nothing_can_be_written_down(
    error: Exception, from_note: bool
) -> None:
    journal = BrokenJournal(error, from_note=from_note)
    scene = PaidScene(taken(), journal=journal)
    scene.generate.records.may_skip = True

    report = scene.run()

    assert len(report.stored) == 1
    assert len([each for each in scene.warnings if "not recorded" in each]) == 1


@pytest.mark.parametrize("from_note", [False, True])
def test_a_call_that_cannot_be_recorded_is_not_sent(*, from_note: bool) -> None:
    journal = BrokenJournal(JournalError("Damaged."), from_note=from_note)
    scene = PaidScene(taken(), journal=journal)

    try:
        [failed] = scene.run().failed
        error = failed.error
    except Misconfigured as raised:
        error = raised

    assert isinstance(error, Misconfigured)
    assert scene.backend.jobs == []


def test_a_budget_that_cannot_be_checked_stops_the_call() -> None:
    journal = BrokenJournal(JournalError("It is damaged."))
    scene = PaidScene(journal=journal, budgets=(Budget(week=10_000_000),))

    with pytest.raises(Misconfigured, match="cannot be checked: It is damaged"):
        scene.run()
    assert scene.backend.jobs == []


def test_nothing_is_sent_that_a_budget_could_not_count() -> None:
    journal = BrokenJournal(JournalError("The disk is full."), from_note=True)
    scene = PaidScene(journal=journal, budgets=(Budget(week=10_000_000),))

    (failed,) = scene.run().failed

    assert isinstance(failed.error, Misconfigured)
    assert scene.backend.jobs == []
    assert any("The disk is full." in warning for warning in scene.warnings)


def test_an_image_that_could_be_stored_nowhere_is_not_lost() -> None:
    scene = PaidScene(taken(), storage=FullStorage())

    scene.run()

    assert scene.states == ["received"]
    (resumed,) = scene.resume(scene.die())
    assert resumed.closed
    assert len(scene.images) == 1
    assert scene.ledger == [("ok", 50_000)]


# Budgets


def test_a_request_that_is_too_dear_is_not_sent_at_all() -> None:
    scene = PaidScene(budgets=(Budget(day=120_000),))

    with pytest.raises(OverBudget, match=r"day_usd"):
        scene.run(count=3)

    assert scene.backend.jobs == []
    assert scene.states == []


def test_what_was_spent_counts() -> None:
    scene = PaidScene(*[paid_images] * 3, budgets=(Budget(week=120_000),))
    scene.run(count=2)

    with pytest.raises(OverBudget):
        scene.run()

    assert len(scene.backend.jobs) == 2


def test_what_is_open_counts() -> None:
    answers = [Unfinished("Silence."), Unfinished("Silence.")]
    scene = PaidScene(*answers, budgets=(Budget(week=120_000),))
    scene.run(count=2)

    with pytest.raises(OverBudget):
        scene.run()


def test_what_cost_nothing_does_not_count() -> None:
    answers = [
        Refused("Not this.", used=UNTOUCHED),
        Refused("Nor this.", used=UNTOUCHED),
    ]
    scene = PaidScene(*answers, paid_images, budgets=(Budget(week=120_000),))
    scene.run(count=2)

    assert len(scene.run().stored) == 1


def test_an_estimate_holds_nothing_back() -> None:
    scene = PaidScene(budgets=(Budget(week=50_000),))
    request = GenerationRequest(prompt="a cat", size=Size(16, 16))
    plan = scene.generate.plan(request)

    scene.generate.check_budget(plan, scene.generate.build_calls(plan))
    scene.generate.check_budget(plan, scene.generate.build_calls(plan))

    assert scene.states == []


@pytest.mark.parametrize(("most", "passes"), [(50_000, True), (49_999, False)])
def test_the_highest_cost_of_a_request(most: int, passes: bool) -> None:
    scene = PaidScene(paid_images)
    if passes:
        assert scene.run(max_cost=most).stored
        return

    with pytest.raises(OverBudget, match="--max-cost"):
        scene.run(max_cost=most)


def test_an_unknown_price_is_above_every_highest_cost() -> None:
    scene = PaidScene(paid_images, price=None)

    with pytest.raises(OverBudget, match="the cost is unknown"):
        scene.run(max_cost=10**12)


def test_a_free_backend_is_under_every_budget() -> None:
    scene = PaidScene(plain_images, can=ANYTHING, budgets=(Budget(call=0, week=0),))

    assert scene.run(max_cost=0).stored


# The copy in the cloud


OWNER = "6f0c7f7e-3b1f-4a53-9d4c-0f6a2f0b7c11"


def test_an_image_with_an_owner_waits_for_its_upload() -> None:
    scene = PaidScene(taken(), owner=OWNER)
    scene.run()

    [pending] = scene.image_queue.pending(10)
    assert pending.owner == OWNER
    content = scene.spool.read(pending.sidecar.id) or b""
    assert sha256(content).hexdigest() == pending.sidecar.sha256


def test_an_image_without_an_owner_is_not_uploaded() -> None:
    scene = PaidScene(taken())
    (image,) = scene.run().stored

    assert scene.image_queue.pending(10) == ()
    assert scene.spool.read(image.sidecar.id) is None


def test_a_resumed_image_with_an_owner_waits_for_its_upload() -> None:
    scene = PaidScene(taken(), storage=FullStorage(), owner=OWNER)
    scene.run()
    scene.resume(scene.die())

    assert [entry.owner for entry in scene.image_queue.pending(10)] == [OWNER]


def test_bytes_that_cannot_be_kept_cost_no_image() -> None:
    scene = PaidScene(taken(), owner=OWNER)

    def fail(image_id: str, content: bytes) -> None:
        raise JournalError("The disk is full.")

    scene.spool.write = fail  # type: ignore[method-assign]
    report = scene.run()

    assert len(report.stored) == 1
    assert len(scene.image_queue.pending(10)) == 1


# What goes wrong before anything is sent


class Bursting:
    """Listens, and raises an error at an event of this kind."""

    def __init__(self, kind: type[events.Event], error: BaseException) -> None:
        self.kind, self.error = kind, error

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, self.kind):
            raise self.error


@pytest.mark.parametrize("error", [ValueError("!"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("kind", [events.Planned, events.Started])
def test_an_error_before_a_call_is_sent_releases_its_reservation(
    kind: type[events.Event], error: BaseException
) -> None:
    scene = PaidScene()
    scene.generate = msgspec.structs.replace(
        scene.generate, listen=Bursting(kind, error)
    )

    with suppress(type(error)):
        scene.run(count=3)

    assert scene.backend.jobs == []
    assert (scene.states, scene.ledger) == ([], [])


def test_without_a_thread_no_reservation_is_left() -> None:
    scene = PaidScene()

    with no_more_threads(), pytest.raises(RuntimeError):
        scene.run(count=3)

    assert scene.backend.jobs == []
    assert (scene.states, scene.ledger) == ([], [])


@pytest.mark.parametrize("error", [ValueError("!"), KeyboardInterrupt(), MemoryError()])
def test_an_error_of_a_backend_keeps_the_reservation_unless_it_says_otherwise(
    error: BaseException,
) -> None:
    def explode(job: ImageJob, context: JobContext) -> Generated:
        raise error

    def explode_unsent(job: ImageJob, context: JobContext) -> Generated:
        with mark_unsent():
            raise type(error)

    scene = PaidScene(explode, explode_unsent)

    scene.run(count=2)

    assert scene.states == ["sent"]
    assert scene.ledger == []
