"""The ledger's rows, and what they add up to."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.money.cost import CostSource

UsageStatus: TypeAlias = Literal["ok", "failed", "cancelled", "unknown"]
Dimension: TypeAlias = Literal["week", "backend", "model", "caller"]

DIMENSIONS: tuple[Dimension, ...] = ("week", "backend", "model", "caller")


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a backend that cost something, or may have.

    Attributes:
        id: UUIDv7, ours; the same wherever the row is kept.
        created_at: When the call was made, UTC.
        caller: Who asked; "" when nobody says.
        status: How it ended.
        latency_ms: How long it took; None when nobody saw its end.
        images: How many came of it.
        cost_micros: Millionths of a dollar; None when unknown, never 0 for unknown.
        cost_source: Where that figure comes from.
        prompt_sha256: Of the prompt as given; never the prompt.
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
    def week(self) -> str:
        """The ISO week that it is counted in, such as `2026-W47`."""
        return iso_week(self.created_at)


class UsageTotal(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one group add up to.

    Attributes:
        week, backend, model, caller: What the rows have in common; None where they
            were not told apart by it.
        calls: How many rows there are.
        images: How many images came of them.
        cost_micros: What is known of the cost, in millionths of a dollar.
        unknown: How many of the rows have a cost that is not known.
    """

    week: str | None = None
    backend: str | None = None
    model: str | None = None
    caller: str | None = None
    calls: int
    images: int
    cost_micros: int
    unknown: int


def merge_totals(
    totals: Iterable[UsageTotal], by: Sequence[Dimension]
) -> tuple[UsageTotal, ...]:
    """Return totals with the same values in these dimensions as one.

    Ordered by the dimensions in the order given, the newest week first and everything
    else by its name.
    """
    groups: dict[tuple[str, ...], list[UsageTotal]] = {}
    for total in totals:
        key = tuple(getattr(total, name) for name in by)
        groups.setdefault(key, []).append(total)
    keys = list(groups)
    for place, name in reversed(list(enumerate(by))):
        keys.sort(key=itemgetter(place), reverse=name == "week")
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
    """Return the ISO week of the moment, in UTC."""
    year, week, _ = moment.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02}"


def start_of_day(day: date) -> datetime:
    """Return the first moment of a UTC date."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def age_in_days(moment: datetime, *, now: datetime) -> int:
    """Return how many whole days ago it was."""
    return (now - moment) // timedelta(days=1)
