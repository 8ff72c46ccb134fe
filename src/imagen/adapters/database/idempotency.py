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
    micros_to_datetime,
    remove_surrogates,
    to_json,
)
from imagen.domain.call import Call
from imagen.domain.idempotency import (
    UNKEYED_COMMANDS,
    KeyAnswered,
    KeyClaimed,
    KeyConflict,
    KeyInProgress,
    KeyInterrupted,
    KeyState,
    RecordedCall,
    RequestKey,
    StoredAnswer,
    StoredRequest,
)

_SELECT = """
    SELECT fingerprint, owner, calls, answer FROM requests WHERE caller = ? AND key = ?
"""
_INSERT = """
    INSERT INTO requests (caller, key, created_at, fingerprint, owner, calls)
    VALUES (?, ?, ?, ?, ?, ?)
"""
_LIST = """
    SELECT key, created_at, fingerprint, owner, calls, answer FROM requests
    WHERE caller = ? ORDER BY created_at, key
"""
_CALL_STATE = """
    SELECT (SELECT state FROM calls WHERE id = :id),
        (SELECT owner FROM calls WHERE id = :id),
        (SELECT images FROM usage WHERE id = :id)
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

    def claim(
        self, key: RequestKey, *, at: datetime, calls: Sequence[Call] = ()
    ) -> KeyState:
        """Claim the request for this process, or return why that is impossible.

        Of several concurrent claims exactly one succeeds. The calls of a new request
        are recorded with it.
        """
        document = _encode(calls)
        owner = self._process_lock.acquire()
        with self._database.writing(durable=_must_sync(key)) as connection:
            # Looked up inside the write transaction: of several processes that claim a
            # key at the same time, exactly one inserts it.
            row = connection.execute(_SELECT, _columns(key)).fetchone()
            if row is None:
                created_at = datetime_to_micros(at)
                values = [created_at, key.fingerprint, owner, document]
                connection.execute(_INSERT, [*_columns(key), *values])
                return KeyClaimed()
            return self._state(connection, key, row)

    def take_over(self, key: RequestKey) -> bool:
        """Claim a request in state `KeyInterrupted`; False if another process did.

        Of several concurrent claims exactly one succeeds.
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
            _update(connection, key, "owner = ?", owner)
            return True

    def record_calls(self, key: RequestKey, calls: Sequence[Call]) -> None:
        """Record the calls of the request in place of those recorded before."""
        self._update(key, "calls = ?", _encode(calls))

    def complete(self, key: RequestKey, answer: StoredAnswer) -> None:
        """Store the response of a finished request; `claim` returns it from now on."""
        document = to_json(answer)
        self._update(key, "owner = NULL, calls = '[]', answer = ?", document)

    def abandon(self, key: RequestKey) -> None:
        """Give up the claim on an unfinished request; its state is `KeyInterrupted`."""
        self._update(key, "owner = NULL")

    def release(self, key: RequestKey) -> None:
        """Delete the record: certainly nothing was made, so a client may try again."""
        with self._database.writing(durable=_must_sync(key)) as connection:
            connection.execute(
                "DELETE FROM requests WHERE caller = ? AND key = ?", _columns(key)
            )

    def _update(self, key: RequestKey, assignments: str, *values: str) -> None:
        with self._database.writing(durable=True) as connection:
            _update(connection, key, assignments, *values)

    def list_requests(self, caller: str) -> tuple[StoredRequest, ...]:
        """Return all requests of the caller, the oldest first."""
        path = self._database.path
        with self._database.reading() as connection:
            rows = connection.execute(_LIST, [remove_surrogates(caller)]).fetchall()
            return tuple(
                StoredRequest(
                    key=RequestKey(caller=caller, key=key, fingerprint=fingerprint),
                    created_at=micros_to_datetime(created_at),
                    calls=self._calls(connection, calls),
                    process=owner and self._process_lock.find_process(owner),
                    answer=answer and from_json(answer, StoredAnswer, path=path),
                )
                for key, created_at, fingerprint, owner, calls, answer in rows
            )

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
        return KeyInterrupted(self._calls(connection, calls))

    def _calls(
        self, connection: sqlite3.Connection, document: str
    ) -> tuple[RecordedCall, ...]:
        path = self._database.path
        calls = from_json(document, tuple[RecordedCall, ...], path=path)
        return tuple(self._with_state(connection, each) for each in calls)

    def _with_state(
        self, connection: sqlite3.Connection, call: RecordedCall
    ) -> RecordedCall:
        [(state, owner, images)] = connection.execute(_CALL_STATE, {"id": call.id})
        return msgspec.structs.replace(
            call,
            open=state not in {None, "planned"},
            live=owner is not None and self._process_lock.is_held(owner),
            billed=images is not None,
            images=images or 0,
        )


def _must_sync(key: RequestKey) -> bool:
    # The journal syncs the same file before a call is sent, and so the claim of its
    # command with it. A command that is forgotten a moment too late is returned, not
    # paid again.
    return key.caller != UNKEYED_COMMANDS


def _encode(calls: Sequence[Call]) -> str:
    return to_json(
        [
            RecordedCall(id=call.id, image_ids=call.image_ids, call=call)
            for call in calls
        ]
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
