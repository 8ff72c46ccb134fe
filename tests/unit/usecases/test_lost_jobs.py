"""Calls whose responses were lost are matched with the jobs that the vendor has."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Barrier, Lock

import msgspec
import pytest
from tests.contract_internal.databases import temporary_database
from tests.unit.usecases.scenes import PAID, KnowingBackend, PaidScene, RecordingJournal

from imagen.domain.call import Call
from imagen.domain.errors import JournalError, Unavailable, Unfinished
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.engine.attempt import MAX_DELAY
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext
from imagen.testing.contracts.observation import run_at_once

DAY = timedelta(days=1)


class ForgetfulVendor(KnowingBackend):
    """Takes jobs, and loses each of its responses.

    Attributes:
        is_down: Whether it cannot be asked for its jobs.
        refuses: How many of the next submit requests never arrive.
    """

    def __init__(self, *, refuses: int = 0, is_down: bool = False) -> None:
        super().__init__(capabilities=PAID)
        self.clock: Clock | None = None
        self.refuses, self.is_down = refuses, is_down
        self.made: list[tuple[str, ImageJob, datetime]] = []
        self._making = Lock()

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        with self._making:
            if self.refuses:
                self.refuses -= 1
            else:
                self.make(job)
        raise Unfinished("The connection was lost.")

    def make(self, job: ImageJob, *, later: timedelta = timedelta()) -> None:
        """Take a job, now or later."""
        assert self.clock is not None
        plain = msgspec.structs.replace(job, number=1, timeout=1)
        name = f"job-{len(self.made) + 1}"
        self.made.append((name, plain, self.clock.now() + later))

    def find(
        self, job: ImageJob, *, since: object, context: JobContext
    ) -> tuple[str, ...]:
        assert isinstance(since, datetime)
        if self.is_down:
            raise Unavailable("It is down.")
        plain = msgspec.structs.replace(job, number=1, timeout=1)
        ordered = sorted(self.made, key=lambda made: made[2])
        return tuple(
            name for name, made, at in ordered if made == plain and at >= since
        )


def scene_with(vendor: ForgetfulVendor, **more: object) -> PaidScene:
    scene = PaidScene(backend=vendor, **more)  # type: ignore[arg-type]
    vendor.clock = scene.clock
    return scene


def test_identical_calls_get_one_of_the_jobs_each() -> None:
    vendor = ForgetfulVendor(is_down=True)
    scene = scene_with(vendor)
    for _ in range(8):
        scene.run(seed=7)
    vendor.is_down = False

    resumed = scene.resume(scene.die())

    assert [each.closed for each in resumed] == [True] * 8
    assert sorted(vendor.asked) == sorted(name for name, *_ in vendor.made)
    assert scene.ledger == [("ok", 50_000)] * 8
    assert len(scene.images) == 8


def test_lost_jobs_are_looked_up_at_the_same_time() -> None:
    together = Barrier(3)

    class Vendor(ForgetfulVendor):
        def find(
            self, job: ImageJob, *, since: object, context: JobContext
        ) -> tuple[str, ...]:
            if not self.is_down:
                together.wait(60)  # breaks if one lookup waits for another to end
            return super().find(job, since=since, context=context)

    vendor = Vendor(is_down=True)
    scene = scene_with(vendor)
    for seed in range(3):
        scene.run(seed=seed)
    vendor.is_down = False

    resumed = scene.resume(scene.die())

    assert [each.closed for each in resumed] == [True] * 3


def test_identical_calls_at_the_same_time_get_one_of_the_jobs_each() -> None:
    vendor = ForgetfulVendor()
    scene = scene_with(vendor)

    run_at_once(lambda _: scene.run(seed=7))

    assert sorted(vendor.asked) == sorted(name for name, *_ in vendor.made)
    assert len(scene.images) == len(vendor.made)
    assert scene.states == []


def test_identical_calls_of_one_command_get_one_of_the_jobs_each() -> None:
    vendor = ForgetfulVendor()
    scene = scene_with(vendor)
    for _ in range(2):
        scene.run(seed=7, count=3)

    assert sorted(vendor.asked) == sorted(name for name, *_ in vendor.made)
    assert len(scene.images) == 6


@pytest.mark.parametrize("refuses", [1, 5])
def test_of_more_calls_than_jobs_the_rest_stays_open(refuses: int) -> None:
    vendor = ForgetfulVendor(refuses=refuses, is_down=True)
    scene = scene_with(vendor)
    for _ in range(8):
        scene.run(seed=7)
    vendor.is_down = False

    resumed = scene.resume(scene.die())
    scene.resume(scene.journal.another())

    assert sum(each.closed for each in resumed) == 8 - refuses
    assert sorted(vendor.asked) == sorted(name for name, *_ in vendor.made)
    assert scene.states == ["sent"] * refuses
    assert len(scene.images) == 8 - refuses


@pytest.mark.parametrize("order", [1, -1])
def test_calls_of_different_times_get_all_of_the_jobs(order: int) -> None:
    vendor = ForgetfulVendor(is_down=True)
    scene = scene_with(vendor)
    for _ in range(3):
        scene.run(seed=7)
        scene.clock._elapsed += 60
    vendor.is_down = False
    journal = scene.die()
    calls = [each.call.id for each in journal.list_open()]

    resumed = scene.resume(journal, calls[::order])

    assert [each.closed for each in resumed] == [True] * 3
    assert sorted(vendor.asked) == ["job-1", "job-2", "job-3"]


@pytest.mark.parametrize(("calls", "others"), [(1, 1), (3, 1), (3, 2)])
def test_of_more_jobs_than_calls_none_is_taken(calls: int, others: int) -> None:
    vendor = ForgetfulVendor(is_down=True)
    scene = scene_with(vendor)
    for _ in range(calls):
        scene.run(seed=7)
        scene.clock._elapsed = 0.0  # all at the same time
    for _ in range(others):
        vendor.make(vendor.made[0][1])
    vendor.is_down = False

    resumed = scene.resume(scene.die())

    assert [each.closed for each in resumed] == [False] * calls
    assert vendor.asked == []


@pytest.mark.parametrize("calls", [1, 3])
def test_jobs_that_another_program_made_later_do_not_count(calls: int) -> None:
    vendor = ForgetfulVendor(is_down=True)
    scene = scene_with(vendor)
    for _ in range(calls):
        scene.run(seed=7)
    vendor.make(vendor.made[0][1], later=DAY)
    scene.clock._elapsed += 2 * DAY.total_seconds()
    vendor.is_down = False

    scene.resume(scene.die())

    assert sorted(vendor.asked) == [f"job-{n + 1}" for n in range(calls)]


def test_calls_with_another_job_do_not_count() -> None:
    vendor = ForgetfulVendor(is_down=True)
    scene = scene_with(vendor)
    for seed in (7, 8):
        scene.run(seed=seed)
    vendor.make(vendor.made[0][1])
    vendor.is_down = False

    resumed = scene.resume(scene.die())

    assert [each.closed for each in resumed] == [False, True]


def test_equal_calls_may_differ_in_their_timeout() -> None:
    vendor = ForgetfulVendor(is_down=True)
    scene = scene_with(vendor)
    for timeout in (60, 90):
        scene.run(seed=7, timeout=timeout)
    vendor.is_down = False

    resumed = scene.resume(scene.die())

    assert [each.closed for each in resumed] == [True, True]


def test_a_job_that_was_made_too_late_belongs_to_another_program() -> None:
    vendor = ForgetfulVendor(refuses=1, is_down=True)
    scene = scene_with(vendor)
    scene.run(seed=7)
    (open_call,) = scene.journal.list_open()
    timeout = timedelta(seconds=open_call.call.job.timeout)
    vendor.make(open_call.call.job, later=timeout + MAX_DELAY + timedelta(minutes=1))
    scene.clock._elapsed += DAY.total_seconds()
    vendor.is_down = False

    (resumed,) = scene.resume(scene.die())

    assert not resumed.closed
    assert vendor.asked == []


def test_a_job_that_was_made_before_the_call_was_sent_is_not_taken() -> None:
    vendor = ForgetfulVendor(refuses=1, is_down=True)

    def another_program_is_quicker(calls: Sequence[Call]) -> None:
        vendor.make(calls[0].job)
        scene.clock._elapsed += 60

    scene = scene_with(vendor)
    scene.generate = msgspec.structs.replace(
        scene.generate, before_calls=another_program_is_quicker
    )
    scene.run(seed=7)
    vendor.is_down = False

    (resumed,) = scene.resume(scene.die())

    assert not resumed.closed
    assert vendor.asked == []


def test_the_job_of_a_call_that_is_closed_is_not_taken() -> None:
    vendor = ForgetfulVendor()
    scene = scene_with(vendor)
    scene.run(seed=7)
    vendor.refuses = 1
    scene.run(seed=7)

    (resumed,) = scene.resume(scene.die())

    assert not resumed.closed
    assert vendor.asked == ["job-1"]


def test_a_timeout_without_end_has_no_latest_time() -> None:
    vendor = ForgetfulVendor(is_down=True)
    scene = scene_with(vendor)
    scene.run(seed=7, timeout=1e300)
    vendor.is_down = False

    (resumed,) = scene.resume(scene.die())

    assert resumed.closed


class UnreadableJournal(RecordingJournal):
    """Does not know which references are claimed."""

    def unclaimed_references(
        self, call: Call, references: Sequence[str]
    ) -> tuple[str, ...]:
        raise JournalError("It cannot be read.")


@pytest.mark.parametrize(("jobs", "asked"), [(1, ["job-1"]), (2, [])])
def test_without_claims_a_job_is_taken_only_if_it_is_the_only_one(
    jobs: int, asked: list[str]
) -> None:
    vendor = ForgetfulVendor()
    scene = scene_with(vendor, journal=UnreadableJournal(temporary_database()))
    if jobs > 1:
        scene.generate = msgspec.structs.replace(
            scene.generate, before_calls=lambda calls: vendor.make(calls[0].job)
        )

    scene.run(seed=7)

    assert vendor.asked == asked
