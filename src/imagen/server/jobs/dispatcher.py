"""Start jobs, join repeated requests to them, and let them go on without clients."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from imagen.adapters.system.random import random_int
from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    JournalError,
    Misconfigured,
    StorageError,
)
from imagen.domain.events import Warned
from imagen.domain.ids import new_id
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.server.errors import (
    ErrorResponse,
    client_disconnected,
    to_error_response,
)
from imagen.server.jobs.board import JobBoard
from imagen.server.jobs.connection import ClientConnection
from imagen.server.jobs.job import (
    Job,
    JobOutcome,
    JobRequest,
    RequestResult,
    build_result,
)
from imagen.server.jobs.joining import RecentRequests
from imagen.server.jobs.recorded import (
    RecordedRequests,
    describe_error,
    describe_report,
    interrupted,
    key_id,
    key_reused,
    stored_images,
)
from imagen.server.jobs.service import ServerContext
from imagen.server.workers.messages import Update
from imagen.server.workers.pool import WorkerDied
from imagen.usecases.generate import build_report

FREE_LINGER = 60.0
"""Seconds that a job of a free backend continues without a client."""


class RequestDispatcher:
    """Starts and tracks jobs; belongs to one event loop.

    Args:
        free_linger: Seconds that a job of a free backend continues without a client.

    Attributes:
        board: The jobs of each caller, for the gallery.
    """

    def __init__(
        self, context: ServerContext, *, free_linger: float = FREE_LINGER
    ) -> None:
        self.context = context
        self._free_linger = free_linger
        self._jobs: dict[str, Job] = {}
        self._keyed: dict[tuple[str, str], Job] = {}
        self._deadline = 0.0
        self._recorded = RecordedRequests(context, self._generate)
        self._recent = RecentRequests(context)
        self.board = JobBoard()

    @property
    def open(self) -> int:
        """The number of unfinished requests."""
        return len(self._jobs)

    def list_jobs(self, caller: str | None) -> Sequence[Job]:
        """Return the unfinished jobs of a caller, the oldest first; None: of all."""
        return [job for job in self._jobs.values() if caller in {None, job.caller}]

    def cancel(self, job: Job) -> None:
        """Cancel a job at once; its clients get 499."""
        job.cancel(ErrorResponse(499, "The request was cancelled.", code="cancelled"))

    async def submit(self, request: JobRequest, connection: ClientConnection) -> Job:
        """Start a job for the client, or join one to it.

        Raises:
            ErrorResponse: a different request is running with this key (422).
        """
        if request.key is not None:
            job = self._submit_keyed(request, key_id(request.key))
        elif request.fingerprint:
            # It connects the client itself: until then another one could join.
            return await self._join_or_start(request, connection)
        else:
            job = self._start(request)
        self._connect(job, connection)
        return job

    def _submit_keyed(self, request: JobRequest, name: tuple[str, str]) -> Job:
        if (existing := self._keyed.get(name)) is not None:
            if existing.key != request.key:
                raise key_reused()
            if existing.detached is not True:
                existing.detached = request.detached
            return existing
        job = self._keyed[name] = self._start(request)
        job.task.add_done_callback(lambda _: self._keyed.pop(name))
        return job

    async def _join_or_start(
        self, request: JobRequest, connection: ClientConnection
    ) -> Job:
        job = await self._recent.join(request, connection.retries)
        if job is None:
            job = self._start(request)
            self._recent.add(job)
        else:
            connection.headers["Imagen-Joined"] = job.id
            if job.position:
                job.live = job.live or request.live
            if job.is_idle:
                job.wake(request)
                self._run(job)
        self._connect(job, connection)
        return job

    def _start(self, request: JobRequest) -> Job:
        now = self.context.now()
        job_id = new_id(now, random_int)
        job = Job(job_id, request, created_at=now)
        self._run(job)
        return job

    def _run(self, job: Job) -> None:
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._work(job))
        job.task.add_done_callback(lambda _: self._end(job))
        self.board.add(job)

    def _end(self, job: Job) -> None:
        del self._jobs[job.id]
        job.place = None
        if job.timer is not None:
            job.timer.cancel()
        job.ended_at = job.ended_at or self.context.now()
        self.board.end(job)
        self._recent.note(job)
        if not job.followers:
            self._recent.settle(job)

    def _connect(self, job: Job, connection: ClientConnection) -> None:
        job.followers += 1
        job.retries = connection.retries
        job.answered = job.is_loss_saved = False
        if job.timer is not None:
            job.timer.cancel()
        connection.headers["Imagen-Job"] = job.id
        connection.on_end(partial(self._disconnect, job))
        self._recent.note(job)
        # The job may have waited for a client.
        self.context.queues[job.backend].advance()

    def _disconnect(self, job: Job, answered: bool) -> None:  # noqa: FBT001 - a listener
        job.followers -= 1
        # A shutdown answers before the job has ended.
        job.answered = job.answered or (answered and job.task.done())
        self._recent.note(job)
        if job.followers:
            return
        if job.id not in self._jobs:
            self._recent.settle(job)
        elif not job.task.done():
            self._linger(job)

    def _linger(self, job: Job) -> None:
        """Let a job go on without clients, as far as it may."""
        if not job.position:
            self._recent.lose(job)
        if job.detached is False:
            self.cancel(job)
        elif job.detached is None:
            wait = self._free_linger
            if job.position:
                wait = self.context.settings.serve.linger
            loop = asyncio.get_running_loop()
            job.timer = loop.call_later(wait, self._give_up, job)

    def _give_up(self, job: Job) -> None:
        """Drop a job without clients, unless it may cost money."""
        if job.place is not None and job.position:
            job.place.leave(client_disconnected())
        elif job.may_cost is False and not job.followers:
            task = asyncio.create_task(self._cancel_unless_joined(job))
            self._recent.track(task)

    async def _cancel_unless_joined(self, job: Job) -> None:
        """Cancel a free job, unless a client waits for it at another server."""
        if await self._recent.is_followed_elsewhere(job):
            loop = asyncio.get_running_loop()
            job.timer = loop.call_later(self._free_linger, self._give_up, job)
        elif job.id in self._jobs and not (job.followers or job.is_joining):
            self.cancel(job)

    def close(self) -> None:
        """Reject queued requests, and give running ones `serve.grace` seconds.

        Requests that take longer are not cancelled: the next server resumes them.
        """
        loop, grace = asyncio.get_running_loop(), self.context.settings.serve.grace
        self._deadline = loop.time() + grace
        loop.call_later(grace, self._fail_open_jobs)
        for job in self._jobs.values():
            job.detached = True
        for queue in self.context.queues.values():
            queue.close()
        self.board.close()

    def _fail_open_jobs(self) -> None:
        for job in self._jobs.values():
            job.resolve(
                interrupted(
                    "The server was stopped before the request finished. The next "
                    "server finishes what a paid backend has accepted. Look for the "
                    "images before you repeat the request, and repeat it only with the "
                    "same Idempotency-Key."
                )
            )

    async def drain(self) -> bool:
        """Wait for the open jobs until the deadline; return True if all finished."""
        loop = asyncio.get_running_loop()
        if self._jobs:
            tasks = {job.task for job in self._jobs.values()}
            await asyncio.wait(tasks, timeout=max(0.0, self._deadline - loop.time()))
        await self._recent.drain()
        return not self._jobs

    async def validate(self, job: Job, connection: ClientConnection) -> None:
        """Wait until a request is known to be valid and within its budgets.

        One that waits in the queue is checked now, without its turn.

        Raises:
            ErrorResponse, ImagenError: it has failed.
        """
        while not (job.planned or job.result.done()):
            if job.check is None and job.position:
                job.check = asyncio.create_task(self._check(job))
            if job.check is not None and job.check.done() and job.position:
                return
            changed = asyncio.ensure_future(job.changed.wait())
            awaited: set[asyncio.Future[Any]] = {changed, connection.lost}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            if connection.lost.done():
                raise client_disconnected()
        if job.result.done():
            job.result.result()

    async def _check(self, job: Job) -> None:
        try:
            item = msgspec.structs.replace(job.build_item(), check_only=True)
            await self.context.workers.run(item, job.cancellation, lambda _: None)
        except WorkerDied:
            pass  # the request may be sent all the same
        except Exception as error:  # noqa: BLE001 - raised in the followers
            if job.place is not None:
                job.place.leave(error)
        finally:
            # Once this task is done, in the next round of the loop.
            asyncio.get_running_loop().call_soon(job.notify)

    async def _work(self, job: Job) -> None:
        try:
            job.resolve(await self._find_or_generate(job))
        except (JournalError, Misconfigured) as error:
            self.context.log(f"{job.backend}: {error.message}")
            job.resolve(to_error_response(error))
        except StorageError as error:  # logged already, for the image that failed
            job.resolve(to_error_response(error))
        except BaseException as error:  # noqa: BLE001 - raised in the followers
            job.resolve(error)

    async def _find_or_generate(self, job: Job) -> RequestResult:
        recorded, outcome = self._recorded, job.outcome
        if outcome is not None and (answer := outcome.answer) is not None:
            return await self.context.in_thread(lambda: recorded.replay(answer))
        if job.key is not None:
            return await recorded.run(job, job.key)
        if not job.is_stored:
            return build_result(await self._generate(job))
        result = await recorded.join(job, self._recent.key_of(job))
        job.outcome = JobOutcome(answer=stored_images(result))
        return result

    async def _generate(self, job: Job) -> GenerationReport:
        """Wait for a slot of the backend, and run the job in a worker."""
        job.is_foreign = False
        try:
            report = await self._wait_and_run(job)
        except BaseException as error:
            job.outcome = describe_error(error)
            raise
        job.outcome = describe_report(report)
        return report

    async def _wait_and_run(self, job: Job) -> GenerationReport:
        context, backend = self.context, job.backend
        warned: list[str] = []

        def observe(update: Update) -> None:
            if isinstance(update, Warned):
                warned.append(update.message)
            if isinstance(update, StoredImage | FailedImage):
                context.metrics.count(backend, update)
            # The response may leave out details of the error.
            if isinstance(update, FailedImage):
                error = update.error
                text = error.message if isinstance(error, ImagenError) else repr(error)
                if not isinstance(error, Cancelled):
                    context.log(f"{backend}: {text}")
            job.update(update)

        job.place = context.queues[backend].enter(lambda: job.is_wanted)
        job.notify()
        async with job.place:
            item = msgspec.structs.replace(
                job.build_item(),
                report_progress=job.live,
                key=job.key or (self._recent.key_of(job) if job.fingerprint else None),
                retries=job.retries,
            )
            try:
                await context.workers.run(item, job.cancellation, observe)
            finally:
                # One line for all fields that the backend ignores.
                if warned:
                    context.log(f"{backend}: {'; '.join(dict.fromkeys(warned))}")
        context.cloud_sync.wake()
        return build_report(job.outcomes)
