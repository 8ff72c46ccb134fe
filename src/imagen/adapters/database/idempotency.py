"""Keeps in the database what was asked for under which key."""

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

_FIND = """
    SELECT fingerprint, owner, calls, answer FROM requests WHERE caller = ? AND key = ?
"""
_TAKE = """
    INSERT INTO requests (caller, key, created_at, fingerprint, owner)
    VALUES (?, ?, ?, ?, ?)
"""
_STANDS = """
    SELECT (SELECT state FROM calls WHERE id = :id),
        (SELECT owner FROM calls WHERE id = :id),
        EXISTS (SELECT 1 FROM usage WHERE id = :id)
"""


class SqliteRequestKeys:
    """A table with a row for every key.

    Args:
        database: Where the table is.
        lease: Says whether whoever works on a request still lives.
    """

    def __init__(self, database: Database, lease: ProcessLock) -> None:
        self._database = database
        self._lease = lease

    def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
        """Look and insert in one transaction."""
        owner = self._lease.name()
        with self._database.writing(for_good=True) as connection:
            row = connection.execute(_FIND, _name(key)).fetchone()
            if row is None:
                values = (*_name(key), datetime_to_micros(at), key.fingerprint, owner)
                connection.execute(_TAKE, values)
                return KeyClaimed()
            return self._state(connection, key, row)

    def take_over(self, key: RequestKey) -> bool:
        """Put our name where that of one who is gone was."""
        ours = self._lease.name()
        with self._database.writing(for_good=True) as connection:
            row = connection.execute(_FIND, _name(key)).fetchone()
            if row is None or row[3] is not None:
                return False
            if row[1] is not None and self._lease.is_held(row[1]):
                return False
            _set(connection, key, "owner = ?, calls = '[]'", ours)
            return True

    def record_calls(self, key: RequestKey, calls: Sequence[Call]) -> None:
        """Write down the ids."""
        kept = [RecordedCall(id=call.id, image_ids=call.image_ids) for call in calls]
        document = msgspec.json.encode(kept).decode()
        with self._database.writing(for_good=True) as connection:
            _set(connection, key, "calls = ?", document)

    def complete(self, key: RequestKey, answer: StoredAnswer) -> None:
        """Write down the answer."""
        with self._database.writing(for_good=True) as connection:
            _set(connection, key, "owner = NULL, answer = ?", to_json(answer))

    def abandon(self, key: RequestKey) -> None:
        """Take our name away."""
        with self._database.writing(for_good=True) as connection:
            _set(connection, key, "owner = NULL")

    def release(self, key: RequestKey) -> None:
        """Delete the row."""
        with self._database.writing(for_good=True) as connection:
            connection.execute(
                "DELETE FROM requests WHERE caller = ? AND key = ?", _name(key)
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
        if owner is not None and self._lease.is_held(owner):
            return KeyInProgress()
        with translate_decode_errors(path):
            kept = msgspec.json.decode(calls, type=tuple[RecordedCall, ...])
        return KeyInterrupted(
            tuple(self._as_it_stands(connection, each) for each in kept)
        )

    def _as_it_stands(
        self, connection: sqlite3.Connection, call: RecordedCall
    ) -> RecordedCall:
        [(state, owner, billed)] = connection.execute(_STANDS, {"id": call.id})
        return msgspec.structs.replace(
            call,
            open=state not in {None, "planned"},
            live=owner is not None and self._lease.is_held(owner),
            billed=bool(billed),
        )


def _name(key: RequestKey) -> tuple[str, str]:
    return remove_surrogates(key.caller), remove_surrogates(key.key)


def _set(
    connection: sqlite3.Connection, key: RequestKey, what: str, *values: str
) -> None:
    connection.execute(
        f"UPDATE requests SET {what} WHERE caller = ? AND key = ?",  # noqa: S608 - words of ours alone
        [*values, *_name(key)],
    )
