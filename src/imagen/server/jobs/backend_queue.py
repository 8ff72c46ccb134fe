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

    def __init__(self, name: str, *, at_once: int, waiting: int) -> None:
        self._name = name
        self._free = at_once
        self._most = waiting
        self._line: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self.running = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    async def __aenter__(self) -> Self:
        """Wait for one's turn.

        Raises:
            Failure: too many wait, or the server is about to stop.
        """
        if self._closed:
            raise shutdown_error()
        if self._free:
            self._free -= 1
        elif len(self._line) >= self._most:
            raise ErrorResponse(
                429,
                f"{len(self._line)} requests wait for {self._name} already.",
                type="rate_limit_error",
                code="rate_limit_exceeded",
                retry_after=10,
            )
        else:
            await self._turn()
        self.running += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.running -= 1
        self._pass_on()

    def close(self) -> None:
        """Send away whoever waits, and let nobody in any more."""
        self._closed = True
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_exception(shutdown_error())

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on()  # it came when nobody wanted it any more
            elif turn in self._line:
                self._line.remove(turn)
            raise

    def _pass_on(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
