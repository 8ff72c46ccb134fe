"""The connection of one client, from its request to the end of the answer."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any


class ClientConnection:
    """What a job knows about a client that waits for it; of one event loop.

    Attributes:
        retries: The retry number that the client states; None if it states none.
        headers: Headers that the answer of any status gets in addition.
        lost: Done when the client disconnects before the answer is complete.
    """

    def __init__(self, request_headers: Mapping[bytes, bytes]) -> None:
        self.retries = _parse_retries(request_headers)
        self.headers: dict[str, str] = {}
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_end: list[Callable[[bool], None]] = []
        self._watch: asyncio.Task[None] | None = None

    def watch(self, receive: Callable[[], Awaitable[Any]]) -> None:
        """Notice from now on when the client disconnects; its body has arrived."""
        self._watch = self._watch or asyncio.create_task(self._wait(receive))

    def on_end(self, listener: Callable[[bool], None]) -> None:
        """Call the listener at the end, with whether the answer was written."""
        self._on_end.append(listener)

    def end(self, *, answered: bool) -> None:
        """Call the listeners; later changes of the connection mean nothing."""
        if self._watch is not None:
            self._watch.cancel()
        listeners, self._on_end = self._on_end, []
        for listener in listeners:
            listener(answered)

    async def _wait(self, receive: Callable[[], Awaitable[Any]]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.lost.set_result(None)


def _parse_retries(headers: Mapping[bytes, bytes]) -> int | None:
    # OpenAI's clients state it with every request, 0 with the first.
    text = headers.get(b"x-stainless-retry-count", b"").decode("latin-1").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,3}", text) else None
