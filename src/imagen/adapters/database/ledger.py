"""Keeps the ledger in the database, which computes the totals."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date

from imagen.adapters.database.connection import Database
from imagen.adapters.database.schema import (
    USAGE_ROWS,
    datetime_to_micros,
    insert_usage,
    query_usage_totals,
    read_usage_row,
)
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal, start_of_day


class SqliteUsageReader:
    """Reads the table of usage rows, or those of its rows that meet a condition.

    Args:
        condition: An SQL condition without values; "" for all rows.
    """

    def __init__(self, database: Database, *, condition: str = "") -> None:
        self._database = database
        self._condition = condition

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Step through the table, in the order of its index of times."""
        where, values = self._where(since)
        query = f"{USAGE_ROWS}{where} ORDER BY created_at DESC, id DESC"
        with (
            self._database.decoding() as connection,
            closing(connection.execute(query, values)) as found,
        ):
            for row in found:
                yield read_usage_row(row)

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Group and sum in the database."""
        where, values = self._where(since)
        with self._database.decoding() as connection:
            return query_usage_totals(connection, by, where=where, values=values)

    def _where(self, since: date | None) -> tuple[str, list[int]]:
        conditions = [self._condition] if self._condition else []
        values: list[int] = []
        if since is not None:
            conditions.append("created_at >= ?")
            values.append(datetime_to_micros(start_of_day(since)))
        return f" WHERE {' AND '.join(conditions)}" if conditions else "", values


class SqliteLedger(SqliteUsageReader):
    """A table with a row for every call, and an index with all columns of totals."""

    def record(self, rows: Sequence[UsageRow]) -> None:
        """Insert the rows that are not recorded yet, in one transaction."""
        with self._database.writing(durable=True) as connection:
            insert_usage(connection, rows)
