"""The request queue of one backend, with limits for running and waiting requests."""

import asyncio
from collections.abc import Callable
from types import TracebackType

from imagen.server.errors import ErrorResponse, shutdown_error


# asyncio.Semaphore was not enough: a request whose client is away keeps its place, and
# the requests behind it go first until the client is back.
class BackendQueue:
    """Admits requests in order of arrival; belongs to one event loop."""

    def __init__(self, name: str, *, concurrency: int, waiting: int) -> None:
        self._name = name
        self._concurrency = concurrency
        self._max_waiting = waiting
        self._closed = False
        self._places: list[Place] = []
        self.running = 0

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a slot."""
        return len(self._places)

    def enter(self, is_wanted: Callable[[], bool]) -> "Place":
        """Return the last place; `async with` it waits for a slot, and holds it.

        Args:
            is_wanted: Whether the request may start; otherwise it is passed over.

        Raises:
            ErrorResponse: the queue is full (429), or the server shuts down (503).
        """
        if self._closed:
            raise shutdown_error()
        if self.running >= self._concurrency and self.waiting >= self._max_waiting:
            raise ErrorResponse(
                429,
                f"The queue of {self._name} is full: {self.waiting} requests are "
                "waiting.",
                code="rate_limit_exceeded",
                retry_after=10,
            )
        place = Place(self, is_wanted)
        self._places.append(place)
        self.advance()
        return place

    def advance(self) -> None:
        """Give free slots to the first requests that may start."""
        for place in list(self._places):
            if self.running >= self._concurrency:
                return
            if place.is_wanted():
                self._places.remove(place)
                self.running += 1
                place.ready.set_result(None)

    def number(self, place: "Place") -> int:
        """Return 1 for the first place in the queue; 0 if the request has a slot."""
        return self._places.index(place) + 1 if place in self._places else 0

    def remove(self, place: "Place", error: BaseException) -> None:
        """Let a waiting request fail with this error."""
        if place in self._places:
            self._places.remove(place)
            place.ready.set_exception(error)

    def release(self, place: "Place") -> None:
        """Give up the place or the slot of a request."""
        if place in self._places:
            self._places.remove(place)
        elif place.ready.done() and place.ready.exception() is None:
            self.running -= 1
            self.advance()

    def close(self) -> None:
        """Reject all waiting and all later requests."""
        self._closed = True
        for place in list(self._places):
            self.remove(place, shutdown_error())


class Place:
    """The place of one request in a queue, and then its slot."""

    def __init__(self, queue: BackendQueue, is_wanted: Callable[[], bool]) -> None:
        self._queue = queue
        self.is_wanted = is_wanted
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def number(self) -> int:
        """1 for the first request in the queue; 0 if this one has a slot."""
        return self._queue.number(self)

    def leave(self, error: BaseException) -> None:
        """Let the request fail with this error, if it still waits."""
        self._queue.remove(self, error)

    async def __aenter__(self) -> None:
        try:
            await self.ready
        except BaseException:
            self._queue.release(self)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.release(self)
