"""Keeps the journal in the database, and received images in files beside it."""

import sqlite3
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from imagen.adapters.database.connection import Database, translate_errors
from imagen.adapters.database.files import read_file, remove_files, write_file
from imagen.adapters.database.process_lock import ProcessLock
from imagen.adapters.database.schema import (
    datetime_to_micros,
    from_json,
    insert_usage,
    micros_to_datetime,
    remove_surrogates,
    to_json,
)
from imagen.domain.call import (
    Call,
    CallAccepted,
    CallClosed,
    CallLeftOpen,
    CallReceived,
    CallSending,
    CallState,
    CallUpdate,
    ClaimedCall,
    OpenCall,
    Received,
)
from imagen.domain.consumption import Used
from imagen.domain.errors import JournalError, ReferenceTaken
from imagen.domain.money.budget import BudgetLimit
from imagen.domain.money.cost import Cost

_INSERT_CALL = """
    INSERT INTO calls
    (id, created_at, adapter, backend, may_cost, reserved, owner, document, caller)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_OPEN_CALLS = """
    SELECT id, state, reference, sent_at, owner, trouble, document FROM calls
"""
_HAS_USAGE = "SELECT 1 FROM usage WHERE id = ?"
_SPENT = """
    SELECT coalesce(sum(counted_micros), 0) FROM usage
    WHERE created_at >= :since AND created_at < :until AND :backend IN ('', backend)
"""
# A query of its own, not one more `IN ('', caller)`: so each is served by an index.
_SPENT_BY_CALLER = f"{_SPENT} AND caller = :caller"
_UNSENT = """
    SELECT id, owner FROM calls WHERE state = 'planned' AND owner IS NOT NULL
"""
_REFERENCE_OF_OTHER = """
    SELECT 1 FROM refs WHERE adapter = ? AND reference = ? AND call_id <> ?
"""
_RESERVED = """
    SELECT coalesce(sum(reserved), 0) FROM calls
    WHERE may_cost AND reserved
    AND :backend IN ('', backend) AND :caller IN ('', caller)
"""
_RESERVATIONS = _RESERVED.replace(
    "coalesce(sum(reserved), 0)", "state, owner, reserved"
)


class SqliteJournal:
    """Rows in the database, and two folders beside it.

    The folder `spool` has a file with the received images of each call, which is
    complete or absent; a call is `received` exactly if the file exists. The folder
    `locks` has a lock file for each journal object that works on calls. A call can be
    claimed if the lock of its owner is not held.

    Attributes:
        process_lock: Shows that this process is alive, and whether others are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.process_lock = ProcessLock(lambda: database.folder / "locks")

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> None:
        """Check the limits and insert the rows in one transaction."""
        owner = self.process_lock.acquire()
        rows = [_row(call, owner) for call in calls]
        paid = any(call.may_cost for call in calls)
        with self._database.writing(durable=paid) as connection:
            if limits:
                self._delete_unsent(connection)
            for limit in limits:
                _check(connection, limit, calls)
            try:
                connection.executemany(_INSERT_CALL, rows)
            except sqlite3.IntegrityError as error:
                raise JournalError("One of the calls was already recorded.") from error

    def committed_micros(self, limit: BudgetLimit) -> int:
        """Add up the rows, except those that the next `begin` deletes."""
        parameters = _parameters(limit)
        with self._database.reading() as connection:
            [(spent,)] = connection.execute(_spent_query(limit), parameters)
            rows = connection.execute(_RESERVATIONS, parameters).fetchall()
        is_alive = cache(self.process_lock.is_held)
        return int(spent) + sum(
            int(reserved)
            for state, owner, reserved in rows
            if state != "planned" or owner is None or is_alive(owner)
        )

    def record(self, call_id: str, update: CallUpdate) -> None:
        """Update the row, or write the file if the update has the images."""
        may_cost = self._may_cost(call_id)
        usage = update.usage if isinstance(update, CallClosed) else None
        if may_cost is None and usage is None:
            return
        if isinstance(update, CallReceived):
            path = self._received_path(call_id)
            write_file(path, _encode(update.received), durable=True)
            return
        durable = bool(may_cost) or usage is not None
        with self._database.writing(durable=durable) as connection:
            _update(connection, remove_surrogates(call_id), update)
        # Only after the commit: a crash in between leaves a file that `list_open`
        # deletes, while the other order could lose images that are not stored yet.
        if isinstance(update, CallClosed):
            remove_files([self._received_path(call_id)])

    def unclaimed_references(
        self, call: Call, references: Sequence[str]
    ) -> tuple[str, ...]:
        """Look up each reference, also among those of closed calls."""
        adapter = remove_surrogates(call.plan.instance.adapter)
        call_id = remove_surrogates(call.id)
        with self._database.reading() as connection:
            return tuple(
                reference
                for reference in references
                if not connection.execute(
                    _REFERENCE_OF_OTHER,
                    [adapter, remove_surrogates(reference), call_id],
                ).fetchone()
            )

    def list_open(self) -> tuple[OpenCall, ...]:
        """Read all rows, and delete the files that dead processes have left."""
        # The files are listed before the rows are read: each of these files had a row
        # when it was written, so a file without a row belongs to a closed call.
        folder = self._database.folder / "spool"
        with translate_errors(folder):
            files = list(folder.iterdir()) if folder.is_dir() else []
        with self._database.reading() as connection:
            query = f"{_OPEN_CALLS} ORDER BY created_at, id"
            found = connection.execute(query).fetchall()
            closed = {_call_id(path) for path in files} - {row[0] for row in found}
            # If the ledger does not know the call either, the database may be new, or
            # restored from a backup, and the file the only copy of paid images.
            closed = {
                id_
                for id_ in closed
                if connection.execute(_HAS_USAGE, [id_]).fetchone()
            }
        received = {_call_id(path) for path in files if path.suffix == _RECEIVED}
        remove_files(path for path in files if _call_id(path) in closed)
        self.process_lock.remove_stale()
        rows = [_Row(*row) for row in found]
        return tuple(self._open_call(row, received=row.id in received) for row in rows)

    def claim(self, call_id: str) -> ClaimedCall | None:
        """Replace the owner of the call in one transaction, if that owner is dead."""
        with self._database.writing(durable=True) as connection:
            query = f"{_OPEN_CALLS} WHERE id = ?"
            row = connection.execute(query, [remove_surrogates(call_id)]).fetchone()
            if row is None:
                return None
            found = self._open_call(_Row(*row), received=False)
            if found.live:
                return None
            path = self._received_path(call_id)
            content = read_file(path)
            received = None if content is None else _decode(content, path)
            connection.execute(
                "UPDATE calls SET owner = ?, trouble = '' WHERE id = ?",
                [self.process_lock.acquire(), remove_surrogates(call_id)],
            )
        state = found.state if received is None else "received"
        claimed = replace(found, live=True, state=state)
        return ClaimedCall(open=claimed, received=received)

    def close(self) -> None:
        """Close the database and give up every call, as if the process had ended."""
        self.process_lock.release()
        self._database.close()

    def _delete_unsent(self, connection: sqlite3.Connection) -> None:
        """Delete the planned calls of dead processes, which were never sent."""
        for call_id, owner in connection.execute(_UNSENT).fetchall():
            if not self.process_lock.is_held(owner):
                connection.execute("DELETE FROM calls WHERE id = ?", [call_id])

    def _received_path(self, call_id: str) -> Path:
        """Return the file with the images of a call that are not stored yet."""
        return self._database.folder / "spool" / f"{call_id}{_RECEIVED}"

    def _may_cost(self, call_id: str) -> bool | None:
        """Return whether the call may cost money; None if it is not open."""
        query = "SELECT may_cost FROM calls WHERE id = ?"
        with self._database.reading() as connection:
            row = connection.execute(query, [remove_surrogates(call_id)]).fetchone()
        return None if row is None else bool(row[0])

    def _open_call(self, row: "_Row", *, received: bool) -> OpenCall:
        return OpenCall(
            call=from_json(row.document, Call, path=self._database.path),
            state="received" if received else row.state,
            reference=row.reference,
            sent_at=None if row.sent_at is None else micros_to_datetime(row.sent_at),
            live=row.owner is not None and self.process_lock.is_held(row.owner),
            reason=row.trouble,
        )


class _Row(NamedTuple):
    """The columns of `_OPEN_CALLS`."""

    id: str
    state: CallState
    reference: str
    sent_at: int | None
    owner: str | None
    trouble: str
    document: str


def _row(call: Call, owner: str) -> tuple[object, ...]:
    instance = call.plan.instance
    return (
        remove_surrogates(call.id),
        datetime_to_micros(call.created_at),
        remove_surrogates(instance.adapter),
        remove_surrogates(instance.name),
        call.may_cost,
        call.reserved,
        owner,
        to_json(call),
        remove_surrogates(call.caller),
    )


def _check(
    connection: sqlite3.Connection, limit: BudgetLimit, calls: Sequence[Call]
) -> None:
    parameters = _parameters(limit)
    [(spent,)] = connection.execute(_spent_query(limit), parameters)
    [(reserved,)] = connection.execute(_RESERVED, parameters)
    requested = sum(
        call.reserved or 0
        for call in calls
        if call.may_cost
        and limit.backend in {"", call.plan.instance.name}
        and limit.caller in {"", call.caller}
    )
    limit.check(spent=spent, reserved=reserved, requested=requested)


def _spent_query(limit: BudgetLimit) -> str:
    return _SPENT_BY_CALLER if limit.caller else _SPENT


def _parameters(limit: BudgetLimit) -> dict[str, str | int]:
    return {
        "since": datetime_to_micros(limit.since),
        "until": datetime_to_micros(limit.until),
        "backend": remove_surrogates(limit.backend),
        "caller": remove_surrogates(limit.caller),
    }


def _update(connection: sqlite3.Connection, call_id: str, update: CallUpdate) -> None:
    match update:
        case CallSending(active=active, at=at):
            before, after = ("planned", "sent") if active else ("sent", "planned")
            sent_at = None if at is None else datetime_to_micros(at)
            connection.execute(
                "UPDATE calls SET state = ?, sent_at = ? WHERE id = ? AND state = ?",
                [after, sent_at, call_id, before],
            )
        case CallAccepted(reference=reference):
            _set_reference(connection, remove_surrogates(reference), call_id)
        case CallLeftOpen(reason=reason):
            connection.execute(
                "UPDATE calls SET owner = NULL, trouble = ? WHERE id = ?",
                [remove_surrogates(reason), call_id],
            )
        case CallClosed(usage=usage):
            insert_usage(connection, [] if usage is None else [usage])
            connection.execute("DELETE FROM calls WHERE id = ?", [call_id])
        case CallReceived():
            pass  # stored as a file


def _set_reference(
    connection: sqlite3.Connection, reference: str, call_id: str
) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO refs SELECT adapter, ?, id FROM calls WHERE id = ?",
        [reference, call_id],
    )
    [(others,)] = connection.execute(
        """
        SELECT count(*) FROM refs JOIN calls USING (adapter)
        WHERE calls.id = ? AND refs.reference = ? AND refs.call_id <> calls.id
        """,
        [call_id, reference],
    )
    if others:
        raise ReferenceTaken(f"Another call has the remote job {reference}.")
    connection.execute(
        "UPDATE calls SET state = 'accepted', reference = ? WHERE id = ?",
        [reference, call_id],
    )


_RECEIVED = ".received"


def _decode(content: bytes, path: Path) -> Received:
    try:
        return msgspec.msgpack.decode(content, type=Received)
    except ValueError as error:
        raise JournalError(
            f"{path} is damaged: {error}.",
            hint="Move it away, and imagen asks the backend for the images again.",
        ) from error


def _call_id(path: Path) -> str:
    return path.name.partition(".")[0]


def _encode(received: Received) -> bytes:
    """Encode the images, with as much of the metadata as can be encoded."""
    generated = received.generated
    # What a vendor returns as model or parameters may not be encodable. The images are
    # paid for, so they are kept without it.
    bare = replace(
        generated,
        model=remove_surrogates(generated.model),
        parameters={},
        delayed={
            position: replace(output, reason=remove_surrogates(output.reason))
            for position, output in generated.delayed.items()
        },
        deleted={
            position: remove_surrogates(reason)
            for position, reason in generated.deleted.items()
        },
    )
    # Nor may its figures be: msgspec writes no integers above 64 bits.
    images = tuple(replace(image, seed=None) for image in generated.images)
    figureless = replace(bare, images=images, steps=None, cost=Cost(), used=Used())
    for each in (generated, bare, figureless):
        try:
            # Times as text: MessagePack has none with an offset from UTC.
            stored = replace(received, generated=each)
            plain = msgspec.to_builtins(stored, builtin_types=[bytes])
            return msgspec.msgpack.encode(plain)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            reason = error
    raise JournalError(f"The response cannot be stored: {reason}.") from reason
