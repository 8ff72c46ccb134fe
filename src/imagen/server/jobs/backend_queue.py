"""The request queue of one backend, with limits for running and waiting requests."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from imagen.server.errors import ErrorResponse, shutdown_error


class BackendQueue:
    """Admits requests in order of arrival; belongs to one event loop."""

    def __init__(self, name: str, *, concurrency: int, waiting: int) -> None:
        self._name = name
        self._slots = asyncio.Semaphore(concurrency)
        self._max_waiting = waiting
        self._closed = False
        self.running = 0
        self.waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None]:
        """Wait for a free slot, and hold it.

        Raises:
            ErrorResponse: the queue is full (429), or the server shuts down (503).
        """
        if self._closed:
            raise shutdown_error()
        if self._slots.locked() and self.waiting >= self._max_waiting:
            raise ErrorResponse(
                429,
                f"The queue of {self._name} is full: {self.waiting} requests are "
                "waiting.",
                code="rate_limit_exceeded",
                retry_after=10,
            )
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        if self._closed:
            raise shutdown_error()
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._slots.release()

    def close(self) -> None:
        """Reject all waiting and all later requests."""
        self._closed = True
        # A semaphore cannot reject its waiters; each gets a slot and then sees that the
        # queue is closed.
        for _ in range(self.waiting):
            self._slots.release()
