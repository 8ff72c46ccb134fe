"""Budgets: limits on spending, and the checks of new calls against them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.errors import OverBudget
from imagen.domain.money.cost import format_micros

Unknown: TypeAlias = Literal["refuse", "allow"]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Spending limits in micro-dollars; None is unlimited.

    Attributes:
        backend: Name of the instance; "" for the sum of all instances.
        caller: Name of the caller; "" for the sum of all callers.
        day: Limit for one UTC day.
        week: Limit for one ISO week, UTC.
    """

    backend: str = ""
    caller: str = ""
    call: int | None = None
    day: int | None = None
    week: int | None = None
    unknown: Unknown = "refuse"


class BudgetLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of a budget in the current period.

    Attributes:
        label: Name for messages, such as `day_usd of flux`.
        backend, caller: As in `Budget`.
        since, until: Start and end of the period, UTC.
        micros: The limit in micro-dollars.
    """

    label: str
    backend: str
    caller: str = ""
    since: datetime
    until: datetime
    micros: int

    def check(self, *, spent: int, reserved: int, requested: int) -> None:
        """Check whether the limit leaves room for new calls. All in micro-dollars.

        Raises:
            OverBudget: the limit would be exceeded.
        """
        left = self.micros - spent - reserved
        if requested <= left:
            return
        open_jobs = f"; {format_micros(reserved)} is reserved for open jobs"
        raise OverBudget(
            f"This may cost {format_micros(requested)}, but the budget {self.label} "
            f"({format_micros(self.micros)}) has {format_micros(max(0, left))} left"
            f"{open_jobs if reserved else ''}.",
            hint=f"The next period begins at {self.until:%Y-%m-%d %H:%M} UTC."
            if requested <= self.micros
            else "It exceeds the whole budget.",
        )


def check_price(
    budgets: Sequence[Budget], *, calls: Sequence[int | None], max_cost: int | None
) -> None:
    """Check the price of a request against the limits that need no ledger.

    Args:
        calls: Expected cost of each call in micro-dollars; None if unknown.
        max_cost: Maximum cost of the request; None is unlimited.

    Raises:
        OverBudget: a limit would be exceeded, or the price is unknown and must be
            known.
    """
    known = [micros for micros in calls if micros is not None]
    unknown = len(known) < len(calls)
    if max_cost is not None and (unknown or sum(known) > max_cost):
        problem = (
            "the cost is unknown"
            if unknown
            else f"the request may cost {format_micros(sum(known))}"
        )
        raise OverBudget(f"--max-cost allows {format_micros(max_cost)}, but {problem}.")
    # For all callers together, the backend's own budget decides about unknown prices,
    # or else the budget of all backends. A caller's own budget can refuse in addition.
    shared = [budget for budget in budgets if not budget.caller]
    decisive = max(shared, key=lambda budget: bool(budget.backend), default=None)
    own = [budget for budget in budgets if budget.caller]
    for budget in (*own, *((decisive,) if decisive else ())):
        if unknown and budget.unknown == "refuse":
            raise OverBudget(
                f"The cost is unknown, and the budget{_scope(budget)} refuses unknown "
                "prices.",
                hint="Give the backend a `price`, or the budget `unknown: allow`.",
            )
    for budget in budgets:
        if budget.call is not None and max(known, default=0) > budget.call:
            raise OverBudget(
                f"A call may cost {format_micros(max(known))}, but the budget "
                f"call_usd{_scope(budget)} allows {format_micros(budget.call)}."
            )


def current_limits(
    budgets: Sequence[Budget], *, now: datetime
) -> tuple[BudgetLimit, ...]:
    """Return the limits of the current UTC day and ISO week."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    week = day - timedelta(days=day.weekday())
    limits: list[BudgetLimit] = []
    for budget in budgets:
        for name, micros, since, days in (
            ("day_usd", budget.day, day, 1),
            ("week_usd", budget.week, week, 7),
        ):
            if micros is not None:
                limits.append(
                    BudgetLimit(
                        label=name + _scope(budget),
                        backend=budget.backend,
                        caller=budget.caller,
                        since=since,
                        until=since + timedelta(days=days),
                        micros=micros,
                    )
                )
    return tuple(limits)


def _scope(budget: Budget) -> str:
    names = [name for name in (budget.backend, budget.caller) if name]
    return f" of {' by '.join(names)}" if names else ""
