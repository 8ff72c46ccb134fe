"""Say what was spent, and what may come on top of it."""

import heapq
from collections.abc import Iterator, Sequence
from datetime import date
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal, merge_totals

if TYPE_CHECKING:
    from imagen.ports.journal import Journal
    from imagen.ports.ledger import UsageReader
    from imagen.ports.outbox import Outbox


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent.

    Attributes:
        groups: By what it was asked for, in the order of the ledger.
        total: All of them together.
    """

    groups: tuple[UsageTotal, ...]
    total: UsageTotal


class ShowUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Adds up.

    Attributes:
        ledger: What was spent.
        journal: What is not over.
        outbox: What is not in the ledger yet, if that is a shared one.
    """

    ledger: "UsageReader"
    journal: "Journal"
    outbox: "Outbox | None" = None

    def run(self, by: Sequence[Dimension], *, since: date | None = None) -> UsageReport:
        """Return what was spent since then, by these dimensions.

        Raises:
            ImagenError: the ledger cannot be read.
        """
        groups = self.ledger.totals(by, since=since)
        if self.outbox is not None and (rest := self.outbox.totals(by, since=since)):
            groups = merge_totals((*groups, *rest), by)
        [total] = merge_totals(groups, ()) or [
            UsageTotal(calls=0, images=0, cost_micros=0, unknown=0)
        ]
        return UsageReport(groups=groups, total=total)

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Yield every row since then, the newest first.

        Raises:
            ImagenError: the ledger cannot be read.
        """
        rows = self.ledger.rows(since=since)
        if self.outbox is None:
            return rows
        rest = self.outbox.undelivered(since=since)
        return heapq.merge(rest, rows, key=attrgetter("created_at", "id"), reverse=True)

    def undelivered(self) -> UsageTotal | None:
        """Return what is not in the shared ledger; None if all is.

        Raises:
            JournalError: it cannot be read.
        """
        totals = () if self.outbox is None else self.outbox.totals(())
        return totals[0] if totals else None

    def pending(self) -> UsageTotal:
        """Return what the open jobs may cost: so much is held back for them.

        Raises:
            JournalError: the journal cannot be read.
        """
        calls = [
            each.call
            for each in self.journal.list_open()
            if each.call.may_cost and not each.never_sent
        ]
        return UsageTotal(
            calls=len(calls),
            images=sum(call.job.count for call in calls),
            cost_micros=sum(call.reserved or 0 for call in calls),
            unknown=sum(call.reserved is None for call in calls),
        )
