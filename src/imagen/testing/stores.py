"""The journal, the ledger and the history in memory: gone when the test is over."""

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
    """A dictionary that adds up.

    Attributes:
        kept: The rows, by id.
    """

    def __init__(self) -> None:
        self.kept: dict[str, UsageRow] = {}

    def record(self, rows: Sequence[UsageRow]) -> None:
        """Keep those that are not kept yet."""
        for row in rows:
            self.kept.setdefault(row.id, row)

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Sort what there is."""
        rows = sorted(self.kept.values(), key=attrgetter("id"))
        rows.sort(key=attrgetter("created_at"))
        return (row for row in reversed(rows) if _is_since(row.created_at, since))

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Group what there is."""
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
    """A dictionary that can be searched.

    Attributes:
        kept: The images, by id.
        is_owed: Says whether the image of an id is owed to the cloud.
    """

    def __init__(self) -> None:
        self.kept: dict[str, HistoryEntry] = {}
        self.is_owed: Callable[[str], bool] = lambda _: False

    def add(self, entries: Sequence[HistoryEntry]) -> None:
        """Keep them, in the place of those with their ids."""
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
        """Look at each."""
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
        """Count each."""
        counted = Counter(
            iso_week(_created(entry)) if by == "week" else getattr(entry.sidecar, by)
            for entry in self.kept.values()
        )
        return dict(sorted(counted.items(), reverse=by == "week"))

    def get(self, name: str) -> HistoryEntry | None:
        """Look at each id."""
        if name == "last":
            return next(self.find(), None)
        begin = name.lower()
        found = [entry for key, entry in self.kept.items() if key.startswith(begin)]
        if len(found) > 1 and begin not in self.kept:
            raise InvalidRequest(f"{len(found)} images have an id like {name!r}.")
        return self.kept.get(begin, found[0] if found else None)

    def forget(self, image_id: str) -> bool:
        """Drop it."""
        return self.kept.pop(image_id, None) is not None

    def forget_older(self, than: datetime) -> int:
        """Drop them."""
        older = [
            key
            for key, entry in self.kept.items()
            if _created(entry) < than and not self.is_owed(key)
        ]
        return sum(map(self.forget, older))


class _CallEntry(msgspec.Struct):
    """What is known of a call; `owner` is the journal in whose hands it is."""

    call: Call
    owner: "MemoryJournal | None"
    state: CallState = "planned"
    reference: str = ""
    trouble: str = ""
    received: Received | None = None


class _SharedCalls:
    """What journals that stand for several processes have in common."""

    def __init__(self) -> None:
        self.calls: dict[str, _CallEntry] = {}
        self.references: dict[tuple[str, str], str] = {}
        self.reserved: dict[str, int] = {}
        self.lock = RLock()


class MemoryJournal:
    """Knows the calls of this test.

    Args:
        ledger: Where usage rows go.

    Attributes:
        ledger: Where usage rows went.
        notes: All that it was told, and of which call.
        alive: Whether the process that it stands for goes on.
    """

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        self.ledger = MemoryLedger() if ledger is None else ledger
        self.notes: list[tuple[str, CallUpdate]] = []
        self.alive = True
        self._desk = _SharedCalls()

    def another(self) -> Self:
        """Return the journal of another process over the same calls."""
        another = copy(self)
        another.notes, another.alive = [], True
        return another

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> None:
        """Keep the calls, if there is room for all of them."""
        desk, new = self._desk, {call.id: _CallEntry(call, self) for call in calls}
        with desk.lock:
            for limit in limits:
                self._check_limit(limit, calls)
            if len(new) < len(calls) or new.keys() & desk.calls.keys():
                raise JournalError("One of the calls was begun already.")
            desk.calls |= new
            desk.reserved |= {call.id: call.reserved or 0 for call in calls}

    def committed_micros(self, limit: BudgetLimit) -> int:
        """Add up what was spent and what is reserved."""
        return sum(self._spent_and_reserved(limit))

    def record(self, call_id: str, note: CallUpdate) -> None:
        """Change what is known of the call."""
        with self._desk.lock:
            self.notes.append((call_id, note))
            if isinstance(note, CallClosed):
                self._desk.calls.pop(call_id, None)
                self.ledger.record([] if note.usage is None else [note.usage])
            elif entry := self._desk.calls.get(call_id):
                self._apply(entry, note)

    def unclaimed_references(
        self, call: Call, references: Sequence[str]
    ) -> tuple[str, ...]:
        """Look whose they are."""
        adapter, owners = call.plan.instance.adapter, self._desk.references
        with self._desk.lock:
            return tuple(
                reference
                for reference in references
                if owners.get((adapter, reference), call.id) == call.id
            )

    def list_open(self) -> tuple[OpenCall, ...]:
        """Return what is known of each."""
        with self._desk.lock:
            entries = sorted(
                self._desk.calls.values(), key=lambda entry: entry.call.created_at
            )
            return tuple(_open_call(entry) for entry in entries)

    def claim(self, call_id: str) -> ClaimedCall | None:
        """Take it over."""
        with self._desk.lock:
            entry = self._desk.calls.get(call_id)
            if entry is None or _open_call(entry).live:
                return None
            entry.owner = self
            taken, entry.trouble = _open_call(entry), ""
            return ClaimedCall(open=taken, received=entry.received)

    def close(self) -> None:
        """Let go of every call, as if this process had ended."""
        self.alive = False

    def _check_limit(self, limit: BudgetLimit, calls: Sequence[Call]) -> None:
        spent, reserved = self._spent_and_reserved(limit)
        limit.check(spent=spent, reserved=reserved, requested=_reserved(calls, limit))

    def _spent_and_reserved(self, limit: BudgetLimit) -> tuple[int, int]:
        """Return what was spent in the limit's time, and what is reserved."""
        spent = sum(
            self._desk.reserved.get(row.id, 0)
            if row.cost_micros is None
            else row.cost_micros
            for row in self.ledger.kept.values()
            if row.created_at >= limit.since
            and limit.backend in {"", row.backend}
            and limit.caller in {"", row.caller}
        )
        there = [
            entry.call
            for entry in self._desk.calls.values()
            if entry.state != "planned" or entry.owner is None or entry.owner.alive
        ]
        return spent, _reserved(there, limit)

    def _apply(self, entry: _CallEntry, note: CallUpdate) -> None:
        match note:
            case CallSending(active=True) if entry.state == "planned":
                entry.state = "sent"
            case CallSending(active=False) if entry.state == "sent":
                entry.state = "planned"
            case CallAccepted(reference=reference):
                name = entry.call.plan.instance.adapter, reference
                if (
                    self._desk.references.setdefault(name, entry.call.id)
                    != entry.call.id
                ):
                    raise ReferenceTaken(f"Another call has the job {reference}.")
                entry.reference = reference
                entry.state = "accepted" if entry.received is None else "received"
            case CallReceived(received=received):
                entry.state, entry.received = "received", received
            case CallLeftOpen(reason=trouble):
                entry.owner, entry.trouble = None, trouble
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
        reason=entry.trouble,
    )


def _created(entry: HistoryEntry) -> datetime:
    return datetime.fromisoformat(entry.sidecar.created_at)


def _position(entry: HistoryEntry) -> tuple[datetime, str]:
    return _created(entry), entry.sidecar.id


def _is_since(moment: datetime, since: date | None) -> bool:
    return since is None or moment >= start_of_day(since)
