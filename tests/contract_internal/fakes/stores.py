"""Fakes of the journal, the ledger and the history in memory."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from datetime import date, datetime
from itertools import islice
from operator import attrgetter
from threading import RLock
from typing import Self

import msgspec

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
from imagen.domain.errors import InvalidRequest, JournalError, ReferenceTaken
from imagen.domain.history import HistoryEntry, Position
from imagen.domain.money.budget import BudgetLimit
from imagen.domain.money.usage import (
    Dimension,
    UsageRow,
    UsageTotal,
    iso_week,
    merge_totals,
    start_of_day,
)


class MemoryLedger:
    """A ledger in a dictionary.

    Attributes:
        kept: The rows, by id.
    """

    def __init__(self) -> None:
        self.kept: dict[str, UsageRow] = {}

    def record(self, rows: Sequence[UsageRow]) -> None:
        """Add the rows whose id is unknown."""
        for row in rows:
            self.kept.setdefault(row.id, row)

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Return the rows, the newest first."""
        rows = sorted(self.kept.values(), key=attrgetter("id"))
        rows.sort(key=attrgetter("created_at"))
        return (row for row in reversed(rows) if _is_since(row.created_at, since))

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Return totals grouped by the dimensions."""
        totals = (
            UsageTotal(
                **{name: getattr(row, name) for name in by},
                calls=1,
                images=row.images,
                cost_micros=row.cost_micros or 0,
                unknown=int(row.cost_micros is None),
            )
            for row in self.rows(since=since)
        )
        return merge_totals(totals, by)


class MemoryHistory:
    """A history in a dictionary.

    Attributes:
        kept: The images, by id.
        is_pending: Returns whether the image with an id waits for its upload.
    """

    def __init__(self) -> None:
        self.kept: dict[str, HistoryEntry] = {}
        self.is_pending: Callable[[str], bool] = lambda _: False

    def add(self, entries: Sequence[HistoryEntry]) -> None:
        """Add the entries, and replace those with equal ids."""
        self.kept.update({entry.sidecar.id: entry for entry in entries})

    def find(
        self,
        *,
        words: str = "",
        backend: str = "",
        model: str = "",
        caller: str = "",
        since: date | None = None,
        until: date | None = None,
        before: Position | None = None,
        limit: int | None = None,
    ) -> Iterator[HistoryEntry]:
        """Return the matching entries, the newest first."""
        sought = words.casefold().split()
        found = (
            entry
            for entry in sorted(self.kept.values(), key=_position, reverse=True)
            if all(word in entry.sidecar.prompt.casefold() for word in sought)
            and backend in {"", entry.sidecar.backend}
            and model in {"", entry.sidecar.model}
            and caller in {"", entry.sidecar.caller}
            and _is_since(_created(entry), since)
            and not (until and _is_since(_created(entry), until))
            and (before is None or entry.position < before)
        )
        return islice(found, limit)

    def count(self, by: Dimension) -> Mapping[str, int]:
        """Return the number of entries per value."""
        counted = Counter(
            iso_week(_created(entry)) if by == "week" else getattr(entry.sidecar, by)
            for entry in self.kept.values()
        )
        return dict(sorted(counted.items(), reverse=by == "week"))

    def get(self, name: str) -> HistoryEntry | None:
        """Return the entry of an id, of a unique prefix, or the last one."""
        if name == "last":
            return next(self.find(), None)
        begin = name.lower()
        found = [entry for key, entry in self.kept.items() if key.startswith(begin)]
        if len(found) > 1 and begin not in self.kept:
            raise InvalidRequest(
                f"{len(found)} images have an id that begins {name!r}."
            )
        return self.kept.get(begin, found[0] if found else None)

    def forget(self, image_id: str) -> bool:
        """Delete the entry; return whether it existed."""
        return self.kept.pop(image_id, None) is not None

    def forget_older(self, than: datetime) -> int:
        """Delete older entries that need no upload; return their number."""
        older = [
            key
            for key, entry in self.kept.items()
            if _created(entry) < than and not self.is_pending(key)
        ]
        return sum(map(self.forget, older))


class _CallEntry(msgspec.Struct):
    """An open call; `owner` is the journal of the process that works on it."""

    call: Call
    owner: "MemoryJournal | None"
    state: CallState = "planned"
    reference: str = ""
    reason: str = ""
    received: Received | None = None


class _SharedCalls:
    """The data that journals of several processes share."""

    def __init__(self) -> None:
        self.calls: dict[str, _CallEntry] = {}
        self.references: dict[tuple[str, str], str] = {}
        self.reserved: dict[str, int] = {}
        self.lock = RLock()


class MemoryJournal:
    """A journal in memory.

    Args:
        ledger: The ledger for usage rows; by default a new one.

    Attributes:
        ledger: The ledger with the usage rows.
        notes: The recorded updates, each with the id of its call.
        alive: Whether the simulated process is alive.
    """

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        self.ledger = MemoryLedger() if ledger is None else ledger
        self.notes: list[tuple[str, CallUpdate]] = []
        self.alive = True
        self._shared = _SharedCalls()

    def another(self) -> Self:
        """Return the journal of another process on the same calls."""
        another = copy(self)
        another.notes, another.alive = [], True
        return another

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> None:
        """Add the calls if all limits have room for all of them."""
        shared, new = self._shared, {call.id: _CallEntry(call, self) for call in calls}
        with shared.lock:
            for limit in limits:
                self._check_limit(limit, calls)
            if len(new) < len(calls) or new.keys() & shared.calls.keys():
                raise JournalError("One of the calls exists already.")
            shared.calls |= new
            shared.reserved |= {call.id: call.reserved or 0 for call in calls}

    def committed_micros(self, limit: BudgetLimit) -> int:
        """Return what was spent and reserved within the limit."""
        return sum(self._spent_and_reserved(limit))

    def record(self, call_id: str, update: CallUpdate) -> None:
        """Apply the update to the call."""
        with self._shared.lock:
            self.notes.append((call_id, update))
            if isinstance(update, CallClosed):
                self._shared.calls.pop(call_id, None)
                self.ledger.record([] if update.usage is None else [update.usage])
            elif entry := self._shared.calls.get(call_id):
                self._apply(entry, update)

    def unclaimed_references(
        self, call: Call, references: Sequence[str]
    ) -> tuple[str, ...]:
        """Return the references that no other call of the adapter had."""
        adapter, owners = call.plan.instance.adapter, self._shared.references
        with self._shared.lock:
            return tuple(
                reference
                for reference in references
                if owners.get((adapter, reference), call.id) == call.id
            )

    def list_open(self) -> tuple[OpenCall, ...]:
        """Return the open calls, the oldest first."""
        with self._shared.lock:
            entries = sorted(
                self._shared.calls.values(), key=lambda entry: entry.call.created_at
            )
            return tuple(_open_call(entry) for entry in entries)

    def claim(self, call_id: str) -> ClaimedCall | None:
        """Take over a call that is not live."""
        with self._shared.lock:
            entry = self._shared.calls.get(call_id)
            if entry is None or _open_call(entry).live:
                return None
            entry.owner = self
            claimed, entry.reason = _open_call(entry), ""
            return ClaimedCall(open=claimed, received=entry.received)

    def close(self) -> None:
        """Leave all calls open, as if this process had ended."""
        self.alive = False

    def _check_limit(self, limit: BudgetLimit, calls: Sequence[Call]) -> None:
        spent, reserved = self._spent_and_reserved(limit)
        limit.check(spent=spent, reserved=reserved, requested=_reserved(calls, limit))

    def _spent_and_reserved(self, limit: BudgetLimit) -> tuple[int, int]:
        spent = sum(
            self._shared.reserved.get(row.id, 0)
            if row.cost_micros is None
            else row.cost_micros
            for row in self.ledger.kept.values()
            if row.created_at >= limit.since
            and limit.backend in {"", row.backend}
            and limit.caller in {"", row.caller}
        )
        # A call that a dead process only planned was never sent, and reserves nothing.
        pending = [
            entry.call
            for entry in self._shared.calls.values()
            if entry.state != "planned" or entry.owner is None or entry.owner.alive
        ]
        return spent, _reserved(pending, limit)

    def _apply(self, entry: _CallEntry, note: CallUpdate) -> None:
        match note:
            case CallSending(active=True) if entry.state == "planned":
                entry.state = "sent"
            case CallSending(active=False) if entry.state == "sent":
                entry.state = "planned"
            case CallAccepted(reference=reference):
                name = entry.call.plan.instance.adapter, reference
                if (
                    self._shared.references.setdefault(name, entry.call.id)
                    != entry.call.id
                ):
                    raise ReferenceTaken(f"The job {reference} has another call.")
                entry.reference = reference
                entry.state = "accepted" if entry.received is None else "received"
            case CallReceived(received=received):
                entry.state, entry.received = "received", received
            case CallLeftOpen(reason=reason):
                entry.owner, entry.reason = None, reason
            case _:
                pass


def _reserved(calls: Sequence[Call], limit: BudgetLimit) -> int:
    return sum(
        call.reserved or 0
        for call in calls
        if call.may_cost
        and limit.backend in {"", call.plan.instance.name}
        and limit.caller in {"", call.caller}
    )


def _open_call(entry: _CallEntry) -> OpenCall:
    return OpenCall(
        call=entry.call,
        state=entry.state,
        reference=entry.reference,
        live=entry.owner is not None and entry.owner.alive,
        reason=entry.reason,
    )


def _created(entry: HistoryEntry) -> datetime:
    return datetime.fromisoformat(entry.sidecar.created_at)


def _position(entry: HistoryEntry) -> tuple[datetime, str]:
    return _created(entry), entry.sidecar.id


def _is_since(moment: datetime, since: date | None) -> bool:
    return since is None or moment >= start_of_day(since)
