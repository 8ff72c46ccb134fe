"""The list of a caller's jobs: places, progress, ends, and who is told of a change."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.contract_internal.samples import sample_entry

from imagen.domain.errors import Cancelled, OverBudget
from imagen.domain.events import Previewed, Progressed
from imagen.domain.idempotency import RequestKey
from imagen.server.errors import ErrorResponse
from imagen.server.jobs.backend_queue import BackendQueue
from imagen.server.jobs.board import LISTED_FOR, MAX_ENDED, JobBoard
from imagen.server.jobs.job import Job, JobRequest, RequestResult, StoredOutput

NOW = datetime(2026, 12, 1, tzinfo=UTC)
KEY = RequestKey(caller="ann", key="k", fingerprint="f")


def start(board: JobBoard, name: str, *, caller: str = "ann", **fields: object) -> Job:
    request = JobRequest(
        backend="flux",
        build_item=lambda: pytest.fail("not here"),
        caller=caller,
        **{"prompt": "a fox", **fields},  # type: ignore[arg-type]
    )
    job = Job(name, request, created_at=NOW)
    board.add(job)
    return job


def end(board: JobBoard, job: Job, result: object = None) -> None:
    done = RequestResult(
        images=(StoredOutput(sidecar=sample_entry(1).sidecar, content=b""),)
    )
    job.resolve(result if isinstance(result, BaseException) else done)
    job.ended_at = NOW
    board.end(job)
    job.free_memory()


def in_loop(run: Callable[[JobBoard], Awaitable[None]]) -> None:
    async def main() -> None:
        await run(JobBoard())

    asyncio.run(main())


def test_a_queued_job_has_a_place_and_a_running_one_progress() -> None:
    async def run(board: JobBoard) -> None:
        queue = BackendQueue("flux", concurrency=1, waiting=9)
        jobs = [start(board, name, image_count=2) for name in "abc"]
        for job in jobs:
            job.place = queue.enter(lambda: True)
        jobs[0].update(Progressed(number=2, fraction=0.5, note="step 1", steps=20))
        jobs[0].update(Previewed(number=2, content=b"x", media_type="image/png"))

        first, *waiting = board.list_jobs("ann", now=NOW)

        assert [(job.status, job.place) for job in waiting] == [
            ("queued", 1),
            ("queued", 2),
        ]
        assert (first.status, first.place) == ("running", None)
        assert [image.fraction for image in first.images] == [None, 0.5]
        assert first.images[1].preview
        found = board.find_preview("ann", "a", 2)
        assert found is not None
        assert found.content == b"x"
        assert board.find_preview("bob", "a", 2) is None

    in_loop(run)


def test_an_ended_job_keeps_its_images_or_its_error() -> None:
    async def run(board: JobBoard) -> None:
        for name, error in (
            ("done", None),
            ("failed", OverBudget("Too expensive.")),
            ("cancelled", Cancelled("Cancelled.", settled=True)),
        ):
            end(board, start(board, name), error)

        done, failed, cancelled = board.list_jobs("ann", now=NOW)

        assert [image.id for image in done.images] == [sample_entry(1).sidecar.id]
        assert (done.status, done.prompt) == ("done", "a fox")
        assert (failed.status, failed.error) == ("failed", "Too expensive.")
        assert cancelled.status == "cancelled"
        assert board.list_jobs("ann", now=NOW + LISTED_FOR + timedelta(1)) == ()
        board.forget_ended("ann")
        assert board.list_jobs("ann", now=NOW) == ()

    in_loop(run)


def test_open_jobs_are_all_listed_and_ended_ones_are_limited() -> None:
    async def run(board: JobBoard) -> None:
        first = start(board, "open")
        for number in range(MAX_ENDED + 3):
            end(board, start(board, str(number)))
        start(board, "other", caller="bob")

        listed = [job.id for job in board.list_jobs("ann", now=NOW)]

        assert listed == [
            first.id,
            *(str(number) for number in range(3, MAX_ENDED + 3)),
        ]

    in_loop(run)


def test_a_job_is_found_by_its_key_and_not_for_another_request() -> None:
    async def run(board: JobBoard) -> None:
        job = start(board, "a", key=KEY)
        running = board.find(KEY)
        end(board, job)
        done = board.find(KEY)

        assert running is not None
        assert done is not None
        assert (running.id, done.id, done.status) == ("a", "a", "done")
        for other in ({"key": "other"}, {"caller": "bob"}):
            assert board.find(msgspec.structs.replace(KEY, **other)) is None
        with pytest.raises(ErrorResponse, match="different request"):
            board.find(msgspec.structs.replace(KEY, fingerprint="g"))

    in_loop(run)


def test_a_listener_is_told_of_its_callers_jobs_and_of_the_queue() -> None:
    async def run(board: JobBoard) -> None:
        job, other = start(board, "a"), start(board, "b", caller="bob")
        with board.listen("ann") as changed:
            other.update(Progressed(number=1, fraction=0.5, note="", steps=20))
            assert not changed.is_set()
            job.update(Progressed(number=1, fraction=0.5, note="", steps=20))
            assert changed.is_set()
            changed.clear()
            end(board, other)  # the jobs behind it move up
            assert changed.is_set()
            changed.clear()
            board.close()
            assert changed.is_set()

    in_loop(run)


def test_an_ended_job_that_is_read_again_stays_as_it_was() -> None:
    async def run(board: JobBoard) -> None:
        job = start(board, "a")
        end(board, job)
        board.add(job)

        assert [each.status for each in board.list_jobs("ann", now=NOW)] == ["done"]

    in_loop(run)
