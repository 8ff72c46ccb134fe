"""Sample usage rows."""

from datetime import UTC, datetime, timedelta

from imagen.domain.money.usage import UsageRow

MONDAY = datetime(2026, 11, 16, 9, 30, 15, 123456, tzinfo=UTC)
"""A Monday in the ISO week 2026-W47."""


def sample_id(number: int) -> str:
    """Return a UUIDv7; a higher number is a later one."""
    return f"019a{number:04x}-0000-7000-8000-{number * 7919:012x}"


def sample_row(
    number: int = 1,
    *,
    at: datetime | None = None,
    backend: str = "flux",
    model: str = "flux-dev",
    caller: str = "writer",
    images: int = 1,
    cost: int | None = 25_000,
) -> UsageRow:
    """Return the usage row of a call, with a cost in micro-dollars."""
    return UsageRow(
        id=sample_id(number),
        created_at=MONDAY + timedelta(minutes=number) if at is None else at,
        caller=caller,
        backend=backend,
        adapter="replicate",
        model=model,
        status="unknown" if cost is None else "ok",
        latency_ms=None if cost is None else 4321,
        images=images,
        cost_micros=cost,
        cost_source="unknown" if cost is None else "reported",
        prompt_sha256="ab" * 32,
    )
