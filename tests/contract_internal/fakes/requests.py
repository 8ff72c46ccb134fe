"""A fake of the idempotency keys in memory."""

from collections.abc import Sequence
from copy import copy
from datetime import datetime
from threading import RLock
from typing import Self

import msgspec
from tests.contract_internal.fakes.stores import MemoryJournal

from imagen.domain.call import Call
from imagen.domain.idempotency import (
    KeyAnswered,
    KeyClaimed,
    KeyConflict,
    KeyInProgress,
    KeyInterrupted,
    KeyState,
    RecordedCall,
    RequestKey,
    StoredAnswer,
)


class _Request(msgspec.Struct):
    """A recorded request; `owner` is the journal of the process that works on it."""

    fingerprint: str
    owner: MemoryJournal | None
    calls: tuple[RecordedCall, ...] = ()
    answer: StoredAnswer | None = None


class MemoryRequestKeys:
    """Idempotency keys in memory.

    Args:
        journal: The journal with the calls of the requests; it represents the process.

    Attributes:
        journal: The same journal.
    """

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        self.journal = MemoryJournal() if journal is None else journal
        self._requests: dict[tuple[str, str], _Request] = {}
        self._lock = RLock()

    def another(self) -> Self:
        """Return the keys of another process on the same requests."""
        another = copy(self)
        another.journal = self.journal.another()
        return another

    def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
        """Claim a new key, or return the state of a known one."""
        del at
        with self._lock:
            request = self._requests.get(_identity(key))
            if request is None:
                new = _Request(key.fingerprint, self.journal)
                self._requests[_identity(key)] = new
                return KeyClaimed()
            return self._state(key, request)

    def take_over(self, key: RequestKey) -> bool:
        """Become the owner of an interrupted request."""
        with self._lock:
            request = self._requests.get(_identity(key))
            if request is None or request.answer is not None or _is_live(request):
                return False
            request.owner, request.calls = self.journal, ()
            return True

    def record_calls(self, key: RequestKey, calls: Sequence[Call]) -> None:
        """Record the ids of the calls."""
        with self._lock:
            self._requests[_identity(key)].calls = tuple(
                RecordedCall(id=call.id, image_ids=call.image_ids) for call in calls
            )

    def complete(self, key: RequestKey, answer: StoredAnswer) -> None:
        """Store the answer."""
        with self._lock:
            self._requests[_identity(key)].answer = answer

    def abandon(self, key: RequestKey) -> None:
        """Remove the owner."""
        with self._lock:
            self._requests[_identity(key)].owner = None

    def release(self, key: RequestKey) -> None:
        """Delete the request."""
        with self._lock:
            self._requests.pop(_identity(key), None)

    def _state(self, key: RequestKey, request: _Request) -> KeyState:
        if request.fingerprint != key.fingerprint:
            return KeyConflict()
        if request.answer is not None:
            return KeyAnswered(request.answer)
        if _is_live(request):
            return KeyInProgress()
        return KeyInterrupted(tuple(map(self._with_state, request.calls)))

    def _with_state(self, call: RecordedCall) -> RecordedCall:
        calls = {each.call.id: each for each in self.journal.list_open()}
        found = calls.get(call.id)
        return msgspec.structs.replace(
            call,
            open=found is not None and found.state != "planned",
            live=found is not None and found.live,
            billed=call.id in self.journal.ledger.kept,
        )


def _identity(key: RequestKey) -> tuple[str, str]:
    return key.caller, key.key


def _is_live(request: _Request) -> bool:
    return request.owner is not None and request.owner.alive
