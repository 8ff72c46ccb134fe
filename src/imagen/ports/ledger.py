"""The port to the ledger: what was spent."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Protocol

from imagen.domain.usage import Dimension, UsageRow, UsageTotal


class Ledger(Protocol):
    """Keeps one row for every call that cost something, or may have.

    Prove an implementation with `imagen.testing.LedgerContract`.
    """

    def record(self, rows: Sequence[UsageRow]) -> None:
        """Keep the rows, each once, however often and by however many it is recorded.

        Raises:
            JournalError: they could not be kept; none was.
        """
        ...

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Yield the rows, the newest first, without holding all of them in memory.

        Args:
            since: The first UTC date that counts.

        Raises:
            JournalError: they cannot be read.
        """
        ...

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Return what the rows add up to, a total for each group, never row by row.

        Ordered by the dimensions in the order given, the newest week first and
        everything else by its name.

        Args:
            by: What tells groups apart; empty gives one total, of everything, and none
                if there are no rows.
            since: The first UTC date that counts.

        Raises:
            JournalError: they cannot be read.
        """
        ...
