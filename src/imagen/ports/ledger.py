"""The port to the ledger: what was spent."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Protocol

from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal


class UsageReader(Protocol):
    """Has usage rows, and adds them up."""

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Yield the rows, the newest first, without holding all of them in memory.

        Args:
            since: The first UTC date that counts.

        Raises:
            ImagenError: they cannot be read.
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
            ImagenError: they cannot be read.
        """
        ...


class Ledger(UsageReader, Protocol):
    """Keeps one row for every call that cost something, or may have.

    What it raises is a `JournalError`.

    Prove an implementation with `imagen.testing.LedgerContract`.
    """

    def record(self, rows: Sequence[UsageRow]) -> None:
        """Keep the rows, each once, however often and by however many it is recorded.

        Raises:
            JournalError: they could not be kept; none was.
        """
        ...


class SharedLedger(UsageReader, Protocol):
    """Has the rows of every machine.

    Tries once, in seconds: delivering again is the caller's decision. Whatever it does
    may raise `Unavailable`, for now, or `Unauthorized` or `Misconfigured`, until
    somebody does what the hint says. No error holds a secret.

    Prove an implementation with `imagen.testing.SharedLedgerContract`.
    """

    def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
        """Keep the rows, each once, however often and by however many it is delivered.

        Returns:
            Of each row that can never be kept as it is, by its id, why not. All others
            are kept.

        Raises:
            Unavailable, Unauthorized, Misconfigured: it is not known which are kept.
        """
        ...

    def close(self) -> None:
        """Close connections; they are opened again when need be."""
        ...
