from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.errors import OverBudget
from imagen.domain.money.budget import Budget, BudgetLimit, check_price, current_limits
from imagen.domain.money.cost import format_micros

NOW = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)  # a Sunday
DOLLAR = 1_000_000


def limit(micros: int) -> BudgetLimit:
    return BudgetLimit(
        label="day_usd of flux",
        backend="flux",
        since=NOW,
        until=datetime(2026, 11, 23, tzinfo=UTC),
        micros=micros,
    )


def refusal(limit: BudgetLimit, *, spent: int, reserved: int, asked: int) -> OverBudget:
    with pytest.raises(OverBudget) as caught:
        limit.check(spent=spent, reserved=reserved, requested=asked)
    return caught.value


amounts = st.integers(0, 10**9)


@given(amounts, amounts, amounts, amounts)
def test_spends_all_of_a_limit_and_nothing_beyond(
    micros: int, spent: int, reserved: int, asked: int
) -> None:
    fits = spent + reserved + asked <= micros
    try:
        limit(micros).check(spent=spent, reserved=reserved, requested=asked)
    except OverBudget:
        assert not fits
    else:
        assert fits


def test_says_what_is_left_and_when_it_begins_anew() -> None:
    error = refusal(limit(DOLLAR), spent=700_000, reserved=250_000, asked=60_000)

    assert error.message == (
        "This may cost $0.06, but the budget day_usd of flux ($1.00) has $0.05 left; "
        "$0.25 is reserved for open jobs."
    )
    assert error.hint == "The next period begins at 2026-11-23 00:00 UTC."


def test_what_is_overspent_leaves_nothing() -> None:
    error = refusal(limit(DOLLAR), spent=3 * DOLLAR, reserved=0, asked=1)

    assert error.message.endswith("($1.00) has $0.00 left.")


def test_no_waiting_helps_what_is_more_than_the_whole_budget() -> None:
    error = refusal(limit(DOLLAR), spent=0, reserved=0, asked=DOLLAR + 1)

    assert error.hint == "It exceeds the whole budget."


@pytest.mark.parametrize(
    ("at", "day", "week"),
    [
        (NOW, "2026-11-22", "2026-11-16"),
        (datetime(2026, 11, 23, tzinfo=UTC), "2026-11-23", "2026-11-23"),
        (datetime(2027, 1, 1, tzinfo=UTC), "2027-01-01", "2026-12-28"),
        (
            datetime(2026, 11, 23, 1, tzinfo=timezone(timedelta(hours=5))),
            "2026-11-22",
            "2026-11-16",
        ),
        (
            datetime(2026, 11, 22, 20, tzinfo=timezone(timedelta(hours=-5))),
            "2026-11-23",
            "2026-11-23",
        ),
    ],
)
def test_a_day_and_a_week_begin_at_midnight_utc(
    at: datetime, day: str, week: str
) -> None:
    daily, weekly = current_limits((Budget(day=1, week=2),), now=at)

    assert (daily.since, daily.until) == (_day(day), _day(day) + timedelta(days=1))
    assert (weekly.since, weekly.until) == (_day(week), _day(week) + timedelta(days=7))
    assert daily.since <= at < daily.until
    assert (daily.micros, weekly.micros) == (1, 2)


def test_every_budget_has_its_limits_under_its_name() -> None:
    budgets = (Budget(week=1), Budget(backend="flux", day=2, call=3), Budget(call=4))

    limits = current_limits(budgets, now=NOW)

    assert [(each.label, each.backend) for each in limits] == [
        ("week_usd", ""),
        ("day_usd of flux", "flux"),
    ]


@pytest.mark.parametrize(
    ("budgets", "calls", "most"),
    [
        ((), [None], None),
        ((), [5, 5], 10),
        ((Budget(call=5),), [5, 5, 5], None),
        ((Budget(day=1),), [5], None),
        ((Budget(unknown="allow"),), [None], None),
        ((Budget(), Budget(backend="x", unknown="allow")), [None], None),
        ((Budget(backend="x", unknown="allow"), Budget()), [None, 5], None),
        ((Budget(call=0),), [0], 0),
    ],
)
def test_lets_pass(
    budgets: tuple[Budget, ...], calls: list[int | None], most: int | None
) -> None:
    check_price(budgets, calls=calls, max_cost=most)


@pytest.mark.parametrize(
    ("budgets", "calls", "most", "said"),
    [
        ((), [6, 5], 10, r"--max-cost allows \$0.00001, .* may cost \$0.000011\.$"),
        ((), [None, 1], 10, "the cost is unknown"),
        ((Budget(),), [None], None, "the budget refuses unknown prices"),
        ((Budget(backend="x"),), [None], None, "the budget of x refuses unknown"),
        (
            (Budget(unknown="allow"), Budget(backend="x")),
            [None],
            None,
            "the budget of x refuses unknown",
        ),
        ((Budget(call=5),), [6], None, r"A call may cost \$0.000006, but .*005"),
        ((Budget(backend="x", call=5),), [6], None, "call_usd of x"),
        ((Budget(call=5, unknown="allow"),), [None, 6], None, "A call may cost"),
    ],
)
def test_refuses(
    budgets: tuple[Budget, ...], calls: list[int | None], most: int | None, said: str
) -> None:
    with pytest.raises(OverBudget, match=said):
        check_price(budgets, calls=calls, max_cost=most)


def test_the_dearest_call_counts_and_not_the_average() -> None:
    four_images_and_one = [160_000, 40_000]

    with pytest.raises(OverBudget, match=r"A call may cost \$0\.16"):
        check_price((Budget(call=120_000),), calls=four_images_and_one, max_cost=None)


@pytest.mark.parametrize(
    ("micros", "written"),
    [
        (0, "$0.00"),
        (35, "$0.000035"),
        (50_000, "$0.05"),
        (12 * DOLLAR, "$12.00"),
        (10**15 + 1, "$1000000000.000001"),
    ],
)
def test_writes_amounts_as_people_do(micros: int, written: str) -> None:
    assert format_micros(micros) == written


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
