"""Rows of `imagen usage`: values for JSON and CSV, text for tables."""

from collections.abc import Sequence
from datetime import UTC

from imagen.domain.money.cost import format_micros, micros_to_usd
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal

# CSV columns and JSON keys, which scripts depend on.
RAW = (
    *("id", "created_at", "caller", "backend", "adapter", "model", "status"),
    *("latency_ms", "images", "cost_usd", "cost_source", "prompt_sha256"),
)
RAW_HEADERS = (
    *("time (UTC)", "id", "caller", "backend", "model", "status"),
    *("took", "images", "cost"),
)
SUMS = ("calls", "images", "cost_usd", "unknown")
SUMS_HEADERS = ("calls", "images", "cost", "")


def call_values(row: UsageRow) -> tuple[object, ...]:
    """Return the values of the columns `RAW`."""
    values = {name: getattr(row, name, None) for name in RAW}
    values["created_at"] = row.created_at.isoformat().replace("+00:00", "Z")
    values["cost_usd"] = (
        None if row.cost_micros is None else micros_to_usd(row.cost_micros)
    )
    return tuple(values.values())


def format_call(row: UsageRow, *, short_id: str) -> tuple[str, ...]:
    """Return the texts of the columns `RAW_HEADERS`."""
    return (
        f"{row.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        short_id,
        row.caller or "-",
        row.backend,
        row.model or "-",
        row.status,
        "-" if row.latency_ms is None else f"{row.latency_ms / 1000:.1f} s",
        str(row.images),
        "unknown" if row.cost_micros is None else format_micros(row.cost_micros),
    )


def group_values(group: UsageTotal, names: Sequence[Dimension]) -> tuple[object, ...]:
    """Return the values of the columns `names` and `SUMS`."""
    known = group.unknown < group.calls
    return (
        *(getattr(group, name) for name in names),
        group.calls,
        group.images,
        micros_to_usd(group.cost_micros) if known else None,
        group.unknown,
    )


def format_group(group: UsageTotal, names: Sequence[Dimension]) -> tuple[str, ...]:
    """Return the texts of the columns `names` and `SUMS_HEADERS`."""
    return (*(getattr(group, name) or "-" for name in names), *format_sums(group))


def format_sums(group: UsageTotal) -> tuple[str, ...]:
    """Return the texts of the columns `SUMS_HEADERS`."""
    known = group.unknown < group.calls
    return (
        str(group.calls),
        str(group.images),
        format_micros(group.cost_micros) if known else "",
        f"+ {group.unknown} unknown" if group.unknown else "",
    )


def format_total_cost(group: UsageTotal) -> str:
    """Return the total cost with the number of unknown costs: `$0.05 + 2 unknown`."""
    *_, known, unknown = format_sums(group)
    return f"{known} {unknown}".strip().removeprefix("+ ")
