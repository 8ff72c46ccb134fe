from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.money.usage import UsageRow, iso_week, start_of_day

EAST = timezone(timedelta(hours=14))
WEEK = timedelta(days=7)
WEST = timezone(timedelta(hours=-12))


@pytest.mark.parametrize(
    ("moment", "week"),
    [
        (datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC), "2026-W47"),
        (datetime(2026, 11, 23, tzinfo=UTC), "2026-W48"),
        (datetime(2026, 12, 31, tzinfo=UTC), "2026-W53"),
        (datetime(2027, 1, 3, tzinfo=UTC), "2026-W53"),
        (datetime(2027, 1, 4, tzinfo=UTC), "2027-W01"),
        (datetime(2024, 12, 30, tzinfo=UTC), "2025-W01"),
        (datetime(2021, 1, 1, tzinfo=UTC), "2020-W53"),
        (datetime(2027, 1, 4, 13, tzinfo=EAST), "2026-W53"),
        (datetime(2027, 1, 3, 12, tzinfo=WEST), "2027-W01"),
    ],
)
def test_the_week_is_that_of_utc_at_the_end_of_a_year_too(
    moment: datetime, week: str
) -> None:
    assert iso_week(moment) == week


@given(st.dates(date(1000, 1, 10), date(9999, 12, 20)))
def test_weeks_sort_as_their_days_do(day: date) -> None:
    week, next_week = iso_week(start_of_day(day)), iso_week(start_of_day(day + WEEK))

    assert week < next_week
    assert len(week) == len("2026-W47")


def test_a_row_is_counted_in_the_week_of_its_call() -> None:
    row = UsageRow(
        id="0",
        created_at=datetime(2027, 1, 1, tzinfo=UTC),
        caller="",
        backend="flux",
        adapter="replicate",
        model="flux",
        status="ok",
        latency_ms=None,
        images=1,
        cost_micros=None,
        cost_source="unknown",
        prompt_sha256="",
    )

    assert row.week == "2026-W53"


def test_a_date_begins_at_midnight_utc() -> None:
    assert start_of_day(date(2026, 11, 22)) == datetime(2026, 11, 22, tzinfo=UTC)
