"""Report what was spent, and what open jobs may add to it."""

import heapq
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal, merge_totals

if TYPE_CHECKING:
    from imagen.ports.journal import Journal
    from imagen.ports.ledger import UsageReader


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """The totals of a period.

    Attributes:
        groups: One total for each combination of the dimensions, in ledger order.
    """

    groups: tuple[UsageTotal, ...]
    total: UsageTotal


class ShowUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Reads and adds up usage rows.

    Attributes:
        local: The rows of this machine, which budgets count.
        undelivered: The rows of this machine that are not in the shared ledger yet;
            None if the ledger is that of this machine.
    """

    ledger: "UsageReader"
    journal: "Journal"
    local: "UsageReader"
    undelivered: "UsageReader | None" = None

    def run(self, by: Sequence[Dimension], *, since: date | None = None) -> UsageReport:
        """Return the totals since a UTC date, grouped by these dimensions."""
        groups = self.ledger.totals(by, since=since)
        if self.undelivered is not None:
            rest = self.undelivered.totals(by, since=since)
            groups = merge_totals((*groups, *rest), by) if rest else groups
        [total] = merge_totals(groups, ()) or [
            UsageTotal(calls=0, images=0, cost_micros=0, unknown=0)
        ]
        return UsageReport(groups=groups, total=total)

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Yield every row since a UTC date, the newest first."""
        rows = self.ledger.rows(since=since)
        if self.undelivered is None:
            return rows
        # Both are sorted, so merging them holds one row of each in memory.
        rest = self.undelivered.rows(since=since)
        return heapq.merge(rest, rows, key=attrgetter("created_at", "id"), reverse=True)

    def undelivered_total(self) -> UsageTotal | None:
        """Return the total of the rows that only this machine has; None if none."""
        totals = () if self.undelivered is None else self.undelivered.totals(())
        return totals[0] if totals else None

    def future(self, today: date) -> UsageTotal | None:
        """Return the total of the local rows after a UTC date; None if there are none.

        They were written while the clock was ahead, and count for their own days.
        """
        totals = self.local.totals((), since=today + timedelta(days=1))
        return totals[0] if totals else None

    def pending(self) -> UsageTotal:
        """Return what the open jobs may cost; budgets reserve this amount."""
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
