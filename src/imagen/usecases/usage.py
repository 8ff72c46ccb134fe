"""Say what was spent, and what may come on top of it."""

from collections.abc import Sequence
from datetime import date

import msgspec

from imagen.domain.usage import Dimension, UsageTotal
from imagen.ports.journal import Journal
from imagen.ports.ledger import Ledger


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
    """

    ledger: Ledger
    journal: Journal

    def run(self, by: Sequence[Dimension], *, since: date | None = None) -> UsageReport:
        """Return what was spent since then, by these dimensions.

        Raises:
            JournalError: the ledger cannot be read.
        """
        groups = self.ledger.totals(by, since=since)
        return UsageReport(
            groups=groups,
            total=UsageTotal(
                calls=sum(group.calls for group in groups),
                images=sum(group.images for group in groups),
                cost_micros=sum(group.cost_micros for group in groups),
                unknown=sum(group.unknown for group in groups),
            ),
        )

    def pending(self) -> UsageTotal:
        """Return what the open jobs may cost: so much is held back for them.

        Raises:
            JournalError: the journal cannot be read.
        """
        calls = [
            each.call
            for each in self.journal.unfinished()
            if each.call.may_cost and not each.never_sent
        ]
        return UsageTotal(
            calls=len(calls),
            images=sum(call.job.count for call in calls),
            cost_micros=sum(call.reserved or 0 for call in calls),
            unknown=sum(call.reserved is None for call in calls),
        )
