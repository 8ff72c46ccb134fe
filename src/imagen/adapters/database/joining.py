"""Keeps the connections of the server's requests without an idempotency key."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

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
    UNKEYED_REQUESTS,
    RecordedCall,
    RequestKey,
    StoredAnswer,
)
from imagen.domain.joining import REFUSALS, ConnectionState, Joinable

_ANSWERED = "answered"
_LOST = ""
_FIND = f"""
    SELECT key, created_at, connection, retries, answer FROM requests
    WHERE caller = :caller AND fingerprint = :fingerprint
    AND (ended_at IS NULL OR ended_at >= :since)
    AND (:answered OR connection <> 'answered'
        OR json_extract(answer, '$.status') IN {tuple(sorted(REFUSALS))})
    ORDER BY created_at, key
"""  # noqa: S608 - constants only
_CONNECTION = """
    SELECT connection, retries FROM requests
    WHERE caller = :caller AND key = :key
"""
_RECORD = """
    INSERT INTO requests
        (caller, key, created_at, fingerprint, owner, connection, retries, calls)
    VALUES (:caller, :key, :at, :fingerprint, :owner, :owner, :retries, :calls)
    ON CONFLICT DO UPDATE SET calls = :calls
"""
_CHANGES = """
    connection = coalesce(:connection, connection),
    retries = iif(:connection IS NULL, retries, :retries),
    ended_at = coalesce(:ended_at, ended_at),
    owner = iif(:ended_at IS NULL, owner, NULL),
    calls = iif(:answer IS NULL, calls, '[]'),
    answer = coalesce(:answer, answer)
"""
_UPDATE = f"""
    UPDATE requests SET {_CHANGES} WHERE caller = :caller AND key = :key
"""  # noqa: S608 - constants only
_SAVE = f"""
    INSERT INTO requests (caller, key, created_at, fingerprint, owner, connection,
        retries, ended_at, answer)
    VALUES (:caller, :key, :at, :fingerprint, iif(:ended_at IS NULL, :owner, NULL),
        coalesce(:connection, ''), :retries, :ended_at, :answer)
    ON CONFLICT DO UPDATE SET {_CHANGES}
"""  # noqa: S608 - constants only
_CONNECT = """
    UPDATE requests SET connection = :owner, retries = :retries
    WHERE caller = :caller AND key = :key
"""
# The callers of such requests are a range of the primary key.
_RANGE = f"caller >= '{UNKEYED_REQUESTS}' AND caller < '{UNKEYED_REQUESTS[:-1]}!'"
_OLD = f"""
    SELECT caller, key, created_at, owner, calls, ended_at FROM requests
    WHERE {_RANGE} AND (ended_at IS NULL OR ended_at < ?)
"""  # noqa: S608 - constants only
_END = "UPDATE requests SET ended_at = ? WHERE caller = ? AND key = ?"
_FORGET = "DELETE FROM requests WHERE caller = ? AND key = ?"
_IS_OPEN = "SELECT 1 FROM calls WHERE id = ? AND state <> 'planned'"
_LONGEST = timedelta(days=1)
"""The time for which a request with an open call is kept."""


class SqliteJoinableRequests:
    """A record of the server's requests without an idempotency key.

    They are rows of the table of idempotency keys, under the server's own caller and
    key, and with the state of their connection.

    Used by several threads and processes at once. A connection belongs to a process and
    is lost with it. Nothing is synced to the disk: the journal's own sync covers a
    record that is written before the call is sent. Every method raises `JournalError`
    if the record cannot be read or written.

    Args:
        process_lock: Shows whether the process that has a connection is alive.
    """

    def __init__(self, database: Database, process_lock: ProcessLock) -> None:
        self._database = database
        self._process_lock = process_lock

    def find(
        self, key: RequestKey, *, since: datetime, answered: bool = True
    ) -> tuple[Joinable, ...]:
        """Return the caller's requests with this fingerprint, the oldest first.

        Those that have ended before `since` are left out.

        Args:
            answered: Whether to return those that were answered with images or an
                error. Refused ones are always returned.
        """
        at = datetime_to_micros(since)
        values = {**_columns(key), "since": at, "answered": answered}
        path = self._database.path
        with self._database.decoding() as connection:
            rows = connection.execute(_FIND, values).fetchall()
        return tuple(
            Joinable(
                id=id_,
                created_at=micros_to_datetime(created_at),
                connection=self._state(holder),
                retries=retries,
                refused=answer is not None
                and from_json(answer, StoredAnswer, path=path).status in REFUSALS,
            )
            for id_, created_at, holder, retries, answer in rows
        )

    def record(
        self,
        key: RequestKey,
        calls: Sequence[Call],
        *,
        at: datetime,
        retries: int | None,
    ) -> None:
        """Record the calls of a request before the first one is sent.

        A new request gets an open connection of this process.
        """
        recorded = [
            RecordedCall(id=each.id, image_ids=each.image_ids) for each in calls
        ]
        values = {"at": datetime_to_micros(at), "retries": retries}
        self._write(_RECORD, key, calls=to_json(recorded), **values)

    def save(
        self,
        key: RequestKey,
        *,
        at: datetime | None,
        retries: int | None,
        connection: Literal["lost", "answered"] | None = None,
        ended_at: datetime | None = None,
        answer: StoredAnswer | None = None,
    ) -> None:
        """Record what is given, of a new or a known request.

        Args:
            at: The time of the request; None if only a known one is changed.
            retries: The retry number of the connection.
            ended_at: No process works on the request since then.
        """
        self._write(
            _UPDATE if at is None else _SAVE,
            key,
            at=None if at is None else datetime_to_micros(at),
            retries=retries,
            connection=_LOST if connection == "lost" else connection,
            ended_at=None if ended_at is None else datetime_to_micros(ended_at),
            answer=None if answer is None else to_json(answer),
        )

    def connect(self, key: RequestKey, seen: Joinable, *, retries: int | None) -> bool:
        """Give this process the connection; False if it is not as `seen` any more.

        Of several concurrent attempts exactly one succeeds.
        """
        values = {**_columns(key), "owner": self._process_lock.acquire()}
        with self._database.writing(durable=False) as connection:
            row = connection.execute(_CONNECTION, values).fetchone()
            if row is None:
                return False
            holder, latest = row
            if (self._state(holder), latest) != (seen.connection, seen.retries):
                return False
            connection.execute(_CONNECT, {**values, "retries": retries})
            return True

    def expire(self, *, now: datetime, after: timedelta) -> None:
        """Delete requests that ended longer ago, unless a call of theirs is open.

        A request whose process has died ends now, if it was not known to have ended.
        """
        at, limit = datetime_to_micros(now), datetime_to_micros(now - after)
        oldest, path = datetime_to_micros(now - _LONGEST), self._database.path
        with self._database.decoding() as connection:
            rows = connection.execute(_OLD, [limit]).fetchall()
            ended: list[tuple[object, ...]] = []
            forgotten: list[tuple[str, str]] = []
            for caller, key, created_at, owner, document, ended_at in rows:
                calls = from_json(document, tuple[RecordedCall, ...], path=path)
                if owner is not None and self._process_lock.is_held(owner):
                    continue
                if ended_at is None or (
                    created_at > oldest
                    and any(
                        connection.execute(_IS_OPEN, [c.id]).fetchone() for c in calls
                    )
                ):
                    ended.append((at, caller, key))
                else:
                    forgotten.append((caller, key))
        if ended or forgotten:
            with self._database.writing(durable=False) as connection:
                connection.executemany(_END, ended)
                connection.executemany(_FORGET, forgotten)

    def _write(self, statement: str, key: RequestKey, **values: object) -> None:
        columns = {**_columns(key), "owner": self._process_lock.acquire()}
        with self._database.writing(durable=False) as connection:
            connection.execute(statement, {**columns, **values})

    def _state(self, holder: str) -> ConnectionState:
        if holder == _ANSWERED:
            return "answered"
        is_open = holder != _LOST and self._process_lock.is_held(holder)
        return "open" if is_open else "lost"


def _columns(key: RequestKey) -> dict[str, str]:
    return {
        "caller": remove_surrogates(key.caller),
        "key": remove_surrogates(key.key),
        "fingerprint": key.fingerprint,
    }
