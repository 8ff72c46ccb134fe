"""Start jobs: once per idempotency key, cancelled when the last client leaves."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    JournalError,
    Misconfigured,
    StorageError,
    Unfinished,
)
from imagen.domain.events import Warned
from imagen.domain.history import HistoryEntry
from imagen.domain.idempotency import (
    KeyAnswered,
    KeyClaimed,
    KeyConflict,
    KeyInProgress,
    KeyInterrupted,
    RecordedCall,
    RequestKey,
    StoredAnswer,
)
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.server.errors import (
    REPLAYED,
    ErrorDetails,
    ErrorResponse,
    to_error_response,
)
from imagen.server.jobs.job import Job, RequestResult, build_result
from imagen.server.jobs.service import ServerContext
from imagen.server.workers.messages import Update
from imagen.server.workers.pool import WorkerDied
from imagen.server.workers.work_item import WorkItem
from imagen.usecases.generate import build_report


class RequestDispatcher:
    """Starts and tracks jobs; belongs to one event loop."""

    def __init__(self, context: ServerContext) -> None:
        self.context = context
        # By the id of the key; jobs without a key have an id of their own.
        self._jobs: dict[object, Job] = {}
        self._deadline = 0.0
        self._pending_writes: dict[tuple[str, str], Callable[[], None]] = {}
        self._retry_task: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """The number of unfinished requests."""
        return len(self._jobs)

    def submit(
        self,
        backend: str,
        build_item: Callable[[], WorkItem],
        *,
        key: RequestKey | None,
        detached: bool,
        live: bool,
    ) -> Job:
        """Start a job, or return the running job with the same key.

        Raises:
            ErrorResponse: a different request is running with this key (422).
        """
        job_id = object() if key is None else _key_id(key)
        if (existing := self._jobs.get(job_id)) is not None:
            if existing.key != key:
                raise _key_reused()
            existing.detached = existing.detached or detached
            return existing
        job = Job(backend, build_item, key=key, live=live, detached=detached)
        job.task = asyncio.create_task(self._work(job))
        self._jobs[job_id] = job
        job.task.add_done_callback(lambda _: self._jobs.pop(job_id))
        return job

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

    def _fail_open_jobs(self) -> None:
        for job in self._jobs.values():
            job.resolve(
                _interrupted(
                    "The server was stopped before the request finished. The next "
                    "server finishes what a paid backend has accepted. Look for the "
                    "images before you repeat the request, and repeat it only with the "
                    "same Idempotency-Key."
                )
            )

    async def drain(self) -> bool:
        """Wait for the open jobs until the deadline; return True if all finished."""
        left = self._deadline - asyncio.get_running_loop().time()
        if self._jobs:
            tasks = {job.task for job in self._jobs.values()}
            await asyncio.wait(tasks, timeout=max(0.0, left))
        return not self._jobs

    async def _work(self, job: Job) -> None:
        try:
            if job.key is None:
                job.resolve(build_result(await self._generate(job)))
            else:
                job.resolve(await self._run_once_per_key(job, job.key))
        except (JournalError, Misconfigured) as error:
            self.context.log(f"{job.backend}: {error.message}")
            job.resolve(to_error_response(error))
        except StorageError as error:  # logged already, for the image that failed
            job.resolve(to_error_response(error))
        except BaseException as error:  # noqa: BLE001 - raised in the followers
            job.resolve(error)

    async def _generate(self, job: Job) -> GenerationReport:
        """Wait for a slot of the backend, and run the job in a worker."""
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

        async with context.queues[backend].slot():
            item = msgspec.structs.replace(
                job.build_item(), report_progress=job.live, key=job.key
            )
            try:
                await context.workers.run(item, job.cancellation, observe)
            finally:
                # One line for all fields that the backend ignores.
                if warned:
                    context.log(f"{backend}: {'; '.join(dict.fromkeys(warned))}")
        context.cloud_sync.wake()
        return build_report(job.outcomes)

    async def _run_once_per_key(self, job: Job, key: RequestKey) -> RequestResult:
        """Run the work, or return the result of the earlier request with the key."""
        keys = self.context.stores.keys
        await self._write_pending(_key_id(key))
        earlier = await self.context.in_thread(lambda: self._claim(key))
        if earlier is not None:
            return earlier
        try:
            report = await self._generate(job)
        except BaseException as error:
            # An error that is raised instead of reported as a failed image: nothing was
            # sent, and the key may be used again.
            unsent = isinstance(error, ErrorResponse | ImagenError)
            unsent = unsent and not isinstance(error, WorkerDied)
            end = keys.release if unsent else keys.abandon
            await self._write(key, lambda: end(key))
            raise
        await self._write(key, lambda: self._record_outcome(key, report))
        return build_result(report)

    async def _write(self, key: RequestKey, action: Callable[[], None]) -> None:
        """Record the outcome of a request, now or as soon as the database is writable.

        A full disk must not lose the outcome: a retry with the key would pay twice.
        """
        try:
            await self.context.in_thread(action)
        except JournalError as error:
            self.context.log(
                f"could not record the outcome of a request; retrying: {error}"
            )
            self._pending_writes[_key_id(key)] = action
            if self._retry_task is None or self._retry_task.done():
                self._retry_task = asyncio.create_task(self._retry_pending_writes())

    async def _retry_pending_writes(self) -> None:
        while self._pending_writes:
            await asyncio.sleep(_RETRY_INTERVAL)
            with suppress(JournalError):
                for name in list(self._pending_writes):
                    await self._write_pending(name)

    async def _write_pending(self, name: tuple[str, str]) -> None:
        """Write the outcome that could not be written before, if there is one.

        Raises:
            JournalError: the database is still not writable.
        """
        if (action := self._pending_writes.get(name)) is not None:
            await self.context.in_thread(action)
            self._pending_writes.pop(name, None)

    def _record_outcome(self, key: RequestKey, report: GenerationReport) -> None:
        """Store the response for later requests with the key, or release the key."""
        keys = self.context.stores.keys
        self._add_missing_history(report)
        if any(_is_open(failed) for failed in report.failed):
            keys.abandon(key)
            return
        try:
            answer = _stored_images(build_result(report))
        except BaseException as error:  # noqa: BLE001 - `_run_once_per_key` raises it again
            if isinstance(error, ImagenError) and not error.may_have_cost:
                keys.release(key)
                return
            answer = _stored_error(to_error_response(error))
        keys.complete(key, answer)

    def _add_missing_history(self, report: GenerationReport) -> None:
        """Add images to the history that could not be added when they were stored."""
        history = self.context.stores.history
        rescued = (failed.rescued for failed in report.failed)
        extras = (extra for image in report.stored for extra in image.extras)
        missing = [
            HistoryEntry(location=image.location, sidecar=image.sidecar)
            for image in (*report.stored, *rescued, *extras)
            if image is not None and history.get(image.sidecar.id) is None
        ]
        if missing:
            history.add(missing)

    def _claim(self, key: RequestKey) -> RequestResult | None:
        """Claim the key, or return the result of the earlier request with it."""
        keys = self.context.stores.keys
        match keys.claim(key, at=self.context.now()):
            case KeyConflict():
                raise _key_reused()
            case KeyInProgress():
                raise _key_in_use()
            case KeyAnswered(answer=answer):
                return self._replay(answer)
            case KeyInterrupted(calls=calls):
                found = self._recover(key, calls)
                if found is None and not keys.take_over(key):
                    raise _key_in_use()
                return found
            case KeyClaimed():
                return None

    def _recover(
        self, key: RequestKey, calls: tuple[RecordedCall, ...]
    ) -> RequestResult | None:
        """Return the images of a request whose process has died.

        None if certainly nothing was generated.

        Raises:
            ErrorResponse: the request is still running, its outcome is unknown, or it
                may have cost money without an image.
        """
        keys = self.context.stores.keys
        if open_calls := [call.id for call in calls if call.open]:
            self.context.resume(open_calls)
        state = keys.claim(key, at=self.context.now())
        if not isinstance(state, KeyInterrupted):
            raise _key_in_use()
        images = self.context.find_images(
            [image_id for call in calls for image_id in call.image_ids]
        )
        if any(call.live for call in state.calls):
            # Another process, or the resume thread of this one, has claimed a call.
            raise _key_in_use()
        if still_open := [call.id for call in state.calls if call.open]:
            raise ErrorResponse(
                409,
                "The first request with this Idempotency-Key was interrupted and its "
                "outcome is unknown: it may have been billed. It is not sent again. "
                f"Run `imagen resume {' '.join(still_open)}` to query the backend.",
                code="unfinished",
            )
        if images:
            warnings = dict.fromkeys(
                w for each in images for w in each.sidecar.warnings
            )
            result = RequestResult(
                images=images, warnings=tuple(warnings), replayed=True
            )
            keys.complete(key, _stored_images(result))
            return result
        if any(call.billed for call in state.calls):
            lost = _interrupted(
                "The first request with this Idempotency-Key was interrupted without "
                "an image; it may have been billed. It is not sent again. Use a new "
                "key to send it."
            )
            keys.complete(key, _stored_error(lost))
            raise lost
        return None

    def _replay(self, answer: StoredAnswer) -> RequestResult:
        if answer.problem:
            details = msgspec.json.decode(answer.problem, type=ErrorDetails)
            raise ErrorResponse.rebuild(answer.status, details, {REPLAYED: "true"})
        images = self.context.find_images(answer.image_ids)
        if len(images) < len(answer.image_ids):
            raise ErrorResponse(
                410,
                "An earlier request with this Idempotency-Key generated images that "
                "have been deleted since.",
                code="image_gone",
            )
        return RequestResult(images=images, warnings=answer.warnings, replayed=True)


_RETRY_INTERVAL = 5.0
"""Seconds between attempts to record an outcome that could not be written."""


def _key_id(key: RequestKey) -> tuple[str, str]:
    return key.caller, key.key


def _is_open(failed: FailedImage) -> bool:
    """Return True if the backend may still produce the image."""
    error = failed.error
    if isinstance(error, Cancelled):
        return not error.settled
    if isinstance(error, StorageError):
        return error.rescued_at is None
    return isinstance(error, Unfinished) or not isinstance(error, ImagenError)


def _stored_images(result: RequestResult) -> StoredAnswer:
    return StoredAnswer(
        image_ids=tuple(image.sidecar.id for image in result.images),
        warnings=result.warnings,
    )


def _stored_error(error: ErrorResponse) -> StoredAnswer:
    details = msgspec.json.encode(error.details).decode()
    return StoredAnswer(status=error.status, problem=details)


def _key_reused() -> ErrorResponse:
    return ErrorResponse(
        422,
        "This Idempotency-Key was used for a different request. Use a new key.",
        param="Idempotency-Key",
        code="idempotency_key_reused",
    )


def _key_in_use() -> ErrorResponse:
    return ErrorResponse(
        409,
        "A request with this Idempotency-Key is still running.",
        code="idempotency_key_in_use",
        retry_after=5,
    )


def _interrupted(message: str) -> ErrorResponse:
    return ErrorResponse(502, message, code="interrupted")
