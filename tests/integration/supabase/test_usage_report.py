"""The report adds up what is in the ledger, all of it."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from tests.integration.supabase.project import MOST_ROWS, SupabaseProject
from tests.integration.supabase.rows import Caller, usage_row

from imagen.domain.money.cost import MICROS
from imagen.domain.money.usage import DIMENSIONS, UsageTotal, iso_week, start_of_day

FIRST = datetime(2024, 12, 20, tzinfo=UTC)
SUBSETS = [subset for size in range(5) for subset in combinations(DIMENSIONS, size)]


@pytest.fixture
def service(project: SupabaseProject) -> Iterator[Caller]:
    with Caller(project, key=project.service_key) as caller:
        yield caller


def drawn_rows(count: int) -> list[dict[str, Any]]:
    dice = random.Random(5)
    return [
        usage_row(
            created_at=(FIRST + timedelta(minutes=dice.randrange(30_000))).isoformat(),
            backend=dice.choice(["flux", "mock"]),
            model=dice.choice(["", "a", "b"]),
            caller=dice.choice(["", "zoë", "'; --"]),
            status=dice.choice(["ok", "failed", "cancelled", "unknown"]),
            images=dice.randrange(4),
            cost_usd=dice.choice([None, 0, 0.000001, 0.1, 12.345678]),
        )
        for _ in range(count)
    ]


def added_up(
    rows: list[dict[str, Any]], by: tuple[str, ...], since: date | None
) -> dict[tuple[str, ...], UsageTotal]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        at = datetime.fromisoformat(row["created_at"])
        if since is None or at >= start_of_day(since):
            facts = {**row, "week": iso_week(at)}
            groups.setdefault(tuple(facts[name] for name in by), []).append(row)
    return {
        names: UsageTotal(
            **dict(zip(by, names, strict=True)),
            calls=len(members),
            images=sum(row["images"] for row in members),
            cost_micros=sum(round((row["cost_usd"] or 0) * MICROS) for row in members),
            unknown=sum(row["cost_usd"] is None for row in members),
        )
        for names, members in groups.items()
    }


def test_every_way_to_group_adds_up_to_the_rows(service: Caller) -> None:
    rows = drawn_rows(400)
    service.insert("mai.imagen_usage", *rows).raise_for_status()

    for by in SUBSETS:
        for since in (None, date(2024, 12, 30), date(2025, 1, 8)):
            wish = {"by": by} | ({} if since is None else {"since": str(since)})
            answer = service.report(**wish).json()
            totals = msgspec.convert(answer, list[UsageTotal])

            expected = added_up(rows, by, since)
            found = {tuple(getattr(each, n) for n in by): each for each in totals}
            assert found == expected
            assert len(totals) == len(expected)


def test_an_empty_ledger_has_no_totals(service: Caller) -> None:
    service.insert("mai.imagen_usage", usage_row()).raise_for_status()

    assert service.report(since="2100-01-01").json() == []
    assert service.report(by=["week"], since="2100-01-01").json() == []


def test_a_week_begins_on_monday_in_utc_wherever_the_session_is(
    project: SupabaseProject, service: Caller
) -> None:
    times = ["2024-12-29T23:59:59.999Z", "2024-12-30T00:00Z", "2025-01-05T23:59:59Z"]
    rows = [usage_row(created_at=at) for at in times]
    service.insert("mai.imagen_usage", *rows).raise_for_status()
    project.change("alter role authenticator set timezone to 'Pacific/Kiritimati'")
    try:
        weeks = {
            each["week"]: each["calls"] for each in service.report(by=["week"]).json()
        }
        since = service.report(since="2024-12-30").json()
    finally:
        project.change("alter role authenticator reset timezone")

    assert weeks == {"2024-W52": 1, "2025-W01": 2}
    assert since[0]["calls"] == 2


def test_the_cut_at_1000_rows_does_not_touch_it(service: Caller) -> None:
    rows = [usage_row(caller=str(uuid4())) for _ in range(2 * MOST_ROWS + 500)]
    service.insert("mai.imagen_usage", *rows).raise_for_status()

    listed = service.rest("GET", "mai.imagen_usage").json()
    report = service.report(by=["caller"]).json()

    assert len(listed) == MOST_ROWS
    assert len(report) == len(rows)
    assert service.report().json()[0]["calls"] == len(rows)


def test_a_word_that_it_does_not_know_is_refused(service: Caller) -> None:
    answer = service.report(by=["week", "prompt_sha256"])

    assert answer.status_code == 400
    assert answer.json()["message"] == "Rows cannot be grouped by prompt_sha256."
