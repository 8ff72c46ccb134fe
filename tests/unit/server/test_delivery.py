"""Whether an answer was written completely."""

import asyncio
from typing import Any, cast

import pytest
from litestar import Request

from imagen.server.http.delivery import PART, DeliveryMiddleware, watch_connection
from imagen.server.http.middleware import Message, Receive, Scope, Send

BODY = b"x" * (3 * PART + 1)


def deliver(*, gone_after: int | None) -> tuple[list[bytes], list[bool]]:
    """Answer with `BODY` to a client that leaves after so many parts of it.

    Return the written parts, and what the listeners were told.
    """
    written: list[bytes] = []
    told: list[bool] = []

    async def run() -> None:
        gone = asyncio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                written.append(message["body"])
                if len(written) == gone_after:
                    gone.set()
                # As a server does that waits until the client has taken it.
                await asyncio.sleep(0)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            request: Request[Any, Any, Any] = Request(cast("Any", scope), receive)
            connection = watch_connection(request)
            connection.on_end(told.append)
            connection.headers["Imagen-Job"] = "7"
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": BODY})

        scope = {"type": "http", "method": "POST", "headers": [], "app": None}
        await DeliveryMiddleware(answer)(scope, receive, send)

    asyncio.run(run())
    return written, told


def test_a_large_answer_is_written_in_parts() -> None:
    written, told = deliver(gone_after=None)

    assert b"".join(written) == BODY
    assert max(map(len, written)) == PART
    assert told == [True]


@pytest.mark.parametrize("parts", [1, 3])
def test_a_client_that_leaves_within_a_large_answer_has_lost_it(parts: int) -> None:
    assert deliver(gone_after=parts)[1] == [False]
