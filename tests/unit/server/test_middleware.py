"""Who may come in, and how long a body may take."""

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


def heard(*messages: Message) -> list[Any]:
    """Return what an application hears when these come, and then nothing for long."""
    coming, said = list(messages), []

    async def receive() -> Message:
        if not coming:
            await asyncio.sleep(0.1)
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


def test_a_body_may_not_pause_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_TIMEOUT", 0.01)

    assert heard(PART) == [PART, 408]


def test_after_a_body_nothing_is_hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_TIMEOUT", 0.01)

    assert heard(PART, LAST) == [PART, LAST, GONE]


def test_who_goes_within_a_body_is_gone() -> None:
    assert heard(PART, GONE) == [PART, 499]
