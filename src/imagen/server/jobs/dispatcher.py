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
        self.feed = JobProgress()
        self.cancellation = Cancellation()
        self.detached = detached
        self.followers = 0
        self.work: asyncio.Task[None]
        self.result: asyncio.Future[RequestResult] = (
            asyncio.get_running_loop().create_future()
        )

    def tell(self, result: RequestResult | BaseException) -> None:
        """Have the followers told, unless they were before."""
        if self.result.done():
            return
        if isinstance(result, BaseException):
            self.result.set_exception(result)
            self.result.exception()  # nobody may follow
        else:
            self.result.set_result(result)
        self.feed.wake()


class RequestDispatcher:
    """Where requests come in; of one event loop.

    Args:
        workshop: What carries them out.

    Attributes:
        workshop: Likewise.
    """

    def __init__(self, workshop: ServerContext) -> None:
        self.workshop = workshop
        self._jobs: set[Job] = set()
        self._by_key: dict[tuple[str, str], Job] = {}
        self._deadline = 0.0
        self._owed: dict[tuple[str, str], Callable[[], None]] = {}
        self._settling: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """How many requests are not over."""
        return len(self._jobs)

    def submit(
        self, order: WorkItem, *, key: RequestKey | None, detached: bool, live: bool
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
        name = None if key is None else _name(key)
        there = None if name is None else self._by_key.get(name)
        if key is not None and there is not None and there.key is not None:
            if there.key.fingerprint != key.fingerprint:
                raise _of_another()
            there.detached = there.detached or detached
            return there
        job = Job(key=key, detached=detached)
        job.work = asyncio.create_task(self._work(order, job, live=live))
        self._jobs.add(job)
        if name is not None:
            self._by_key[name] = job

        def forget(_: asyncio.Task[None]) -> None:
            self._jobs.discard(job)
            if name is not None:
                self._by_key.pop(name, None)

        job.work.add_done_callback(forget)
        return job

    async def follow(self, job: Job, gone: Awaitable[None]) -> RequestResult:
        """Wait for the result, until the client has gone.

        Raises:
            Failure, ImagenError: why there is none.
        """
        leaving = asyncio.ensure_future(gone)
        waited: set[asyncio.Future[Any]] = {job.result, leaving}
        self.join(job)
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not job.result.done():
                raise client_disconnected()
            return job.result.result()
        finally:
            leaving.cancel()
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
        loop, grace = asyncio.get_running_loop(), self.workshop.settings.serve.grace
        self._deadline = loop.time() + grace
        loop.call_later(grace, self._give_up)
        for job in self._jobs:
            job.detached = True
        for lane in self.workshop.lanes.values():
            lane.close()

    def _give_up(self) -> None:
        for job in self._jobs:
            job.tell(_interrupted())

    async def finished(self) -> bool:
        """Wait until everything is over, or the time is."""
        left = self._deadline - asyncio.get_running_loop().time()
        if self._jobs:
            works = {job.work for job in self._jobs}
            await asyncio.wait(works, timeout=max(0.0, left))
        return not self._jobs

    async def _work(self, order: WorkItem, job: Job, *, live: bool) -> None:
        order = msgspec.structs.replace(order, told=live, key=job.key)
        try:
            job.tell(await self._carry_out(order, job))
        except (JournalError, Misconfigured) as error:
            self.workshop.say(f"{order.backend}: {error.message}")
            job.tell(to_error_response(error))
        except StorageError as error:  # the log has it, of the image
            job.tell(to_error_response(error))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is followed
            job.tell(error)

    async def _carry_out(self, order: WorkItem, job: Job) -> RequestResult:
        if job.key is None:
            return build_result(await self._made(order, job))
        return await self._once(order, job, job.key)

    async def _made(self, order: WorkItem, job: Job) -> GenerationReport:
        return await self.workshop.carry_out(
            order,
            job.cancellation,
            listen=job.feed.listen,
            keep=job.feed.keep,
        )

    async def _once(self, order: WorkItem, job: Job, key: RequestKey) -> RequestResult:
        """Carry it out if nothing was made under its key, else say what was."""
        keys, in_thread = self.workshop.accounts.keys, self.workshop.in_thread
        await self._settle_owed(_name(key))
        state = await in_thread(lambda: keys.claim(key, at=self.workshop.now()))
        if isinstance(state, KeyInterrupted):
            found = await self._pieced_together(key, state.calls)
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
                raise _of_another()
            case KeyInProgress():
                raise _busy()
            case KeyAnswered(answer=answer):
                return await in_thread(lambda: self._replayed(answer))

        try:
            report = await self._made(order, job)
        except WorkerDied:
            await self._write(key, lambda: keys.abandon(key))
            raise
        except (ErrorResponse, ImagenError):  # nothing was sent
            await self._write(key, lambda: keys.release(key))
            raise
        except BaseException:
            await self._write(key, lambda: keys.abandon(key))
            raise
        await self._write(key, lambda: self._settle(key, report))
        return build_result(report)

    async def _write(self, key: RequestKey, action: Callable[[], None]) -> None:
        """Write down what became of a request, now or as soon as that is possible."""
        try:
            await self.workshop.in_thread(action)
        except JournalError as error:
            self.workshop.say(f"what became of a request is yet to be kept: {error}")
            self._owed[_name(key)] = action
            if self._settling is None or self._settling.done():
                self._settling = asyncio.create_task(self._keep_settling())

    async def _keep_settling(self) -> None:
        while self._owed:
            await asyncio.sleep(_PAUSE)
            with suppress(JournalError):
                for name in list(self._owed):
                    await self._settle_owed(name)

    async def _settle_owed(self, name: tuple[str, str]) -> None:
        """Write down what could not be before.

        Raises:
            JournalError: it still cannot be.
        """
        if (action := self._owed.get(name)) is not None:
            await self.workshop.in_thread(action)
            self._owed.pop(name, None)

    def _settle(self, key: RequestKey, report: GenerationReport) -> None:
        """Write down what is said ever after; or that it may be asked again.

        Raises:
            JournalError: it cannot be, as perhaps its images could not.
        """
        keys = self.workshop.accounts.keys
        self._remember(report)
        if any(_is_open(failed) for failed in report.failed):
            keys.abandon(key)
            return
        try:
            result = build_result(report)
        except BaseException as error:  # noqa: BLE001 - it is raised again elsewhere
            if isinstance(error, ImagenError) and not error.may_have_cost:
                keys.release(key)
                return
            keys.complete(key, _answer_of(to_error_response(error)))
            return
        keys.complete(
            key,
            StoredAnswer(
                image_ids=tuple(image.sidecar.id for image in result.images),
                warnings=result.warnings,
            ),
        )

    def _remember(self, report: GenerationReport) -> None:
        """Add to the history what could not be added when it was made."""
        history = self.workshop.accounts.history
        rescued = (failed.rescued for failed in report.failed)
        missing = [
            HistoryEntry(location=image.location, sidecar=image.sidecar)
            for image in (*report.stored, *rescued)
            if image is not None and history.get(image.sidecar.id) is None
        ]
        if missing:
            history.add(missing)

    async def _pieced_together(
        self, key: RequestKey, calls: tuple[RecordedCall, ...]
    ) -> RequestResult | None:
        """Find out what became of a request whose process is gone.

        Returns:
            Its images; None when certainly nothing was made.

        Raises:
            Failure: it is not over, or may have cost money without an image.
        """
        in_thread = self.workshop.in_thread
        open_calls = [call.id for call in calls if call.open]
        if open_calls:
            await in_thread(lambda: self.workshop.resume(open_calls))
        state = await in_thread(
            lambda: self.workshop.accounts.keys.claim(key, at=self.workshop.now())
        )
        if not isinstance(state, KeyInterrupted):
            raise _busy()
        images = await in_thread(
            lambda: self.workshop.find_images(
                [image_id for call in calls for image_id in call.image_ids]
            )
        )
        if any(call.live for call in state.calls):
            raise _busy()  # what was left open is being asked for
        if any(call.open for call in state.calls):
            raise _unknown_fate([call.id for call in state.calls if call.open])
        keys = self.workshop.accounts.keys
        if images:
            answer = StoredAnswer(
                image_ids=tuple(image.sidecar.id for image in images),
                warnings=collect_warnings(images),
            )
            await in_thread(lambda: keys.complete(key, answer))
            return RequestResult(images=images, warnings=answer.warnings, replayed=True)
        if any(call.billed for call in state.calls):
            lost = _lost()
            await in_thread(lambda: keys.complete(key, _answer_of(lost)))
            raise lost
        return None

    def _replayed(self, answer: StoredAnswer) -> RequestResult:
        if answer.problem:
            problem = msgspec.json.decode(answer.problem, type=ErrorDetails)
            raise ErrorResponse.again(answer.status, problem)
        images = self.workshop.find_images(answer.image_ids)
        if len(images) < len(answer.image_ids):
            raise ErrorResponse(
                410,
                "This was made for an earlier request with the same Idempotency-Key, "
                "and is gone since.",
                code="image_gone",
            )
        return RequestResult(images=images, warnings=answer.warnings, replayed=True)


_PAUSE = 5.0
"""Seconds between two tries to write down what could not be."""


def _name(key: RequestKey) -> tuple[str, str]:
    return key.caller, key.key


def _is_open(failed: FailedImage) -> bool:
    """Say whether something may still come of it."""
    error = failed.error
    if isinstance(error, Cancelled):
        return not error.settled
    if isinstance(error, StorageError):
        return failed.rescued is None
    return isinstance(error, Unfinished) or not isinstance(error, ImagenError)


def _answer_of(failure: ErrorResponse) -> StoredAnswer:
    problem = msgspec.json.encode(failure.problem).decode()
    return StoredAnswer(status=failure.status, problem=problem)


def _of_another() -> ErrorResponse:
    return ErrorResponse(
        422,
        "Something else was asked for under this Idempotency-Key.",
        param="Idempotency-Key",
        code="idempotency_key_reused",
    )


def _busy() -> ErrorResponse:
    return ErrorResponse(
        409,
        "The request with this Idempotency-Key is being carried out.",
        code="idempotency_key_in_use",
        retry_after=5,
    )


def _interrupted() -> ErrorResponse:
    return ErrorResponse(
        502,
        "The server had to stop before this was over. The next one asks for what was "
        "sent, and keeps it; do not repeat it under another key, or before you have "
        "looked.",
        type="server_error",
        code="interrupted",
    )


def _unknown_fate(calls: list[str]) -> ErrorResponse:
    return ErrorResponse(
        409,
        "The first request with this Idempotency-Key was interrupted, and what became "
        "of it is not known: it may have been billed. It is not sent again; "
        f"`imagen resume {' '.join(calls)}` asks the backend for it.",
        code="unfinished",
    )


def _lost() -> ErrorResponse:
    return ErrorResponse(
        502,
        "The first request with this Idempotency-Key was interrupted and brought no "
        "image; it may have been billed. It is not sent again; another key sends it.",
        type="server_error",
        code="interrupted",
    )
