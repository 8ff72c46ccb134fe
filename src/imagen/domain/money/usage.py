"""The rows of the ledger, and their totals."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.money.cost import MICROS, CostSource

UsageStatus: TypeAlias = Literal["ok", "failed", "cancelled", "unknown"]
Dimension: TypeAlias = Literal["week", "backend", "model", "caller"]

DIMENSIONS: tuple[Dimension, ...] = ("week", "backend", "model", "caller")


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A call to a backend that cost, or may have cost, money.

    Attributes:
        id: UUIDv7 made by imagen, the same in every ledger.
        created_at: Time of the call, UTC.
        latency_ms: Duration; None if the end was not observed.
        cost_micros: Millionths of a dollar; None if unknown, never 0 for unknown.
        prompt_sha256: Hash of the prompt without the style; never the prompt itself.
    """

    id: str
    created_at: datetime
    caller: str
    backend: str
    adapter: str
    model: str
    status: UsageStatus
    latency_ms: int | None
    images: int
    cost_micros: int | None
    cost_source: CostSource
    prompt_sha256: str

    @property
    def cost_usd(self) -> float | None:
        """The cost in dollars, for display; None if it is unknown."""
        return None if self.cost_micros is None else self.cost_micros / MICROS

    @property
    def week(self) -> str:
        """The ISO week of the call, such as `2026-W47`."""
        return iso_week(self.created_at)


class UsageTotal(msgspec.Struct, frozen=True, kw_only=True):
    """The total of one group of rows.

    Attributes:
        week, backend, model, caller: The group; None for dimensions that do not define
            it.
        cost_micros: Sum of the known costs, in millionths of a dollar.
        unknown: Number of rows with an unknown cost.
    """

    week: str | None = None
    backend: str | None = None
    model: str | None = None
    caller: str | None = None
    calls: int
    images: int
    cost_micros: int
    unknown: int

    @property
    def cost_usd(self) -> float | None:
        """The known costs in dollars, for display; None if all are unknown."""
        known = not self.calls or self.unknown < self.calls
        return self.cost_micros / MICROS if known else None


def merge_totals(
    totals: Iterable[UsageTotal], by: Sequence[Dimension]
) -> tuple[UsageTotal, ...]:
    """Merge totals that have the same values in these dimensions.

    Sorted by the dimensions in the given order: weeks newest first, everything else by
    name.
    """
    groups: dict[tuple[str, ...], list[UsageTotal]] = {}
    for total in totals:
        key = tuple(getattr(total, name) for name in by)
        groups.setdefault(key, []).append(total)
    # Sorting is stable, so the last key is sorted first.
    keys = list(groups)
    for index, name in reversed(list(enumerate(by))):
        keys.sort(key=itemgetter(index), reverse=name == "week")
    return tuple(
        UsageTotal(
            **dict(zip(by, key, strict=True)),
            calls=sum(each.calls for each in groups[key]),
            images=sum(each.images for each in groups[key]),
            cost_micros=sum(each.cost_micros for each in groups[key]),
            unknown=sum(each.unknown for each in groups[key]),
        )
        for key in keys
    )


def iso_week(moment: datetime) -> str:
    """Return the ISO week of a time, in UTC."""
    year, week, _ = moment.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02}"


def start_of_day(day: date) -> datetime:
    """Return the start of a UTC date."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
