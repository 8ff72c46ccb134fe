"""Takes requests in: each is made once per key, and ends when nobody wants it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    JournalError,
    Misconfigured,
    StorageError,
    Unfinished,
)
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
from imagen.domain.result import FailedImage, GenerationReport
from imagen.engine.cancellation import Cancellation
from imagen.server.errors import (
    ErrorDetails,
    ErrorResponse,
    client_disconnected,
    to_error_response,
)
from imagen.server.jobs.progress import JobProgress
from imagen.server.jobs.results import RequestResult, build_result, collect_warnings
from imagen.server.jobs.service import ServerContext
from imagen.server.workers.pool import WorkerDied
from imagen.server.workers.work_item import WorkItem


class Job:
    """A request that is being carried out.

    Attributes:
        work: Ends when it is over.
        result: What its followers are told: what came of it, or that nobody waits on.
        feed: What is known until then.
        cancellation: Ends it.
        detached: Whether it goes on when nobody follows it.
        followers: How many connections wait for it.
    """

    def __init__(self, *, key: RequestKey | None, detached: bool) -> None:
        self.key = key
        self.progress = JobProgress()
        self.cancellation = Cancellation()
        self.detached = detached
        self.followers = 0
        self.task: asyncio.Task[None]
        self.result: asyncio.Future[RequestResult] = (
            asyncio.get_running_loop().create_future()
        )

    def resolve(self, result: RequestResult | BaseException) -> None:
        """Have the followers told, unless they were before."""
        if self.result.done():
            return
        if isinstance(result, BaseException):
            self.result.set_exception(result)
            self.result.exception()  # nobody may follow
        else:
            self.result.set_result(result)
        self.progress.notify()


class RequestDispatcher:
    """Where requests come in; of one event loop.

    Args:
        workshop: What carries them out.

    Attributes:
        workshop: Likewise.
    """

    def __init__(self, context: ServerContext) -> None:
        self.context = context
        self._jobs: set[Job] = set()
        self._by_key: dict[tuple[str, str], Job] = {}
        self._deadline = 0.0
        self._pending_writes: dict[tuple[str, str], Callable[[], None]] = {}
        self._retry_task: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """How many requests are not over."""
        return len(self._jobs)

    def submit(
        self, item: WorkItem, *, key: RequestKey | None, detached: bool, live: bool
    ) -> Job:
        """Have the order carried out, and return what goes on.

        Args:
            order: What to make.
            key: Under which it is asked for; what runs under the same is followed.
            detached: Whether it goes on when nobody follows it.
            live: Whether somebody wants to hear how far it is.

        Raises:
            Failure: something else runs under that key.
        """
        name = None if key is None else _key_id(key)
        existing = None if name is None else self._by_key.get(name)
        if key is not None and existing is not None and existing.key is not None:
            if existing.key.fingerprint != key.fingerprint:
                raise _key_reused()
            existing.detached = existing.detached or detached
            return existing
        job = Job(key=key, detached=detached)
        job.task = asyncio.create_task(self._work(item, job, live=live))
        self._jobs.add(job)
        if name is not None:
            self._by_key[name] = job

        def forget(_: asyncio.Task[None]) -> None:
            self._jobs.discard(job)
            if name is not None:
                self._by_key.pop(name, None)

        job.task.add_done_callback(forget)
        return job

    async def follow(self, job: Job, disconnected: Awaitable[None]) -> RequestResult:
        """Wait for the result, until the client has gone.

        Raises:
            Failure, ImagenError: why there is none.
        """
        disconnect = asyncio.ensure_future(disconnected)
        awaited: set[asyncio.Future[Any]] = {job.result, disconnect}
        self.join(job)
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if not job.result.done():
                raise client_disconnected()
            return job.result.result()
        finally:
            disconnect.cancel()
            self.leave(job)

    def join(self, job: Job) -> None:
        """Count as one who wants the job."""
        job.followers += 1

    def leave(self, job: Job) -> None:
        """Count no longer; what nobody wants is cancelled."""
        job.followers -= 1
        if not (job.followers or job.detached):
            job.cancellation.cancel()

    def close(self) -> None:
        """Send away whoever waits for a turn; the others get a while.

        What is not over by then is not cancelled: the next server finishes it.
        """
        loop, grace = asyncio.get_running_loop(), self.context.settings.serve.grace
        self._deadline = loop.time() + grace
        loop.call_later(grace, self._fail_open_jobs)
        for job in self._jobs:
            job.detached = True
        for queue in self.context.queues.values():
            queue.close()

    def _fail_open_jobs(self) -> None:
        for job in self._jobs:
            job.resolve(_interrupted_by_shutdown())

    async def drain(self) -> bool:
        """Wait until everything is over, or the time is."""
        left = self._deadline - asyncio.get_running_loop().time()
        if self._jobs:
            tasks = {job.task for job in self._jobs}
            await asyncio.wait(tasks, timeout=max(0.0, left))
        return not self._jobs

    async def _work(self, item: WorkItem, job: Job, *, live: bool) -> None:
        item = msgspec.structs.replace(item, report_progress=live, key=job.key)
        try:
            job.resolve(await self._run(item, job))
        except (JournalError, Misconfigured) as error:
            self.context.log(f"{item.backend}: {error.message}")
            job.resolve(to_error_response(error))
        except StorageError as error:  # the log has it, of the image
            job.resolve(to_error_response(error))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is followed
            job.resolve(error)

    async def _run(self, item: WorkItem, job: Job) -> RequestResult:
        if job.key is None:
            return build_result(await self._generate(item, job))
        return await self._run_once_per_key(item, job, job.key)

    async def _generate(self, item: WorkItem, job: Job) -> GenerationReport:
        return await self.context.run(
            item,
            job.cancellation,
            listen=job.progress.listen,
            on_outcome=job.progress.add_outcome,
        )

    async def _run_once_per_key(
        self, item: WorkItem, job: Job, key: RequestKey
    ) -> RequestResult:
        """Carry it out if nothing was made under its key, else say what was."""
        keys, in_thread = self.context.accounts.keys, self.context.in_thread
        await self._write_pending(_key_id(key))
        state = await in_thread(lambda: keys.claim(key, at=self.context.now()))
        if isinstance(state, KeyInterrupted):
            found = await self._recover(key, state.calls)
            if found is not None:
                return found
            state = (
                KeyClaimed()
                if await in_thread(lambda: keys.take_over(key))
                else KeyInProgress()
            )
        match state:
            case KeyClaimed():
                pass
            case KeyConflict():
                raise _key_reused()
            case KeyInProgress():
                raise _key_in_use()
            case KeyAnswered(answer=answer):
                return await in_thread(lambda: self._replay(answer))

        try:
            report = await self._generate(item, job)
        except WorkerDied:
            await self._write(key, lambda: keys.abandon(key))
            raise
        except (ErrorResponse, ImagenError):  # nothing was sent
            await self._write(key, lambda: keys.release(key))
            raise
        except BaseException:
            await self._write(key, lambda: keys.abandon(key))
            raise
        await self._write(key, lambda: self._record_outcome(key, report))
        return build_result(report)

    async def _write(self, key: RequestKey, action: Callable[[], None]) -> None:
        """Write down what became of a request, now or as soon as that is possible."""
        try:
            await self.context.in_thread(action)
        except JournalError as error:
            self.context.log(f"what became of a request is yet to be kept: {error}")
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
        """Write down what could not be before.

        Raises:
            JournalError: it still cannot be.
        """
        if (action := self._pending_writes.get(name)) is not None:
            await self.context.in_thread(action)
            self._pending_writes.pop(name, None)

    def _record_outcome(self, key: RequestKey, report: GenerationReport) -> None:
        """Write down what is said ever after; or that it may be asked again.

        Raises:
            JournalError: it cannot be, as perhaps its images could not.
        """
        keys = self.context.accounts.keys
        self._add_missing_history(report)
        if any(_is_open(failed) for failed in report.failed):
            keys.abandon(key)
            return
        try:
            result = build_result(report)
        except BaseException as error:  # noqa: BLE001 - it is raised again elsewhere
            if isinstance(error, ImagenError) and not error.may_have_cost:
                keys.release(key)
                return
            keys.complete(key, _stored_error(to_error_response(error)))
            return
        keys.complete(
            key,
            StoredAnswer(
                image_ids=tuple(image.sidecar.id for image in result.images),
                warnings=result.warnings,
            ),
        )

    def _add_missing_history(self, report: GenerationReport) -> None:
        """Add to the history what could not be added when it was made."""
        history = self.context.accounts.history
        rescued = (failed.rescued for failed in report.failed)
        missing = [
            HistoryEntry(location=image.location, sidecar=image.sidecar)
            for image in (*report.stored, *rescued)
            if image is not None and history.get(image.sidecar.id) is None
        ]
        if missing:
            history.add(missing)

    async def _recover(
        self, key: RequestKey, calls: tuple[RecordedCall, ...]
    ) -> RequestResult | None:
        """Find out what became of a request whose process is gone.

        Returns:
            Its images; None when certainly nothing was made.

        Raises:
            Failure: it is not over, or may have cost money without an image.
        """
        in_thread = self.context.in_thread
        open_calls = [call.id for call in calls if call.open]
        if open_calls:
            await in_thread(lambda: self.context.resume(open_calls))
        state = await in_thread(
            lambda: self.context.accounts.keys.claim(key, at=self.context.now())
        )
        if not isinstance(state, KeyInterrupted):
            raise _key_in_use()
        images = await in_thread(
            lambda: self.context.find_images(
                [image_id for call in calls for image_id in call.image_ids]
            )
        )
        if any(call.live for call in state.calls):
            raise _key_in_use()  # what was left open is being asked for
        if any(call.open for call in state.calls):
            raise _unknown_outcome([call.id for call in state.calls if call.open])
        keys = self.context.accounts.keys
        if images:
            answer = StoredAnswer(
                image_ids=tuple(image.sidecar.id for image in images),
                warnings=collect_warnings(images),
            )
            await in_thread(lambda: keys.complete(key, answer))
            return RequestResult(images=images, warnings=answer.warnings, replayed=True)
        if any(call.billed for call in state.calls):
            lost = _no_image_error()
            await in_thread(lambda: keys.complete(key, _stored_error(lost)))
            raise lost
        return None

    def _replay(self, answer: StoredAnswer) -> RequestResult:
        if answer.problem:
            details = msgspec.json.decode(answer.problem, type=ErrorDetails)
            raise ErrorResponse.replay(answer.status, details)
        images = self.context.find_images(answer.image_ids)
        if len(images) < len(answer.image_ids):
            raise ErrorResponse(
                410,
                "This was made for an earlier request with the same Idempotency-Key, "
                "and is gone since.",
                code="image_gone",
            )
        return RequestResult(images=images, warnings=answer.warnings, replayed=True)


_RETRY_INTERVAL = 5.0
"""Seconds between two tries to write down what could not be."""


def _key_id(key: RequestKey) -> tuple[str, str]:
    return key.caller, key.key


def _is_open(failed: FailedImage) -> bool:
    """Say whether something may still come of it."""
    error = failed.error
    if isinstance(error, Cancelled):
        return not error.settled
    if isinstance(error, StorageError):
        return failed.rescued is None
    return isinstance(error, Unfinished) or not isinstance(error, ImagenError)


def _stored_error(error: ErrorResponse) -> StoredAnswer:
    details = msgspec.json.encode(error.details).decode()
    return StoredAnswer(status=error.status, problem=details)


def _key_reused() -> ErrorResponse:
    return ErrorResponse(
        422,
        "Something else was asked for under this Idempotency-Key.",
        param="Idempotency-Key",
        code="idempotency_key_reused",
    )


def _key_in_use() -> ErrorResponse:
    return ErrorResponse(
        409,
        "The request with this Idempotency-Key is being carried out.",
        code="idempotency_key_in_use",
        retry_after=5,
    )


def _interrupted_by_shutdown() -> ErrorResponse:
    return ErrorResponse(
        502,
        "The server had to stop before this was over. The next one asks for what was "
        "sent, and keeps it; do not repeat it under another key, or before you have "
        "looked.",
        type="server_error",
        code="interrupted",
    )


def _unknown_outcome(calls: list[str]) -> ErrorResponse:
    return ErrorResponse(
        409,
        "The first request with this Idempotency-Key was interrupted, and what became "
        "of it is not known: it may have been billed. It is not sent again; "
        f"`imagen resume {' '.join(calls)}` asks the backend for it.",
        code="unfinished",
    )


def _no_image_error() -> ErrorResponse:
    return ErrorResponse(
        502,
        "The first request with this Idempotency-Key was interrupted and brought no "
        "image; it may have been billed. It is not sent again; another key sends it.",
        type="server_error",
        code="interrupted",
    )
