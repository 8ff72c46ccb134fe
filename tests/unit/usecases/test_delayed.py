"""An output that exists and cannot be had now stays open, and the others are stored."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.unit.usecases.scenes import KnowingBackend, PaidScene
from tests.unit.usecases.test_extras import outputs, sidecars
from tests.unit.usecases.test_resume import DyingJournal, Killed

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import BackendError, StorageError, Unavailable, Unfinished
from imagen.domain.job import ImageJob
from imagen.domain.result import (
    DelayedOutput,
    Generated,
    GeneratedImage,
    ReceivedBody,
)
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import ANYTHING, FakeClock, MemoryStorage

BATCHES = Capabilities(largest_batch=4, may_cost=True, provider="vendor")
FREE = Capabilities(largest_batch=4)
PAGE = b"<html>Sign in</html>"


def without(
    count: int, *missing: int, deleted: tuple[int, ...] = (), body: bytes = b""
) -> Generated:
    """Return the outputs of a call, some of which are delayed or deleted."""
    whole = outputs(count)
    now = FakeClock().now()
    received = ReceivedBody(content=body, first_at=now, last_at=now) if body else None
    gone = {*missing, *deleted}
    return msgspec.structs.replace(
        whole,
        images=tuple(each for n, each in enumerate(whole.images) if n not in gone),
        delayed={
            n: DelayedOutput(reason=f"Output {n} is late.", received=received)
            for n in missing
        },
        deleted=dict.fromkeys(deleted, "It was deleted."),
    )


class Scene(PaidScene):
    """A vendor that has all of the outputs of a job only later."""

    def __init__(
        self,
        first: Generated,
        later: object,
        *,
        can: Capabilities = BATCHES,
        **more: Any,
    ) -> None:
        def answer(job: ImageJob, context: JobContext) -> Generated:
            context.accepted("job-7")
            return first

        backend = KnowingBackend(answer, capabilities=can)
        backend.jobs_there = {"job-7": later}  # type: ignore[dict-item]
        super().__init__(backend=backend, **more)
        self.rescued = MemoryStorage()
        self.store = msgspec.structs.replace(self.store, rescues=(self.rescued,))
        self.generate = msgspec.structs.replace(self.generate, store=self.store)
        self.known = backend


@pytest.mark.parametrize("name", [None, "x.png"])
@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("can", [BATCHES, FREE])
def test_the_others_are_stored_and_the_rest_is_fetched_later(
    can: Capabilities, late: int, name: str | None
) -> None:
    scene = Scene(without(2, late), outputs(2), can=can, name=name)

    report = scene.run(count=2)

    assert [image.number for image in report.stored] == [2 - late]
    (failed,) = report.failed
    assert (failed.number, type(failed.error)) == (late + 1, Unfinished)
    assert "imagen resume" in getattr(failed.error, "hint", "")
    assert len(scene.images) == 1
    assert scene.ledger == []
    stored = dict(scene.kept.kept)
    journal = scene.die()
    assert [each.reason for each in journal.list_open()] == [f"Output {late} is late."]

    (resumed,) = scene.resume(journal)

    assert (resumed.closed, len(resumed.stored)) == (True, 2)
    assert len(scene.images) == 2
    assert all(scene.kept.kept[name] == stored[name] for name in stored)
    assert sorted(each.width for each in sidecars(scene)) == [16, 17]
    assert scene.ledger == ([("ok", 100_000)] if can.may_cost else [])


def test_the_shares_of_the_cost_do_not_depend_on_what_is_late() -> None:
    scene = Scene(without(3, 1), outputs(3))
    scene.run(count=3)
    scene.resume(scene.die())

    assert [each.cost_usd for each in sidecars(scene)] == [0.05, 0.05, 0.05]
    assert scene.ledger == [("ok", 150_000)]


def test_an_extra_output_may_be_late_while_the_request_succeeds() -> None:
    scene = Scene(without(2, 1), outputs(2))

    report = scene.run()

    assert (len(report.stored), report.failed) == (1, ())
    (warning,) = [each for each in scene.warnings if "Output 1 is late." in each]
    assert "imagen resume" in warning
    assert scene.states == ["received"]
    (resumed,) = scene.resume(scene.die())
    assert resumed.closed
    assert [len(image.extras) for image in resumed.stored] == [1]
    assert scene.ledger == [("ok", 100_000)]


@pytest.mark.parametrize("last", [3, 4, 5])
@pytest.mark.parametrize("before", [True, False])
def test_a_crash_in_between_loses_nothing(last: int, *, before: bool) -> None:
    journal = DyingJournal(last, before=before)
    scene = Scene(without(3, 1), outputs(3), journal=journal)
    if (last, before) == (3, True):
        scene.known.found = [("job-7",)] * 9
    with suppress(Killed):
        scene.run(count=2)
    journal.die()
    next_one = journal.another()

    (resumed,) = scene.resume(next_one)

    assert resumed.closed
    assert sorted(each.width for each in sidecars(scene)) == [16, 17, 18]
    assert len({each.id for each in sidecars(scene)}) == 3
    assert len(scene.images) == 3
    assert len(scene.known.jobs) == 1


def test_what_is_late_for_longer_stays_open_and_nothing_is_stored_twice() -> None:
    scene = Scene(without(3, 1, 2), without(3, 0, 2))
    scene.run(count=3)
    journal = scene.die()

    (resumed,) = scene.resume(journal)

    assert not resumed.closed
    assert [image.number for image in resumed.stored] == [1, 2]
    assert [failed.number for failed in resumed.failed] == [3]
    assert len(scene.images) == 2
    scene.known.jobs_there = {"job-7": outputs(3)}
    (resumed,) = scene.resume(journal)
    assert resumed.is_complete
    assert len(scene.images) == 3
    assert scene.ledger == [("ok", 150_000)]


def test_what_was_moved_meanwhile_is_not_stored_again() -> None:
    scene = Scene(without(2, 1), outputs(2))
    report = scene.run(count=2)
    scene.kept.kept.clear()

    (resumed,) = scene.resume(scene.die())

    assert resumed.is_complete
    assert resumed.stored[0].location == report.stored[0].location
    assert [each.width for each in sidecars(scene)] == [17]


def test_an_outage_while_the_rest_is_fetched_leaves_it_open() -> None:
    scene = Scene(without(2, 1), Unavailable("It is down."))
    scene.run(count=2)
    journal = scene.die()

    (resumed,) = scene.resume(journal)

    assert (resumed.closed, len(resumed.stored)) == (False, 1)
    assert [each.reason for each in journal.list_open()] == ["It is down."]
    assert scene.ledger == []


@pytest.mark.parametrize(
    "later", [BackendError("It was deleted."), without(2, deleted=(1,))]
)
def test_what_was_deleted_in_the_meantime_closes_the_call(later: object) -> None:
    scene = Scene(without(2, 1), later)
    scene.run(count=2)

    (resumed,) = scene.resume(scene.die())

    assert (resumed.closed, len(resumed.stored)) == (True, 1)
    assert [str(failed.error) for failed in resumed.failed] == ["It was deleted."]
    assert scene.ledger == [("ok", 100_000)]


def test_a_deleted_output_does_not_move_the_others() -> None:
    scene = Scene(without(3, 1, deleted=(0,)), outputs(3))
    report = scene.run(count=3)
    (image,) = report.stored

    (resumed,) = scene.resume(scene.die())

    assert image.number == 3
    assert [each.number for each in resumed.stored] == [1, 2, 3]
    assert resumed.stored[2].sidecar.id == image.sidecar.id


# What comes instead of an image


def resume_after(scene: Scene, journal: Any, *, seconds: float) -> Any:
    """Let a download in another process get the same bytes that much later."""
    at = scene.clock.now() + timedelta(seconds=seconds)
    later = without(1, 0, body=PAGE)
    output = later.delayed[0]
    assert output.received is not None
    received = msgspec.structs.replace(output.received, first_at=at, last_at=at)
    output = msgspec.structs.replace(output, received=received)
    scene.known.jobs_there = {
        "job-7": msgspec.structs.replace(later, delayed={0: output})
    }
    (resumed,) = scene.resume(journal)
    return resumed


def test_what_comes_three_times_over_two_minutes_is_rescued() -> None:
    scene = Scene(without(1, 0, body=PAGE), None)
    report = scene.run()
    assert [type(failed.error) for failed in report.failed] == [Unfinished]
    journal = scene.die()

    assert not resume_after(scene, journal, seconds=300).closed
    assert scene.rescued.kept == {}
    resumed = resume_after(scene, journal, seconds=301)

    assert resumed.closed
    (name,) = scene.rescued.kept
    assert name.endswith(".html")
    assert scene.rescued.kept[name] == PAGE
    (failed,) = resumed.failed
    assert isinstance(failed.error, StorageError)
    assert failed.error.rescued_at == f"memory:{name}"
    assert scene.ledger == [("ok", 50_000)]


def test_what_comes_three_times_at_once_may_still_become_an_image() -> None:
    scene = Scene(without(1, 0, body=PAGE), None)
    scene.run()
    journal = scene.die()
    for seconds in (1, 119):
        assert not resume_after(scene, journal, seconds=seconds).closed

    scene.known.jobs_there = {"job-7": outputs(1)}
    (resumed,) = scene.resume(journal)

    assert resumed.is_complete
    assert scene.rescued.kept == {}


@pytest.mark.parametrize("other", [b"<html>Another</html>", b""])
def test_other_bytes_in_between_count_anew(other: bytes) -> None:
    now = FakeClock().now()

    def came(content: bytes, at: datetime) -> DelayedOutput:
        body = ReceivedBody(content=content, first_at=at, last_at=at)
        return DelayedOutput(reason="", received=body if content else None)

    output = came(PAGE, now)
    for number, content in enumerate([PAGE, other, PAGE], start=1):
        output = came(content, now + number * timedelta(minutes=5)).after(output)

    assert output.received is not None
    assert output.received.is_final == (not other)


# Bytes that are no image


@pytest.mark.parametrize(
    ("content", "extension"),
    [
        (b"\0\0\0\x18ftypmp42" + b"video" * 9, "mp4"),
        (b"\x1a\x45\xdf\xa3webm", "webm"),
        (b"\0\1\2\3\4\5\6\7", "bin"),
    ],
)
def test_bytes_that_are_no_image_are_rescued_unchanged(
    content: bytes, extension: str
) -> None:
    scene = Scene(outputs(1, first=content), None)

    (failed,) = scene.run().failed

    (name,) = scene.rescued.kept
    assert name.endswith(f".{extension}")
    assert scene.rescued.kept[name] == content
    assert isinstance(failed.error, StorageError)
    assert failed.error.rescued_at == f"memory:{name}"
    assert f"is safe at memory:{name}" in failed.error.message
    assert scene.states == []
    assert scene.ledger == [("ok", 50_000)]


def test_bytes_that_cannot_be_rescued_leave_the_call_open() -> None:
    scene = Scene(outputs(1, first=b"\0video"), None)
    store = msgspec.structs.replace(scene.store, rescues=())
    scene.generate = msgspec.structs.replace(scene.generate, store=store)

    scene.run()

    assert scene.states == ["received"]
    (resumed,) = scene.resume(scene.die())
    assert resumed.closed
    assert list(scene.rescued.kept.values()) == [b"\0video"]


def test_what_cost_nothing_and_is_no_image_is_not_kept() -> None:
    scene = Scene(outputs(1, first=PAGE), None, can=ANYTHING)

    (failed,) = scene.run().failed

    assert type(failed.error) is BackendError
    assert scene.rescued.kept == {}


def test_an_extra_that_is_no_image_is_a_warning() -> None:
    made = outputs(1)
    video = GeneratedImage(content=b"\0video", media_type="video/mp4")
    both = msgspec.structs.replace(made, images=(*made.images, video))
    scene = Scene(both, None)

    report = scene.run()

    assert (len(report.stored), report.failed) == (1, ())
    assert list(scene.rescued.kept.values()) == [b"\0video"]
    assert any("is safe at" in warning for warning in scene.warnings)
    assert scene.states == []
