"""Timeouts and disconnects while a body is read."""

import asyncio
from typing import Any

import pytest

from imagen.server.errors import ErrorResponse
from imagen.server.http import middleware
from imagen.server.http.middleware import (
    AccessMiddleware,
    Message,
    Receive,
    Scope,
    Send,
)
from imagen.server.keys import parse_keys

SCOPE: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/",
    "headers": [(b"host", b"localhost")],
}
PART: Message = {"type": "http.request", "body": b"{", "more_body": True}
LAST: Message = {"type": "http.request", "body": b"}", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


def receive_all(*messages: Message) -> list[Any]:
    """Return what the application receives: these messages, then GONE after a pause."""
    coming, said = list(messages), []

    async def receive() -> Message:
        if not coming:
            for _ in range(10):  # rounds of the event loop
                await asyncio.sleep(0)
            return GONE
        return coming.pop(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        try:
            while len(said) <= len(messages):
                said.append(await receive())
        except ErrorResponse as failure:
            said.append(failure.status)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    asyncio.run(AccessMiddleware(app, keys=parse_keys(""))(SCOPE, receive, send))
    return said


def test_a_body_that_pauses_too_long_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_TIMEOUT", 0)

    assert receive_all(PART) == [PART, 408]


def test_there_is_no_timeout_after_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_TIMEOUT", 0)

    assert receive_all(PART, LAST) == [PART, LAST, GONE]


def test_a_disconnect_within_a_body_is_499() -> None:
    assert receive_all(PART, GONE) == [PART, 499]
