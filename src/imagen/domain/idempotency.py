"""Idempotency keys: a repeated request or command is executed once."""

from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from imagen.domain.call import Call

LONGEST_KEY = 255

# The names of the server's callers contain no space.
KEYED_COMMANDS = "imagen keys"
"""The caller of commands and functions that were given a key."""
UNKEYED_COMMANDS = "imagen commands"
"""The caller of the others: each gets a key of its own, and is recognised by its
fingerprint."""
UNKEYED_REQUESTS = "imagen serve "
"""Precedes the caller of the server's requests without a key."""


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
        call: The call; None if it was recorded by an earlier version of imagen.
        open: Whether the journal has the call, and it may have been sent.
        live: Whether a running process works on the call.
        billed: Whether the ledger has the call.
        images: The number of its images, as the ledger has it.
    """

    id: str
    image_ids: tuple[str, ...]
    call: Call | None = None
    open: bool = False
    live: bool = False
    billed: bool = False
    images: int = 0


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


class StoredRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded request.

    Attributes:
        created_at: Time of its first claim, UTC.
        calls: Its calls; empty once it is finished.
        process: The id of the process that works on it; None if there is none.
        answer: The response; None while it is not finished.
    """

    key: RequestKey
    created_at: datetime
    calls: tuple[RecordedCall, ...] = ()
    process: int | None = None
    answer: StoredAnswer | None = None

    @property
    def id(self) -> str:
        """The id of a command; the key if it was given one."""
        key = self.key.key
        return key if self.key.caller == KEYED_COMMANDS else key.rpartition(" ")[2]

    @property
    def name(self) -> str:
        """The name of a command; "key" if it was given one."""
        return name_of(self.key)


def name_of(key: RequestKey) -> str:
    """Return the name of a command; "key" if it was given one."""
    return "key" if key.caller == KEYED_COMMANDS else key.key.partition(" ")[0]


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
