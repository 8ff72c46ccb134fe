"""Keeps idempotency keys and the responses to their requests in the database."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

import msgspec

from imagen.adapters.database.connection import Database
from imagen.adapters.database.process_lock import ProcessLock
from imagen.adapters.database.schema import (
    datetime_to_micros,
    from_json,
    remove_surrogates,
    to_json,
    translate_decode_errors,
)
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

_SELECT = """
    SELECT fingerprint, owner, calls, answer FROM requests WHERE caller = ? AND key = ?
"""
_INSERT = """
    INSERT INTO requests (caller, key, created_at, fingerprint, owner)
    VALUES (?, ?, ?, ?, ?)
"""
_CALL_STATE = """
    SELECT (SELECT state FROM calls WHERE id = :id),
        (SELECT owner FROM calls WHERE id = :id),
        EXISTS (SELECT 1 FROM usage WHERE id = :id)
"""


class SqliteRequestKeys:
    """A table with a row for every key: the requests that were made under it.

    Used by several threads and processes at once. A request is identified by its caller
    and its key, compared exactly. A claim belongs to the process and ends with it.
    Records never expire. Every method raises `JournalError` if the record cannot be
    read or written.

    Args:
        process_lock: Shows whether the process that works on a request is alive.
    """

    def __init__(self, database: Database, process_lock: ProcessLock) -> None:
        self._database = database
        self._process_lock = process_lock

    def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
        """Claim the request for this process, or return why that is impossible.

        Of several concurrent claims exactly one succeeds.
        """
        owner = self._process_lock.acquire()
        with self._database.writing(durable=True) as connection:
            # Looked up inside the write transaction: of several processes that claim a
            # key at the same time, exactly one inserts it.
            row = connection.execute(_SELECT, _columns(key)).fetchone()
            if row is None:
                values = [datetime_to_micros(at), key.fingerprint, owner]
                connection.execute(_INSERT, [*_columns(key), *values])
                return KeyClaimed()
            return self._state(connection, key, row)

    def take_over(self, key: RequestKey) -> bool:
        """Claim a request in state `KeyInterrupted`; False if another process did.

        Of several concurrent claims exactly one succeeds. The recorded calls of the
        request are deleted, so use this only if certainly none of them made anything.
        """
        owner = self._process_lock.acquire()
        with self._database.writing(durable=True) as connection:
            row = connection.execute(_SELECT, _columns(key)).fetchone()
            if row is None:
                return False
            _, previous, _, answer = row
            if answer is not None:
                return False
            if previous is not None and self._process_lock.is_held(previous):
                return False
            _update(connection, key, "owner = ?, calls = '[]'", owner)
            return True

    def record_calls(self, key: RequestKey, calls: Sequence[Call]) -> None:
        """Record the calls that are about to be made, before the first one starts."""
        recorded = [
            RecordedCall(id=call.id, image_ids=call.image_ids) for call in calls
        ]
        document = msgspec.json.encode(recorded).decode()
        self._update(key, "calls = ?", document)

    def complete(self, key: RequestKey, answer: StoredAnswer) -> None:
        """Store the response of a finished request; `claim` returns it from now on."""
        self._update(key, "owner = NULL, answer = ?", to_json(answer))

    def abandon(self, key: RequestKey) -> None:
        """Give up the claim on an unfinished request; its state is `KeyInterrupted`."""
        self._update(key, "owner = NULL")

    def release(self, key: RequestKey) -> None:
        """Delete the record: certainly nothing was made, so a client may try again."""
        with self._database.writing(durable=True) as connection:
            connection.execute(
                "DELETE FROM requests WHERE caller = ? AND key = ?", _columns(key)
            )

    def _update(self, key: RequestKey, assignments: str, *values: str) -> None:
        with self._database.writing(durable=True) as connection:
            _update(connection, key, assignments, *values)

    def _state(
        self,
        connection: sqlite3.Connection,
        key: RequestKey,
        row: tuple[str, str | None, str, str | None],
    ) -> KeyState:
        fingerprint, owner, calls, answer = row
        path = self._database.path
        if fingerprint != key.fingerprint:
            return KeyConflict()
        if answer is not None:
            return KeyAnswered(from_json(answer, StoredAnswer, path=path))
        if owner is not None and self._process_lock.is_held(owner):
            return KeyInProgress()
        with translate_decode_errors(path):
            recorded = msgspec.json.decode(calls, type=tuple[RecordedCall, ...])
        return KeyInterrupted(
            tuple(self._with_state(connection, each) for each in recorded)
        )

    def _with_state(
        self, connection: sqlite3.Connection, call: RecordedCall
    ) -> RecordedCall:
        [(state, owner, billed)] = connection.execute(_CALL_STATE, {"id": call.id})
        return msgspec.structs.replace(
            call,
            open=state not in {None, "planned"},
            live=owner is not None and self._process_lock.is_held(owner),
            billed=bool(billed),
        )


def _columns(key: RequestKey) -> tuple[str, str]:
    return remove_surrogates(key.caller), remove_surrogates(key.key)


def _update(
    connection: sqlite3.Connection, key: RequestKey, assignments: str, *values: str
) -> None:
    connection.execute(
        f"UPDATE requests SET {assignments} WHERE caller = ? AND key = ?",  # noqa: S608 - constants only
        [*values, *_columns(key)],
    )
