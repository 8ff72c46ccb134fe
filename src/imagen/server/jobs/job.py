"""A job, with its progress and result for the clients that follow it."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from imagen.domain.events import Planned, Previewed, Progressed
from imagen.domain.idempotency import RequestKey, StoredAnswer
from imagen.domain.joining import REFUSALS, ConnectionState, Joinable
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.domain.sidecar import Sidecar
from imagen.engine.cancellation import Cancellation
from imagen.server.errors import client_disconnected, to_error_response
from imagen.server.jobs.backend_queue import Place
from imagen.server.jobs.connection import ClientConnection
from imagen.server.workers.messages import Update
from imagen.server.workers.work_item import WorkItem


class StoredOutput(msgspec.Struct, frozen=True, kw_only=True):
    """An image of the history, with its bytes."""

    sidecar: Sidecar
    content: bytes


Output: TypeAlias = StoredImage | StoredOutput
"""An image of this or of an earlier request."""


class RequestResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a request.

    Attributes:
        images: At least one image, in the order of their numbers.
        warnings: Differences from the request, such as ignored parameters.
        replayed: True if an earlier request with the same key generated the images.
    """

    images: tuple[Output, ...]
    warnings: tuple[str, ...] = ()
    replayed: bool = False


class JobRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for.

    Attributes:
        build_item: Validates the request and returns the work to do, without blocking.
            Called when the key is claimed and the backend has a slot.
        caller: The name of the caller.
        key: The client's idempotency key.
        fingerprint: A hash of all fields that change the image; "" if the request never
            joins another one.
        detached: True if it continues without clients, False if it is cancelled with
            the last one, None if it lingers.
        live: True if progress is reported.
        prompt: The prompt, to show it.
        image_count: The number of images.
    """

    backend: str
    build_item: Callable[[], WorkItem]
    caller: str
    key: RequestKey | None = None
    fingerprint: str = ""
    detached: bool | None = None
    live: bool = False
    prompt: str = ""
    image_count: int = 1


class JobOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job has ended.

    Attributes:
        answer: What a repetition gets; None if the backend may still make an image.
        is_free: True if certainly nothing was generated, so that it may be repeated.
    """

    answer: StoredAnswer | None = None
    is_free: bool = False


# Not a queue of events: a client that reads slowly would make it grow without limit.
# With the latest state a slow client misses steps, but never an image.
class Job:
    """A request that is running or was run, and its latest state.

    Attributes:
        build_item, key, fingerprint, detached, live, prompt, image_count: As in
            `JobRequest`.
        on_change: Called at each change.
        followers: The number of connections that wait for the result.
        retries: The retry number of the latest connection.
        answered: True if a connection got the whole answer.
        is_stored: True if the database has a record of the request.
        is_loss_saved: True if it says that the latest connection was lost.
        is_foreign: True if another process runs the request, or ran it.
        is_joining: True while a connection is about to join.
        is_cancelled: True if it was cancelled; its repetition is a new purchase.
        is_idle: True if it has to run again before a connection gets its result.
        task: Runs the request; done when the request is finished.
        place: Its place in the queue of the backend.
        may_cost: Whether it may cost money; None as long as that is unknown.
        outcome: How it has ended, for later repetitions.
        result: The result or error for the followers. During a shutdown it is set
            before `task` is done.
        planned: True once the request was found valid; only then is anything sent.
        steps: The latest progress of each image, by its number.
        previews: The latest preview of each image, by its number.
        outcomes: The images that are stored or have failed.
        changed: Set at the next change, and replaced by another event.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - that of the answer's header
        request: JobRequest,
        *,
        created_at: datetime,
    ) -> None:
        self.id = id
        self.backend = request.backend
        self.caller = request.caller
        self.created_at = created_at
        self.build_item = request.build_item
        self.key = request.key
        self.fingerprint = request.fingerprint
        self.live = request.live
        self.detached = request.detached
        self.prompt = request.prompt
        self.image_count = request.image_count
        self.on_change: Callable[[], None] = _do_nothing
        self.followers = 0
        self.retries: int | None = None
        self.answered = self.is_stored = self.is_loss_saved = self.is_foreign = False
        self.is_joining = self.is_idle = self.is_cancelled = False
        self.ended_at: datetime | None = None
        self.outcome: JobOutcome | None = None
        self.task: asyncio.Task[None]
        self.check: asyncio.Task[None] | None = None
        self.write: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.place: Place | None = None
        self.may_cost: bool | None = None
        self._reset()

    def _reset(self) -> None:
        self.cancellation = Cancellation()
        self.result: asyncio.Future[RequestResult] = (
            asyncio.get_running_loop().create_future()
        )
        self.planned = False
        self.steps: dict[int, Progressed] = {}
        self.previews: dict[int, Previewed] = {}
        self.outcomes: list[StoredImage | FailedImage] = []
        self.changed = asyncio.Event()

    def free_memory(self) -> None:
        """Forget all that only a running job needs; thousands of others are kept."""
        del self.cancellation, self.changed
        self.result = asyncio.get_running_loop().create_future()
        self.steps, self.previews, self.outcomes = {}, {}, []
        self.build_item = _build_nothing
        self.prompt = ""
        self.is_idle = True

    def wake(self, request: JobRequest) -> None:
        """Let it run again, to get the result of an ended job."""
        self._reset()
        self.build_item = request.build_item
        self.prompt = request.prompt
        self.is_idle = False

    @property
    def is_wanted(self) -> bool:
        """Whether it may be sent: a client is there, or it needs none."""
        return self.followers > 0 or self.detached is True

    @property
    def position(self) -> int:
        """1 for the first request in the queue; 0 if it does not wait."""
        return 0 if self.place is None else self.place.number

    @property
    def is_refused(self) -> bool:
        """Whether it was refused before anything was sent."""
        answer = None if self.outcome is None else self.outcome.answer
        return answer is not None and answer.status in REFUSALS

    def may_be_joined(self, retries: int | None) -> bool:
        """Return whether a request that states this retry number could join it."""
        is_lost = not (self.followers or self.answered)
        return is_lost or bool(retries) or self.is_refused

    def to_joinable(self) -> Joinable:
        """Return what decides whether another request joins this one."""
        state: ConnectionState = "answered" if self.answered else "lost"
        return Joinable(
            id=self.id,
            created_at=self.created_at,
            connection="open" if self.followers else state,
            retries=self.retries,
            sent=self.position == 0,
            refused=self.is_refused,
        )

    def cancel(self, error: BaseException) -> None:
        """Cancel it; while it waits in the queue, it fails with this error."""
        self.is_cancelled = True
        self.cancellation.cancel()
        if self.place is not None:
            self.place.leave(error)

    def update(self, update: Update) -> None:
        """Record an event, or an image that is stored or has failed."""
        match update:
            case Planned(may_cost=may_cost):
                self.planned = True
                self.may_cost = may_cost
            case Progressed():
                self.steps[update.number] = update
            case Previewed():
                self.previews[update.number] = update
            case StoredImage() | FailedImage():
                self.outcomes.append(update)
            case _:
                return
        self.notify()

    def resolve(self, result: RequestResult | BaseException) -> None:
        """Set the result for the followers, unless it is already set."""
        if self.result.done():
            return
        if isinstance(result, BaseException):
            self.result.set_exception(result)
            # Marks the exception as retrieved: without followers asyncio would log it.
            self.result.exception()
        else:
            self.result.set_result(result)
        self.notify()

    async def follow(self, connection: ClientConnection) -> RequestResult:
        """Wait for the result until the client has disconnected.

        Raises:
            ErrorResponse, ImagenError: the request failed, or the client left (499).
        """
        awaited: set[asyncio.Future[Any]] = {self.result, connection.lost}
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if not self.result.done():
            raise client_disconnected()
        return self.result.result()

    def notify(self) -> None:
        """Wake all who wait for a change."""
        if self.is_idle:
            return
        self.changed.set()
        self.changed = asyncio.Event()
        self.on_change()


def _do_nothing() -> None:
    pass


def _build_nothing() -> WorkItem:
    raise RuntimeError("An ended job is run again without its request.")


def build_result(report: GenerationReport) -> RequestResult:
    """Return the stored images of a report, including rescued ones.

    Raises:
        BaseException: the first error, if no image was stored at all.
    """
    rescued = [failed.rescued for failed in report.failed if failed.rescued]
    stored = sorted([*report.stored, *rescued], key=lambda image: image.number)
    if not stored:
        raise report.failed[0].error
    warnings = [w for image in stored for w in image.sidecar.warnings]
    warnings += [
        f"image {failed.number} is missing: "
        f"{to_error_response(failed.error).details.message}"
        for failed in report.failed
        if failed.rescued is None
    ]
    return RequestResult(images=tuple(stored), warnings=tuple(dict.fromkeys(warnings)))
