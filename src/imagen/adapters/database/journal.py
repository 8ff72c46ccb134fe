"""Keeps the journal in the database, and received images in files beside it."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from imagen.adapters.database.connection import Database, translate_errors
from imagen.adapters.database.process_lock import ProcessLock
from imagen.adapters.database.schema import (
    datetime_to_micros,
    from_json,
    insert_usage,
    remove_surrogates,
    to_json,
)
from imagen.adapters.system.private_files import (
    create_private_file,
    create_private_folder,
    sync_folder,
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
from imagen.domain.errors import JournalError, ReferenceTaken
from imagen.domain.money.budget import BudgetLimit
from imagen.domain.result import Generated

_BEGIN = """
    INSERT INTO calls
    (id, created_at, adapter, backend, may_cost, reserved, owner, document, caller)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_OPEN = "SELECT id, state, reference, owner, trouble, document FROM calls"
_PAID = "SELECT 1 FROM usage WHERE id = ?"
_SPENT = """
    SELECT coalesce(sum(counted_micros), 0) FROM usage
    WHERE created_at >= :since AND :backend IN ('', backend)
"""
_SPENT_BY = f"{_SPENT} AND caller = :caller"  # its own, so that an index serves each
_UNSENT = """
    SELECT id, owner FROM calls WHERE state = 'planned' AND owner IS NOT NULL
"""
_TAKEN = """
    SELECT 1 FROM refs WHERE adapter = ? AND reference = ? AND call_id <> ?
"""
_HELD = """
    SELECT coalesce(sum(reserved), 0) FROM calls
    WHERE may_cost AND reserved
    AND :backend IN ('', backend) AND :caller IN ('', caller)
"""
_HELD_EACH = _HELD.replace("coalesce(sum(reserved), 0)", "state, owner, reserved")


class SqliteJournal:
    """Rows in the database, and beside it two folders.

    `spool` has the received images of each call in a file of their own, which is whole
    or not there; that it is there is what `received` means. `locks` has a file for each
    journal that works on calls, locked until its process is gone, however it went: so a
    call whose owner's file is not locked can be claimed.

    Attributes:
        lease: Says that this process lives, and whether others do.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._spool = _Spool(lambda: database.folder / "spool")
        self.lease = ProcessLock(lambda: database.folder / "locks")

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> None:
        """Check the limits and insert the rows in one transaction."""
        owner = self.lease.name()
        rows = [_row(call, owner) for call in calls]
        paid = any(call.may_cost for call in calls)
        with self._database.writing(for_good=paid) as connection:
            if limits:
                self._drop_unsent(connection)
            for limit in limits:
                _check(connection, limit, calls)
            try:
                connection.executemany(_BEGIN, rows)
            except sqlite3.IntegrityError as error:
                raise JournalError("One of the calls was begun already.") from error

    def committed_micros(self, limit: BudgetLimit) -> int:
        """Add up rows, but for those that the next one who begins will drop."""
        about = _about(limit)
        with self._database.reading() as connection:
            [(spent,)] = connection.execute(_spent(limit), about)
            held = connection.execute(_HELD_EACH, about).fetchall()
        alive = cache(self.lease.is_held)
        return int(spent) + sum(
            int(reserved)
            for state, owner, reserved in held
            if state != "planned" or owner is None or alive(owner)
        )

    def record(self, call_id: str, note: CallUpdate) -> None:
        """Update the row, or write the file if the images are here."""
        may_cost = self._may_cost(call_id)
        usage = note.usage if isinstance(note, CallClosed) else None
        if may_cost is None and usage is None:
            return
        if isinstance(note, CallReceived):
            self._spool.keep(call_id, note.received)
            return
        for_good = bool(may_cost) or usage is not None
        with self._database.writing(for_good=for_good) as connection:
            _note(connection, remove_surrogates(call_id), note)
        if isinstance(note, CallClosed):
            self._spool.drop(call_id)

    def unclaimed_references(
        self, call: Call, references: Sequence[str]
    ) -> tuple[str, ...]:
        """Look for each of them, whoever has or had it."""
        adapter, call_id = (
            remove_surrogates(call.plan.instance.adapter),
            remove_surrogates(call.id),
        )
        with self._database.reading() as connection:
            return tuple(
                reference
                for reference in references
                if not connection.execute(
                    _TAKEN, [adapter, remove_surrogates(reference), call_id]
                ).fetchone()
            )

    def list_open(self) -> tuple[OpenCall, ...]:
        """Read all rows, and tidy up after those who could not."""
        files = self._spool.files()  # before the rows: each of them had one by then
        with self._database.reading() as connection:
            found = connection.execute(f"{_OPEN} ORDER BY created_at, id").fetchall()
            over = {_call_id(path) for path in files} - {row[0] for row in found}
            # Where the ledger knows nothing of a call either, the database may be a new
            # or a restored one, and its file all that there is.
            over = {id_ for id_ in over if connection.execute(_PAID, [id_]).fetchone()}
        received = {_call_id(path) for path in files if path.suffix == _RECEIVED}
        self._spool.remove(path for path in files if _call_id(path) in over)
        self.lease.tidy()
        rows = [_Row(*row) for row in found]
        return tuple(self._open_call(row, received=row.id in received) for row in rows)

    def claim(self, call_id: str) -> ClaimedCall | None:
        """Put our name in the place of one who is gone, in one transaction."""
        with self._database.writing(for_good=True) as connection:
            query = f"{_OPEN} WHERE id = ?"
            row = connection.execute(query, [remove_surrogates(call_id)]).fetchone()
            if row is None:
                return None
            found = self._open_call(_Row(*row), received=False)
            if found.live:
                return None
            received = self._spool.read(call_id)
            connection.execute(
                "UPDATE calls SET owner = ?, trouble = '' WHERE id = ?",
                [self.lease.name(), remove_surrogates(call_id)],
            )
        state = found.state if received is None else "received"
        taken = replace(found, live=True, state=state)
        return ClaimedCall(open=taken, received=received)

    def close(self) -> None:
        """Let go of the database, and of every call, as if this process had ended."""
        self.lease.release()
        self._database.close()

    def _drop_unsent(self, connection: sqlite3.Connection) -> None:
        """Drop what was planned by those who are gone: it was never sent."""
        for call_id, owner in connection.execute(_UNSENT).fetchall():
            if not self.lease.is_held(owner):
                connection.execute("DELETE FROM calls WHERE id = ?", [call_id])

    def _may_cost(self, call_id: str) -> bool | None:
        """Say whether the call may cost money; None when it is not there."""
        query = "SELECT may_cost FROM calls WHERE id = ?"
        with self._database.reading() as connection:
            row = connection.execute(query, [remove_surrogates(call_id)]).fetchone()
        return None if row is None else bool(row[0])

    def _open_call(self, row: "_Row", *, received: bool) -> OpenCall:
        return OpenCall(
            call=from_json(row.document, Call, path=self._database.path),
            state="received" if received else row.state,
            reference=row.reference,
            live=row.owner is not None and self.lease.is_held(row.owner),
            reason=row.trouble,
        )


class _Row(NamedTuple):
    """A row of `calls`, as far as it is read."""

    id: str
    state: CallState
    reference: str
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
    about = _about(limit)
    [(spent,)] = connection.execute(_spent(limit), about)
    [(reserved,)] = connection.execute(_HELD, about)
    asked = sum(
        call.reserved or 0
        for call in calls
        if call.may_cost
        and limit.backend in {"", call.plan.instance.name}
        and limit.caller in {"", call.caller}
    )
    limit.check(spent=spent, reserved=reserved, requested=asked)


def _spent(limit: BudgetLimit) -> str:
    return _SPENT_BY if limit.caller else _SPENT


def _about(limit: BudgetLimit) -> dict[str, str | int]:
    return {
        "since": datetime_to_micros(limit.since),
        "backend": remove_surrogates(limit.backend),
        "caller": remove_surrogates(limit.caller),
    }


def _note(connection: sqlite3.Connection, call_id: str, note: CallUpdate) -> None:
    match note:
        case CallSending(active=True):
            connection.execute(
                "UPDATE calls SET state = 'sent' WHERE id = ? AND state = 'planned'",
                [call_id],
            )
        case CallSending():
            connection.execute(
                "UPDATE calls SET state = 'planned' WHERE id = ? AND state = 'sent'",
                [call_id],
            )
        case CallAccepted(reference=reference):
            _take_reference(connection, remove_surrogates(reference), call_id)
        case CallLeftOpen(reason=trouble):
            connection.execute(
                "UPDATE calls SET owner = NULL, trouble = ? WHERE id = ?",
                [remove_surrogates(trouble), call_id],
            )
        case CallClosed(usage=usage):
            insert_usage(connection, [] if usage is None else [usage])
            connection.execute("DELETE FROM calls WHERE id = ?", [call_id])
        case CallReceived():
            pass  # a file says so


def _take_reference(
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


class _Spooled(msgspec.Struct, frozen=True, kw_only=True):
    """What a file in the spool holds: `Received`, with the offset of its time."""

    generated: Generated
    at: str
    latency_ms: int
    watched: bool = True


class _Spool:
    """A folder with a file for every call whose images are here, and not stored."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder

    def keep(self, call_id: str, received: Received) -> None:
        """Write the file beside its place, sync it, and give it its name."""
        folder, content = self._folder(), _packed(received)
        with translate_errors(folder):
            create_private_folder(folder)
            draft = folder / f"{call_id}.{os.urandom(8).hex()}.part"
            try:
                with os.fdopen(create_private_file(draft), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(folder / f"{call_id}{_RECEIVED}")
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            sync_folder(folder)

    def read(self, call_id: str) -> Received | None:
        """Return what the file holds; None when there is none."""
        path = self._folder() / f"{call_id}{_RECEIVED}"
        with translate_errors(path):
            try:
                spooled = msgspec.msgpack.decode(path.read_bytes(), type=_Spooled)
                at = datetime.fromisoformat(spooled.at)
            except FileNotFoundError:
                return None
            except ValueError as error:
                raise JournalError(
                    f"{path} is damaged: {error}.",
                    hint="Move it away, and the backend is asked for the images again.",
                ) from error
        return Received(
            generated=spooled.generated,
            at=at,
            latency_ms=spooled.latency_ms,
            observed=spooled.watched,
        )

    def files(self) -> list[Path]:
        """Return all files, whole or not."""
        folder = self._folder()
        with translate_errors(folder):
            return list(folder.iterdir()) if folder.is_dir() else []

    def drop(self, call_id: str) -> None:
        """Remove the file of a call that is over."""
        self.remove([self._folder() / f"{call_id}{_RECEIVED}"])

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove the files, as far as that is possible now."""
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _call_id(path: Path) -> str:
    return path.name.partition(".")[0]


def _packed(received: Received) -> bytes:
    """Return the images, and of what was said with them as much as can be written."""
    said = received.generated
    bare = replace(said, model=remove_surrogates(said.model), parameters={})
    at = received.at.isoformat()
    for generated in (said, bare):
        spooled = _Spooled(
            generated=generated,
            at=at,
            latency_ms=received.latency_ms,
            watched=received.observed,
        )
        try:
            return msgspec.msgpack.encode(spooled)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            trouble = error
    raise JournalError(f"What arrived cannot be written down: {trouble}.") from trouble
