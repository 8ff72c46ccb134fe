"""The request queue of one backend, with limits for running and waiting requests."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from imagen.server.errors import ErrorResponse, shutdown_error


# asyncio.Semaphore was not enough: it does not limit how many wait, and cannot reject
# all waiting requests at once when the server shuts down.
class BackendQueue:
    """Admits requests in order of arrival; belongs to one event loop.

        async with queue:
            ...

    Args:
        name: The backend, for messages.
        concurrency: The number of requests that run at once.
        waiting: The number of requests that may wait for a slot.

    Attributes:
        running: The number of requests that run now.
    """

    def __init__(self, name: str, *, concurrency: int, waiting: int) -> None:
        self._name = name
        self._free_slots = concurrency
        self._max_waiting = waiting
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self.running = 0

    @property
    def waiting(self) -> int:
        """The number of requests that wait now."""
        return len(self._waiters)

    async def __aenter__(self) -> Self:
        """Wait for a free slot.

        Raises:
            ErrorResponse: the queue is full (429), or the server shuts down (503).
        """
        if self._closed:
            raise shutdown_error()
        if self._free_slots:
            self._free_slots -= 1
        elif len(self._waiters) >= self._max_waiting:
            raise ErrorResponse(
                429,
                f"The queue of {self._name} is full: {len(self._waiters)} requests are "
                "waiting.",
                type="rate_limit_error",
                code="rate_limit_exceeded",
                retry_after=10,
            )
        else:
            await self._wait_for_slot()
        self.running += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.running -= 1
        self._release_slot()

    def close(self) -> None:
        """Reject all waiting and all later requests."""
        self._closed = True
        while self._waiters:
            slot = self._waiters.popleft()
            if not slot.done():
                slot.set_exception(shutdown_error())

    async def _wait_for_slot(self) -> None:
        slot = asyncio.get_running_loop().create_future()
        self._waiters.append(slot)
        try:
            await slot
        except BaseException:
            # Cancelled in the moment after the slot was handed over: pass it on, else
            # it would be lost for good.
            if slot.done() and not slot.cancelled() and slot.exception() is None:
                self._release_slot()
            elif slot in self._waiters:
                self._waiters.remove(slot)
            raise

    def _release_slot(self) -> None:
        while self._waiters:
            slot = self._waiters.popleft()
            if not slot.done():
                slot.set_result(None)
                return
        self._free_slots += 1
