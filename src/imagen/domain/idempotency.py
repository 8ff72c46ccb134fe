"""A request that may be asked again under the same key, and is carried out once."""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

LONGEST_KEY = 255


class RequestKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a client calls a request.

    Attributes:
        caller: Whose request it is; others may use the same key for theirs.
        key: Any text.
        fingerprint: Of all that is asked for.
    """

    caller: str
    key: Annotated[str, Meta(min_length=1, max_length=LONGEST_KEY)]
    fingerprint: str


class RecordedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was made for a request, as the account has it now.

    Attributes:
        id: In the journal and the ledger.
        image_ids: Of the images that it was to make.
        open: Whether it is not over.
        live: Whether somebody works on it.
        billed: Whether the ledger has it.
    """

    id: str
    image_ids: tuple[str, ...]
    open: bool = False
    live: bool = False
    billed: bool = False


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a client was told of a request that is over.

    Attributes:
        image_ids: Of the images that were made, in their order.
        warnings: What was said with them.
        status: Of HTTP, where there are none.
        problem: What was said then, as JSON.
    """

    image_ids: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    status: int = 200
    problem: str = ""


class KeyClaimed(msgspec.Struct, frozen=True, tag=True):
    """Nothing was made under that key; it is in our hands now."""


class KeyInProgress(msgspec.Struct, frozen=True, tag=True):
    """A process that lives works on it."""


class KeyConflict(msgspec.Struct, frozen=True, tag=True):
    """Something else was asked for under that key."""


class KeyInterrupted(msgspec.Struct, frozen=True, tag=True):
    """Whoever worked on it is gone, or has left it open.

    Attributes:
        calls: That were begun for it.
    """

    calls: tuple[RecordedCall, ...]


class KeyAnswered(msgspec.Struct, frozen=True, tag=True):
    """It is over.

    Attributes:
        answer: What was said.
    """

    answer: StoredAnswer


KeyState: TypeAlias = (
    KeyClaimed | KeyInProgress | KeyConflict | KeyInterrupted | KeyAnswered
)
