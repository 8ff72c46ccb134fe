"""The queue in front of one backend: so many at once, so many waiting, no more."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from imagen.server.errors import ErrorResponse, shutdown_error


class BackendQueue:
    """Lets requests through in the order in which they came; of one event loop.

        async with lane:
            ...

    Args:
        name: The backend, for messages.
        at_once: How many are let through.
        waiting: How many may wait behind them.
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
        """How many wait."""
        return len(self._waiters)

    async def __aenter__(self) -> Self:
        """Wait for one's turn.

        Raises:
            Failure: too many wait, or the server is about to stop.
        """
        if self._closed:
            raise shutdown_error()
        if self._free_slots:
            self._free_slots -= 1
        elif len(self._waiters) >= self._max_waiting:
            raise ErrorResponse(
                429,
                f"{len(self._waiters)} requests wait for {self._name} already.",
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
        """Send away whoever waits, and let nobody in any more."""
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
            if slot.done() and not slot.cancelled() and slot.exception() is None:
                self._release_slot()  # it came when nobody wanted it any more
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
