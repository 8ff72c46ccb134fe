"""A running job, with its progress and result for the clients that follow it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec

from imagen.domain.events import Planned, Previewed, Progressed
from imagen.domain.idempotency import RequestKey
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.domain.sidecar import Sidecar
from imagen.engine.cancellation import Cancellation
from imagen.server.errors import client_disconnected, to_error_response
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


# Not a queue of events: a client that reads slowly would make it grow without limit.
# With the latest state a slow client misses steps, but never an image.
class Job:
    """A request that is running, and its latest state.

    Attributes:
        build_item: Validates the request and returns the work to do, without blocking.
            Called when the key is claimed and the backend has a slot.
        live: True if progress is reported.
        detached: True if the request continues without followers.
        followers: The number of connections that wait for the result.
        task: Runs the request; done when the request is finished.
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
        backend: str,
        build_item: Callable[[], WorkItem],
        *,
        key: RequestKey | None,
        live: bool,
        detached: bool,
    ) -> None:
        self.backend = backend
        self.build_item = build_item
        self.key = key
        self.live = live
        self.detached = detached
        self.followers = 0
        self.cancellation = Cancellation()
        self.task: asyncio.Task[None]
        self.result: asyncio.Future[RequestResult] = (
            asyncio.get_running_loop().create_future()
        )
        self.planned = False
        self.steps: dict[int, Progressed] = {}
        self.previews: dict[int, Previewed] = {}
        self.outcomes: list[StoredImage | FailedImage] = []
        self.changed = asyncio.Event()

    def update(self, update: Update) -> None:
        """Record an event, or an image that is stored or has failed."""
        match update:
            case Planned():
                self.planned = True
            case Progressed():
                self.steps[update.number] = update
            case Previewed():
                self.previews[update.number] = update
            case StoredImage() | FailedImage():
                self.outcomes.append(update)
            case _:
                return
        self._notify()

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
        self._notify()

    async def follow(self, disconnected: Awaitable[None]) -> RequestResult:
        """Wait for the result until the client has disconnected.

        Raises:
            ErrorResponse, ImagenError: the request failed, or the client left (499).
        """
        disconnect = asyncio.ensure_future(disconnected)
        awaited: set[asyncio.Future[Any]] = {self.result, disconnect}
        self.followers += 1
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if not self.result.done():
                raise client_disconnected()
            return self.result.result()
        finally:
            disconnect.cancel()
            self.leave()

    def leave(self) -> None:
        """Remove a follower; without followers a job is cancelled unless detached."""
        self.followers -= 1
        if not (self.followers or self.detached):
            self.cancellation.cancel()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


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
