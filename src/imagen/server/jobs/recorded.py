"""Recorded requests: run once under their key, also after a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    JournalError,
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
from imagen.server.errors import (
    REPLAYED,
    ErrorDetails,
    ErrorResponse,
    client_disconnected,
    to_error_response,
)
from imagen.server.jobs.job import Job, JobOutcome, RequestResult, build_result
from imagen.server.jobs.service import ServerContext
from imagen.server.workers.pool import WorkerDied

Generate = Callable[[Job], Awaitable[GenerationReport]]


class RecordedRequests:
    """Runs requests under their keys; belongs to one event loop.

    Args:
        generate: Runs a job whose key is claimed.
    """

    def __init__(self, context: ServerContext, generate: Generate) -> None:
        self.context = context
        self._generate = generate
        self._pending_writes: dict[tuple[str, str], Callable[[], None]] = {}
        self._retry_task: asyncio.Task[None] | None = None

    async def run(self, job: Job, key: RequestKey) -> RequestResult:
        """Run the work, or return the result of the earlier request with the key."""
        await self._write_pending(key_id(key))
        earlier = await self.context.in_thread(lambda: self._claim(key), slow=True)
        if earlier is not None:
            return earlier
        try:
            report = await self._generate(job)
        except BaseException:
            await self._write(key, lambda: self._record(key, job.outcome))
            raise

        def record() -> None:
            self._add_missing_history(report)
            self._record(key, job.outcome)

        await self._write(key, record)
        return build_result(report)

    async def join(self, job: Job, key: RequestKey) -> RequestResult:
        """Return the result of a request without a key that was recorded.

        Waits while another process works on it, and runs it again if certainly nothing
        was sent.
        """
        while not job.cancellation.event.is_set():
            try:
                return await self.run(job, key)
            except ErrorResponse as error:
                if error.details.code != _IN_USE:
                    raise
            await asyncio.sleep(_POLL_INTERVAL)
        raise client_disconnected()

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
            self._pending_writes[key_id(key)] = action
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

    def _record(self, key: RequestKey, outcome: JobOutcome | None) -> None:
        """Store the response for later requests with the key, or release the key."""
        keys = self.context.stores.keys
        if outcome is None or outcome.answer is None:
            keys.abandon(key)
        elif outcome.is_free:
            keys.release(key)
        else:
            keys.complete(key, outcome.answer)

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
                raise key_reused()
            case KeyInProgress():
                raise _key_in_use()
            case KeyAnswered(answer=answer):
                return self.replay(answer)
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
                "The first attempt of this request was interrupted and its outcome is "
                "unknown: it may have been billed. It is not sent again. "
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
            keys.complete(key, stored_images(result))
            return result
        if any(call.billed for call in state.calls):
            lost = interrupted(
                "The first attempt of this request was interrupted without an image; "
                "it may have been billed. It is not sent again. Use a new "
                "Idempotency-Key to send it."
            )
            keys.complete(key, stored_error(lost))
            raise lost
        return None

    def replay(self, answer: StoredAnswer) -> RequestResult:
        """Return the stored images, or raise the stored error."""
        if answer.problem:
            details = msgspec.json.decode(answer.problem, type=ErrorDetails)
            raise ErrorResponse.rebuild(answer.status, details, {REPLAYED: "true"})
        images = self.context.find_images(answer.image_ids)
        if len(images) < len(answer.image_ids):
            raise ErrorResponse(
                410,
                "The first attempt of this request generated images that have been "
                "deleted since.",
                code="image_gone",
            )
        return RequestResult(images=images, warnings=answer.warnings, replayed=True)


_RETRY_INTERVAL = 5.0
"""Seconds between attempts to record an outcome that could not be written."""
_POLL_INTERVAL = 0.25
"""Seconds between two looks at a request that another process works on."""
_IN_USE = "idempotency_key_in_use"


def key_id(key: RequestKey) -> tuple[str, str]:
    """Return what identifies a request."""
    return key.caller, key.key


def _is_open(failed: FailedImage) -> bool:
    """Return True if the backend may still produce the image."""
    error = failed.error
    if isinstance(error, Cancelled):
        return not error.settled
    if isinstance(error, StorageError):
        return error.rescued_at is None
    return isinstance(error, Unfinished) or not isinstance(error, ImagenError)


def stored_images(result: RequestResult) -> StoredAnswer:
    """Return images as the answer that a repetition gets."""
    return StoredAnswer(
        image_ids=tuple(image.sidecar.id for image in result.images),
        warnings=result.warnings,
    )


def stored_error(error: BaseException) -> StoredAnswer:
    """Return an error as the answer that a repetition gets."""
    response = to_error_response(error)
    details = msgspec.json.encode(response.details).decode()
    return StoredAnswer(status=response.status, problem=details)


def describe_report(report: GenerationReport) -> JobOutcome:
    """Return how a run has ended."""
    if any(_is_open(failed) for failed in report.failed):
        return JobOutcome()
    try:
        return JobOutcome(answer=stored_images(build_result(report)))
    except BaseException as error:  # noqa: BLE001 - the job raises it
        is_free = isinstance(error, ImagenError) and not error.may_have_cost
        return JobOutcome(answer=stored_error(error), is_free=is_free)


def describe_error(error: BaseException) -> JobOutcome:
    """Return how a run has ended that raised this instead of reporting a failed image.

    Nothing was sent then, unless the worker died.
    """
    if isinstance(error, WorkerDied) or not isinstance(
        error, ErrorResponse | ImagenError
    ):
        return JobOutcome()
    return JobOutcome(answer=stored_error(error), is_free=True)


def key_reused() -> ErrorResponse:
    """Return the response to another request with a known key."""
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
        code=_IN_USE,
        retry_after=5,
    )


def interrupted(message: str) -> ErrorResponse:
    """Return the response to a request whose outcome is unknown."""
    return ErrorResponse(502, message, code="interrupted")
