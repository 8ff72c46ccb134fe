"""Keeps the ledger in the database, which adds it up itself."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date

import msgspec

from imagen.adapters.sqlite import FILE, Database
from imagen.adapters.tables import as_micros, as_moment, keep_usage, puzzled
from imagen.domain.usage import DIMENSIONS, Dimension, UsageRow, UsageTotal, start_of

_ROWS = """
    SELECT id, created_at, caller, backend, adapter, model, status, latency_ms, images,
        cost_micros, cost_source, prompt_sha256
    FROM usage
"""
# In the order of the index, so that nothing has to be sorted but what comes of it.
_GROUPS = """
    SELECT week, backend, model, caller, count(*) AS calls, sum(images) AS images,
        sum(cost_micros) AS cost_micros, sum(cost_micros IS NULL) AS unknown
    FROM usage{where} GROUP BY week, backend, model, caller
"""
_SUMS = {
    "calls": "sum(calls)",
    "images": "sum(images)",
    "cost_micros": "coalesce(sum(cost_micros), 0)",
    "unknown": "sum(unknown)",
}
_ORDERS = {name: name for name in DIMENSIONS} | {"week": "week DESC"}


class SqliteLedger:
    """A table with a row for every call, and an index that totals are read from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, rows: Sequence[UsageRow]) -> None:
        """Insert those that are not there yet, in one transaction."""
        with self._database.writing(for_good=True) as connection:
            keep_usage(connection, rows)

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Step through the table, by its index of times."""
        where, values = _since(since)
        query = f"{_ROWS}{where} ORDER BY created_at DESC, id DESC"
        with (
            puzzled(self._database.folder / FILE),
            self._database.reading() as connection,
            closing(connection.execute(query, values)) as found,
        ):
            for row in found:
                yield _row(row)

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Group and sum in the database."""
        orders = {dimension: _ORDERS[dimension] for dimension in by}
        where, values = _since(since)
        columns = ", ".join([*orders, *_SUMS.values()])
        query = f"SELECT {columns} FROM ({_GROUPS.format(where=where)})"  # noqa: S608 - words of ours alone
        if orders:
            query += f" GROUP BY {', '.join(orders)}"
            query += f" ORDER BY {', '.join(orders.values())}"
        with (
            puzzled(self._database.folder / FILE),
            self._database.reading() as connection,
        ):
            found = connection.execute(query, values).fetchall()
            totals = [dict(zip((*orders, *_SUMS), row, strict=True)) for row in found]
            return tuple(
                msgspec.convert(total, UsageTotal) for total in totals if total["calls"]
            )


def _row(row: tuple[object, ...]) -> UsageRow:
    named = dict(zip(UsageRow.__struct_fields__, row, strict=True))
    named["created_at"] = as_moment(msgspec.convert(named["created_at"], int))
    return msgspec.convert(named, UsageRow)


def _since(day: date | None) -> tuple[str, list[int]]:
    if day is None:
        return "", []
    return " WHERE created_at >= ?", [as_micros(start_of(day))]
