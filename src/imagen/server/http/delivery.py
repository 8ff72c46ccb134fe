"""Find out whether the answer of a request was written completely."""

import asyncio
from typing import Any, cast

from litestar import Request

from imagen.server.http.middleware import AsgiApp, Message, Receive, Scope, Send
from imagen.server.jobs.connection import ClientConnection

_CONNECTION = "imagen.connection"
PART = 64 * 1024
"""Bytes of a body that are written at once."""


def watch_connection(request: Request[Any, Any, Any]) -> ClientConnection:
    """Return the connection of a request whose body has arrived."""
    scope = cast("Scope", request.scope)
    connection = scope[_CONNECTION]
    assert isinstance(connection, ClientConnection)  # noqa: S101 - narrows the type
    connection.watch(request.receive)
    return connection


class DeliveryMiddleware:
    """ASGI middleware that gives each request a `ClientConnection`.

    A body is written in parts, each after the client has taken most of the one before,
    so that a connection that is lost within a large answer is noticed.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the application, and end its connection."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        connection = scope[_CONNECTION] = ClientConnection(dict(scope["headers"]))
        answered = False

        async def send_watched(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                added = [
                    (k.encode(), v.encode()) for k, v in connection.headers.items()
                ]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            elif not message.get("more_body"):
                body = message.get("body", b"")
                last = max(0, len(body) - 1) // PART * PART
                for start in range(0, last, PART):
                    part = body[start : start + PART]
                    await send({**message, "body": part, "more_body": True})
                await send({**message, "body": body[last:], "more_body": True})
                # The watch must see a disconnect before the end of the answer looks
                # like one.
                await asyncio.sleep(0)
                answered = not connection.lost.done()
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        finally:
            connection.end(answered=answered)
