"""The port for the ledger: the cost of every finished call."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Protocol

from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal


class UsageReader(Protocol):
    """A source of usage rows and of their totals."""

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Yield the rows, newest first, without loading all of them into memory.

        Args:
            since: First UTC date, inclusive.

        Raises:
            ImagenError: the rows cannot be read.
        """
        ...

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Return one total for each group of rows, without reading row by row.

        Sorted by the dimensions in the given order: weeks newest first, everything else
        by name.

        Args:
            by: The dimensions that define a group. Empty gives a single total of all
                rows, or no total for an empty ledger.
            since: First UTC date, inclusive.

        Raises:
            ImagenError: the rows cannot be read.
        """
        ...


class Ledger(UsageReader, Protocol):
    """A durable store with one row for every call that cost, or may have cost, money.

    Every error is a `JournalError`.

    Prove an implementation with `imagen.testing.LedgerContract`.
    """

    def record(self, rows: Sequence[UsageRow]) -> None:
        """Store the rows; a row that is recorded repeatedly is stored once.

        Raises:
            JournalError: the ledger cannot be written; no row was stored.
        """
        ...


class SharedLedger(UsageReader, Protocol):
    """A remote ledger with the rows of all machines.

    Each method tries once and takes seconds at most; the caller decides about retries.
    Every method may raise `Unavailable`, which is temporary, and `Unauthorized` or
    `Misconfigured`, which last until the user follows the hint. No error contains a
    secret.
    """

    def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
        """Store the rows; a row that is delivered repeatedly is stored once.

        Returns:
            The reason for each row that can never be stored, by its id. All other rows
            are stored.

        Raises:
            Unavailable, Unauthorized, Misconfigured: some of the rows may be stored.
        """
        ...

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        ...
