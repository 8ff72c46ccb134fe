"""The shared ledger: the usage rows of every machine, in `mai.imagen_usage`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from imagen.adapters.supabase.client import SupabaseAccess, TimedRow
from imagen.domain.errors import Refused
from imagen.domain.money.cost import MICROS
from imagen.domain.money.usage import (
    Dimension,
    UsageRow,
    UsageTotal,
    merge_totals,
    start_of_day,
)

if TYPE_CHECKING:
    from postgrest import SyncSelectRequestBuilder

TABLE, REPORT = "mai.imagen_usage", "mai.imagen_usage_report()"
_COLUMNS = (
    "id,created_at,caller,backend,adapter,model,status,latency_ms,images,"
    "cost_usd::text,cost_source,prompt_sha256"
)


class SupabaseLedger:
    """A table of a Supabase project, and a function in it that computes totals."""

    def __init__(self, access: SupabaseAccess) -> None:
        self._access = access

    def __repr__(self) -> str:
        return f"SupabaseLedger({self._access!r})"

    def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
        """Insert the rows that are not in the table yet, in one request."""
        # One refused row makes PostgreSQL refuse the whole request, so it is searched
        # for by halves.
        try:
            if rows:
                self._access.insert(TABLE, [_to_row(row) for row in rows])
        except Refused as error:
            if len(rows) == 1:
                return {rows[0].id: error.message}
            middle = len(rows) // 2
            return {**self.deliver(rows[:middle]), **self.deliver(rows[middle:])}
        return {}

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Yield the rows page by page."""

        def build() -> "SyncSelectRequestBuilder":
            query = self._access.table(TABLE).select(_COLUMNS)
            if since is None:
                return query
            return query.gte("created_at", start_of_day(since).isoformat())

        yield from map(_from_row, self._access.read_newest(TABLE, _Row, build))

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Return the totals that the database computes."""
        first = None if since is None else since.isoformat()
        parameters: dict[str, object] = {"by": list(by), "since": first}
        totals = self._access.call(REPORT, parameters, list[UsageTotal])
        return merge_totals(totals, by)

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._access.close()


class _Row(TimedRow):
    caller: str
    backend: str
    adapter: str
    model: str
    status: str
    latency_ms: int | None
    images: int
    cost_usd: str | None
    cost_source: str
    prompt_sha256: str


def _to_row(row: UsageRow) -> dict[str, object]:
    named = msgspec.structs.asdict(row)
    cost = named.pop("cost_micros")
    named["created_at"] = row.created_at.astimezone(UTC).isoformat()
    named["cost_usd"] = None if cost is None else str(Decimal(cost) / MICROS)
    return named


def _from_row(row: _Row) -> UsageRow:
    named = msgspec.structs.asdict(row)
    cost = named.pop("cost_usd")
    micros = None if cost is None else int(Decimal(cost) * MICROS)
    return msgspec.convert({**named, "cost_micros": micros}, UsageRow)
