"""What another process began is finished, once, whatever it died of."""

from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

import msgspec
import pytest
from tests.contract_internal.databases import temporary_database
from tests.unit.usecases.scenes import (
    KnowingBackend,
    PaidScene,
    RecordingJournal,
    paid_images,
    taken,
)

from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.ledger import SqliteLedger
from imagen.domain.call import Call, CallUpdate, OpenCall
from imagen.domain.consumption import Used
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    JournalError,
    Misconfigured,
    Unavailable,
    Unfinished,
)
from imagen.domain.history import HistoryEntry
from imagen.domain.instance import Instance
from imagen.domain.job import ImageJob
from imagen.domain.money.price import Price, Rate
from imagen.domain.result import Generated
from imagen.engine.cancellation import Cancellation
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import ANYTHING
from imagen.usecases.resume import ResumeCalls


class Killed(BaseException):
    """The process is gone."""


class DyingJournal(RecordingJournal):
    """Its process dies at the nth write, before or after that is stored."""

    def __init__(self, last: int, *, before: bool) -> None:
        super().__init__(temporary_database())
        self.left = last
        self.before = before
        self.alive = True

    def begin(self, calls: Sequence[Call], **limits: object) -> None:
        self._live_or_die(lambda: super(DyingJournal, self).begin(calls))

    def record(self, call_id: str, update: CallUpdate) -> None:
        self._live_or_die(lambda: super(DyingJournal, self).record(call_id, update))

    def _live_or_die(self, write: object) -> None:
        if not self.alive:
            raise Killed
        self.left -= 1
        if self.left or not self.before:
            write()  # type: ignore[operator]
        if not self.left:
            self.die()
            raise Killed

    def die(self) -> None:
        self.alive = False
        self.close()


def open_scene(answer: object, **there: object) -> tuple[PaidScene, KnowingBackend]:
    """Return a scene whose process died with a call open."""
    backend = KnowingBackend(answer)  # type: ignore[arg-type]
    backend.jobs_there = there  # type: ignore[assignment]
    scene = PaidScene(backend=backend)
    scene.run()
    return scene, backend


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("last", range(1, 6))
def test_wherever_it_dies_the_image_is_stored_once_and_paid_once(
    last: int, before: bool
) -> None:
    journal = DyingJournal(last, before=before)
    backend = KnowingBackend(taken())
    scene = PaidScene(backend=backend, journal=journal)
    with suppress(Killed):
        scene.run()
    journal.die()
    if len(backend.jobs) == 1:
        backend.found = [("job-7",)] * 9
    next_one = journal.another()

    resumed = scene.resume(next_one)

    assert len(backend.jobs) <= 1
    assert len(scene.images) == len(backend.jobs)
    assert len(list(SqliteLedger(next_one.database).rows())) == len(backend.jobs)
    sent_or_not = (last, before) == (2, False)  # nobody can know
    assert [each.closed for each in resumed] == [not sent_or_not for _ in resumed]
    assert len(next_one.list_open()) == sent_or_not


def test_an_image_that_was_stored_already_is_not_stored_twice() -> None:
    journal = DyingJournal(5, before=True)
    scene = PaidScene(taken(), journal=journal)
    with pytest.raises(Killed):
        scene.run()
    stored = dict(scene.kept.kept)

    (resumed,) = scene.resume(journal.another())

    assert resumed.closed
    assert scene.kept.kept == stored
    assert [image.location for image in resumed.stored] == [f"memory:{scene.images[0]}"]


class CountingHistory(SqliteHistory):
    """Counts how often it is asked for an image."""

    asked = 0

    def get(self, image_id: str) -> HistoryEntry | None:
        self.asked += 1
        return super().get(image_id)


def test_the_history_is_asked_once_for_each_image() -> None:
    scene = PaidScene(backend=KnowingBackend(taken(Unfinished("Silence."))))
    scene.history = CountingHistory(scene.journal.database)
    scene.run()

    scene.resume(scene.die())

    assert len(scene.images) == scene.history.asked == 1


def test_what_took_the_name_of_the_image_meanwhile_stays() -> None:
    scene = PaidScene(backend=KnowingBackend(taken(Unfinished(""))), name="x.png")
    scene.run()
    scene.kept.save("x.png", b"another", media_type="image/png")

    scene.resume(scene.die())

    assert scene.kept.kept["x.png"] == b"another"
    assert len(scene.images) == 2


def test_what_the_backend_has_is_fetched() -> None:
    scene, backend = open_scene(taken(Unfinished("Silence.")))

    (resumed,) = scene.resume(scene.die())

    assert (resumed.closed, len(resumed.stored)) == (True, 1)
    assert backend.asked == ["job-7"]
    assert len(backend.jobs) == 1
    assert scene.ledger == [("ok", 50_000)]


def test_what_nobody_timed_has_no_cost_by_the_second() -> None:
    scene = PaidScene(backend=KnowingBackend(taken(Unfinished("Silence."))))
    by_the_second = Price(rates=(Rate(unit="per_second", usd=Decimal("0.01")),))
    scene.generate = msgspec.structs.replace(
        scene.generate,
        instance=Instance(name="vendor", adapter="scripted", price=by_the_second),
    )
    scene.run()

    scene.resume(scene.die())

    assert scene.ledger == [("ok", None)]


def test_what_nobody_knows_is_looked_up() -> None:
    scene, backend = open_scene(Unfinished("Silence."))
    backend.found = [("job-9",)]

    (resumed,) = scene.resume(scene.die())

    assert resumed.closed
    assert backend.asked == ["job-9"]


def test_what_is_not_found_stays_open_with_the_words_that_it_may_be_billed() -> None:
    scene, backend = open_scene(Unfinished("Silence."))

    (resumed,) = scene.resume(scene.die())

    assert not resumed.closed
    assert "may have been billed ($0.05)" in getattr(resumed.error, "hint", "")
    assert len(backend.jobs) == 1
    assert scene.states == ["sent"]


def test_what_failed_at_the_backend_is_over() -> None:
    failure = BackendError("It broke.", used=Used(images=0))
    scene, _ = open_scene(taken(Unfinished("Silence.")), **{"job-7": failure})

    (resumed,) = scene.resume(scene.die())

    assert (resumed.closed, resumed.error) == (True, failure)
    assert scene.ledger == [("failed", 0)]


def test_a_backend_that_is_down_is_asked_again_and_then_later() -> None:
    down = Unavailable("It is down.")
    scene, backend = open_scene(taken(Unfinished("Silence.")), **{"job-7": down})

    (resumed,) = scene.resume(scene.die())

    assert not resumed.closed
    assert len(backend.asked) > 1
    assert scene.states == ["accepted"]


def test_an_adapter_that_cannot_be_asked_leaves_it_open() -> None:
    scene = PaidScene(taken(Unfinished("Silence.")))
    scene.run()

    (resumed,) = scene.resume(scene.die())

    assert not resumed.closed
    assert "cannot look up a job" in str(resumed.error)


def test_a_backend_that_is_in_the_config_no_more_leaves_it_open() -> None:
    scene, _ = open_scene(taken(Unfinished("Silence.")))
    journal = scene.die()

    def missing(instance: Instance) -> KnowingBackend:
        raise Misconfigured(f"There is no {instance.name}.")

    resume = ResumeCalls(
        journal=journal,
        records=scene.records(journal),
        backend_of=missing,
        store_of=lambda _: scene.store,
        clock=scene.clock,
    )
    (open_call,) = journal.list_open()

    resumed = resume.run(open_call, cancellation=Cancellation())

    assert str(resumed.error) == "There is no vendor."
    assert [each.reason for each in journal.list_open()] == ["There is no vendor."]


def test_what_is_being_worked_on_is_left_alone() -> None:
    seen: list[object] = []

    def answer(job: ImageJob, context: JobContext) -> Generated:
        context.accepted("job-7")
        seen.extend(scene.resume(scene.journal.another()))
        return paid_images(job, context)

    scene = PaidScene(backend=KnowingBackend(answer))
    report = scene.run()

    assert [getattr(each, "closed", None) for each in seen] == [False]
    assert len(report.stored) == 1
    assert scene.ledger == [("ok", 50_000)]


def test_one_that_was_stopped_can_be_finished_later() -> None:
    stopped = Cancelled("Stopped.")
    scene, _ = open_scene(taken(Unfinished("Silence.")), **{"job-7": stopped})

    (resumed,) = scene.resume(scene.die())

    assert (resumed.closed, resumed.error) == (False, stopped)
    assert scene.states == ["accepted"]


def test_a_free_job_is_finished_without_a_row() -> None:
    backend = KnowingBackend(taken(Unfinished("Silence.")), capabilities=ANYTHING)
    scene = PaidScene(backend=backend)
    scene.run()

    (resumed,) = scene.resume(scene.die())

    assert resumed.closed
    assert len(scene.images) == 1
    assert scene.ledger == []


# Several


def open_scene_of_two(**there: object) -> tuple[PaidScene, KnowingBackend, ResumeCalls]:
    """Return a scene whose process died with two calls open, and what finishes them."""
    first, second = (
        taken(Unfinished("Silence."), reference=name) for name in ("job-1", "job-2")
    )
    backend = KnowingBackend(first, second)
    backend.jobs_there = there  # type: ignore[assignment]
    scene = PaidScene(backend=backend)
    scene.run(count=2)
    journal = scene.die()
    resume = ResumeCalls(
        journal=journal,
        records=scene.records(journal),
        backend_of=lambda _: backend,
        store_of=lambda _: scene.store,
        clock=scene.clock,
        listen=scene.heard.append,
    )
    return scene, backend, resume


@pytest.mark.parametrize(
    "trouble", [Unfinished("Silence."), JournalError("It is damaged."), ValueError("!")]
)
def test_one_that_fails_does_not_keep_the_next_from_being_finished(
    trouble: Exception,
) -> None:
    scene, _, resume = open_scene_of_two(**{"job-1": trouble})

    first, second = resume.outcomes(resume.journal.list_open(), Cancellation())

    assert (first.is_complete, first.closed, first.error) == (False, False, trouble)
    assert (second.is_complete, len(second.stored)) == (True, 1)
    assert scene.ledger == [("ok", 50_000)]


def test_what_was_not_begun_when_it_is_stopped_stays_as_it_was() -> None:
    stop = Cancellation()

    def stopped(job: ImageJob, context: JobContext) -> Generated:
        stop.cancel()
        context.sleep(0)
        raise AssertionError

    scene, backend, resume = open_scene_of_two(**{"job-1": stopped})

    (first,) = resume.outcomes(resume.journal.list_open(), stop)

    assert isinstance(first.error, Cancelled)
    assert backend.asked == ["job-1"]
    assert scene.states == ["accepted", "accepted"]


def test_a_bar_hears_when_each_begins_and_how_it_ends() -> None:
    scene, _, resume = open_scene_of_two(**{"job-1": Unfinished("Silence.")})
    scene.heard.clear()

    list(resume.outcomes(resume.journal.list_open(), Cancellation()))

    assert [type(event).__name__ for event in scene.heard] == [
        *("Started", "Failed"),
        *("Started", "Progressed", "Stored", "Finished"),
    ]


def test_an_image_that_is_stored_is_said_though_the_journal_fails_then() -> None:
    scene, _ = open_scene(taken(Unfinished("Silence.")))
    journal = scene.die()
    journal_that_forgets = ForgetfulJournal(journal.database)
    resume = ResumeCalls(
        journal=journal_that_forgets,
        records=scene.records(journal_that_forgets),
        backend_of=lambda _: scene.backend,
        store_of=lambda _: scene.store,
        clock=scene.clock,
    )
    (open_call,) = journal.list_open()

    resumed = resume.run(open_call, cancellation=Cancellation())

    assert (len(resumed.stored), resumed.closed) == (1, False)


class ForgetfulJournal(RecordingJournal):
    """Can be written, and not be read."""

    def list_open(self) -> tuple[OpenCall, ...]:
        raise JournalError("It cannot be read.")
