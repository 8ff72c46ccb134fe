"""Limits on what is spent, and what they say to one more call."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.errors import OverBudget
from imagen.domain.money.cost import MICROS, format_usd

Unknown: TypeAlias = Literal["refuse", "allow"]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent, in micro-dollars; None is no limit.

    Attributes:
        backend: The one instance that it is about; "" is all of them together.
        caller: Whose calls it is about; "" is everybody's.
        call: For one call.
        day: In one day, UTC.
        week: In one ISO week, UTC.
        unknown: What becomes of a call whose price is not known.
    """

    backend: str = ""
    caller: str = ""
    call: int | None = None
    day: int | None = None
    week: int | None = None
    unknown: Unknown = "refuse"


class BudgetLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A budget's limit for a time that began at some moment.

    Attributes:
        called: What the user calls it, such as `day_usd of flux`.
        backend: The one instance that it is about; "" is all of them together.
        caller: Whose calls it is about; "" is everybody's.
        since: When the time began, UTC.
        until: When it is over and the count begins anew, UTC.
        micros: What may be spent in it.
    """

    label: str
    backend: str
    caller: str = ""
    since: datetime
    until: datetime
    micros: int

    def check(self, *, spent: int, reserved: int, requested: int) -> None:
        """Let the calls pass, or not.

        Args:
            spent: What the ledger says of this time, in micro-dollars.
            reserved: What calls in flight may still cost.
            asked: What the new calls may cost.

        Raises:
            OverBudget: it would be too much.
        """
        left = self.micros - spent - reserved
        if requested <= left:
            return
        held = f"; {format_micros(reserved)} is held for open jobs" if reserved else ""
        raise OverBudget(
            f"This may cost {format_micros(requested)}, and of the budget {self.label} "
            f"({format_micros(self.micros)}) "
            f"{format_micros(max(0, left))} is left{held}.",
            hint=f"It begins anew at {self.until:%Y-%m-%d %H:%M} UTC."
            if requested <= self.micros
            else "It is more than all of that budget.",
        )


def check_price(
    budgets: Sequence[Budget], *, calls: Sequence[int | None], max_cost: int | None
) -> None:
    """Compare the price of a request with the limits that need no ledger.

    Whether a call may have an unknown price, the budget of the backend itself says, if
    there is one; and nobody whose own budget refuses it may make one.

    Args:
        budgets: Those that the backend is under.
        calls: What each call may cost, in micro-dollars; None is unknown.
        most: What the user said that the request may cost; None is no limit.

    Raises:
        OverBudget: it is too much, or unknown.
    """
    known = [micros for micros in calls if micros is not None]
    unknown = len(known) < len(calls)
    if max_cost is not None and (unknown or sum(known) > max_cost):
        costs = (
            "it is not known what this costs"
            if unknown
            else f"this may cost {format_micros(sum(known))}"
        )
        raise OverBudget(
            f"At most {format_micros(max_cost)} was allowed with --max-cost, "
            f"and {costs}."
        )
    everybodys = [budget for budget in budgets if not budget.caller]
    closest = max(everybodys, key=lambda budget: bool(budget.backend), default=None)
    own = [budget for budget in budgets if budget.caller]
    for budget in (*own, *((closest,) if closest else ())):
        if unknown and budget.unknown == "refuse":
            raise OverBudget(
                f"It is not known what this costs, and the budget{_whose(budget)} "
                "refuses unknown prices.",
                hint="Give the backend a `price`, or the budget `unknown: allow`.",
            )
    for budget in budgets:
        if budget.call is not None and max(known, default=0) > budget.call:
            raise OverBudget(
                f"A call may cost {format_micros(max(known))}, more than the budget "
                f"call_usd{_whose(budget)} of {format_micros(budget.call)}."
            )


def current_limits(
    budgets: Sequence[Budget], *, now: datetime
) -> tuple[BudgetLimit, ...]:
    """Return the limits of the day and of the week that the moment is in."""
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
                        label=name + _whose(budget),
                        backend=budget.backend,
                        caller=budget.caller,
                        since=since,
                        until=since + timedelta(days=days),
                        micros=micros,
                    )
                )
    return tuple(limits)


def format_micros(micros: int) -> str:
    """Return an amount as people write it: `$0.05`, `$0.000035`, `$12.00`."""
    return format_usd(Decimal(micros) / MICROS)


def _whose(budget: Budget) -> str:
    names = [name for name in (budget.backend, budget.caller) if name]
    return f" of {' by '.join(names)}" if names else ""
