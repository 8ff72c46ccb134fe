"""Idempotency keys: a repeated request is executed once."""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

LONGEST_KEY = 255


class RequestKey(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of a request.

    Attributes:
        caller: Name of the caller. Different callers may use the same key.
    """

    caller: str
    key: Annotated[str, Meta(min_length=1, max_length=LONGEST_KEY)]
    fingerprint: str


class RecordedCall(msgspec.Struct, frozen=True, kw_only=True):
    """The current state of a call that was made for a request.

    Attributes:
        open: Whether the journal has the call.
        live: Whether a running process works on the call.
        billed: Whether the ledger has the call.
    """

    id: str
    image_ids: tuple[str, ...]
    open: bool = False
    live: bool = False
    billed: bool = False


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The response to a finished request.

    Attributes:
        status: HTTP status of a response without images.
        problem: JSON body of a response without images.
    """

    image_ids: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    status: int = 200
    problem: str = ""


class KeyClaimed(msgspec.Struct, frozen=True, tag=True):
    """The key was unused; this process has claimed the request."""


class KeyInProgress(msgspec.Struct, frozen=True, tag=True):
    """A running process works on the request."""


class KeyConflict(msgspec.Struct, frozen=True, tag=True):
    """A request with another content was made under the key."""


class KeyInterrupted(msgspec.Struct, frozen=True, tag=True):
    """The process that worked on the request ended, or abandoned it."""

    calls: tuple[RecordedCall, ...]


class KeyAnswered(msgspec.Struct, frozen=True, tag=True):
    """The request is finished."""

    answer: StoredAnswer


KeyState: TypeAlias = (
    KeyClaimed | KeyInProgress | KeyConflict | KeyInterrupted | KeyAnswered
)
