"""Spending by week, and the remaining budgets."""

from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from imagen.bootstrap.library import open_usage
from imagen.domain.money.budget import current_limits
from imagen.domain.money.cost import MICROS
from imagen.server.jobs.service import ServerContext

MAX_WEEKS = 520
By: TypeAlias = Literal["backend", "model", "caller"]


class SpendingRow(msgspec.Struct, frozen=True, kw_only=True):
    """The spending of one backend, model or caller in one ISO week.

    Attributes:
        unknown: Calls whose cost is unknown and not part of `usd`.
    """

    week: str
    name: str
    usd: float
    calls: int
    images: int
    unknown: int


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """Spending, the newest week first, and the estimated cost of open jobs."""

    by: By
    rows: tuple[SpendingRow, ...]
    pending_usd: float
    pending_calls: int


class BudgetLeft(msgspec.Struct, frozen=True, kw_only=True):
    """A budget in US dollars.

    Attributes:
        called: The name of the budget, such as `day_usd of flux`.
        backend: The backend that it limits; "" for all.
        caller: The caller that it limits; "" for all.
        taken_usd: Spent, or reserved for open jobs.
        until: The time of the reset.
    """

    called: str
    backend: str
    caller: str
    usd: float
    taken_usd: float
    left_usd: float
    until: datetime


@get("/gallery/api/spending", include_in_schema=False)
async def get_spending(
    context: NamedDependency[ServerContext],
    by: FromQuery[By] = "backend",
    weeks: FromQuery[int] = 26,
) -> Spending:
    """Sum the spending of the last weeks."""
    weeks = min(max(weeks, 1), MAX_WEEKS)
    today = context.now().date()
    since = today - timedelta(days=today.weekday(), weeks=weeks - 1)

    def sum_usage() -> Spending:
        with open_usage(context.runtime, local=True) as usage:
            pending = usage.pending()
            groups = usage.run(("week", by), since=since).groups
        return Spending(
            by=by,
            rows=tuple(
                SpendingRow(
                    week=group.week or "",
                    name=getattr(group, by) or "",
                    usd=group.cost_micros / MICROS,
                    calls=group.calls,
                    images=group.images,
                    unknown=group.unknown,
                )
                for group in groups
            ),
            pending_usd=pending.cost_micros / MICROS,
            pending_calls=pending.calls,
        )

    return await context.in_thread(sum_usage)


@get("/gallery/api/budgets", include_in_schema=False)
async def get_budgets(
    request: Request[Any, Any, Any], context: NamedDependency[ServerContext]
) -> tuple[BudgetLeft, ...]:
    """Return the budgets that apply to the caller."""
    budgets = [
        budget
        for budget in context.settings.budgets
        if budget.caller in {"", request.user}
    ]
    journal = context.stores.journal

    def read_budgets() -> tuple[BudgetLeft, ...]:
        limits = current_limits(budgets, now=context.now())
        taken = [journal.committed_micros(limit) for limit in limits]
        return tuple(
            BudgetLeft(
                called=limit.label,
                backend=limit.backend,
                caller=limit.caller,
                usd=limit.micros / MICROS,
                taken_usd=micros / MICROS,
                left_usd=max(0, limit.micros - micros) / MICROS,
                until=limit.until,
            )
            for limit, micros in zip(limits, taken, strict=True)
        )

    return await context.in_thread(read_budgets)
