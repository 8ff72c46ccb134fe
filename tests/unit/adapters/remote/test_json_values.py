from datetime import UTC, datetime

import pytest

from imagen.adapters.remote.json_values import parse_time


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T10:00:00Z",
        "2026-11-22T10:00:00.5Z",
        "2026-11-22T10:00:00.994Z",
        "2026-11-22T10:00:00.99397566Z",
        "2026-11-22T11:00:00+01:00",
        "2026-11-22T10:00:00.123",
    ],
)
def test_reads_times_with_any_number_of_decimals(text: str) -> None:
    moment = parse_time(text)

    assert moment is not None
    assert moment.replace(microsecond=0) == datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", [None, "", "soon", 5, "2026-13-01T00:00:00Z"])
def test_reads_no_time_where_there_is_none(text: object) -> None:
    assert parse_time(text) is None
