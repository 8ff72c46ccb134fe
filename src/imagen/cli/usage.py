"""The command `imagen usage`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Annotated, cast

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.library import open_usage
from imagen.bootstrap.runtime import Runtime
from imagen.cli.output import Output, print_message
from imagen.cli.parameters import ConfigFlag, JsonFlag, SinceFlag, open_account
from imagen.cli.tables import Columns, paginate, shorten_ids
from imagen.domain.errors import UsageError
from imagen.domain.money.cost import format_micros, micros_to_usd
from imagen.domain.money.usage import DIMENSIONS, Dimension, UsageRow, UsageTotal
from imagen.domain.printable import escape_control
from imagen.domain.suggestion import suggest
from imagen.usecases.usage import UsageReport

# CSV columns and JSON keys, which scripts depend on.
CALL_COLUMNS = (
    *("id", "created_at", "caller", "backend", "adapter", "model", "status"),
    *("latency_ms", "images", "cost_usd", "cost_source", "prompt_sha256"),
)
SUM_COLUMNS = ("calls", "images", "cost_usd", "unknown")
_CALL_HEADERS = (
    *("time (UTC)", "id", "caller", "backend", "model", "status"),
    *("took", "images", "cost"),
)
_SUM_HEADERS = ("calls", "images", "cost", "")


def usage(
    *,
    since: SinceFlag = None,
    by: Annotated[str | None, Parameter(metavar="NAMES")] = None,
    raw: bool = False,
    csv: bool = False,
    plot: bool = False,
    local: bool = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> None:
    """Print costs and usage; days and weeks are in UTC.

    ```
    imagen usage --since 2026-05-01 --by model,caller
    imagen usage --raw --csv > calls.csv
    ```

    Args:
        by: The columns to group by, in this order.
            [default: week,backend,model,caller]
        raw: Print each call, the newest first.
        csv: Print comma-separated values with a header.
        plot: Draw a bar chart of costs, grouped by the first of NAMES.
        local: Read the ledger of this machine, even if there is a shared one.
    """
    _reject_combination({"--json": json, "--csv": csv, "--plot": plot})
    _reject_combination({"--raw": raw, "--plot": plot})
    _reject_combination({"--raw": raw, "--by": by is not None})
    names = DIMENSIONS if by is None else _parse_dimensions(by)
    out = Output(json=json, csv=csv)
    with open_account(config) as runtime:
        shared = not local and not runtime.environment.missing_for_supabase
        reason = _upload_rows(runtime) if shared else ""
        with open_usage(runtime, local=local) as use_case:
            if raw:
                _print_calls(out, use_case.rows(since=since))
            elif plot:
                _print_chart(out, use_case.run(names[:1], since=since), names[0])
            else:
                _print_groups(out, use_case.run(names, since=since), names)
            _report_undelivered(use_case.undelivered_total(), reason)
            _report_pending(use_case.pending())
            _report_future(use_case.future(runtime.clock.now().astimezone(UTC).date()))


def _reject_combination(flags: Mapping[str, bool]) -> None:
    given = [flag for flag, is_given in flags.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} cannot be combined.")


def _parse_dimensions(by: str) -> tuple[Dimension, ...]:
    names = tuple(name.strip() for name in by.split(","))
    for name in names:
        if name not in DIMENSIONS:
            known = f"Use one or more of: {', '.join(DIMENSIONS)}."
            raise UsageError(
                f"--by cannot group by {name!r}.", hint=suggest(name, DIMENSIONS, known)
            )
        if names.count(name) > 1:
            raise UsageError(f"--by names {name} twice.")
    return cast("tuple[Dimension, ...]", names)  # checked above


def _print_calls(out: Output, rows: Iterable[UsageRow]) -> None:
    if out.json or out.csv:
        out.print_records(CALL_COLUMNS, map(_call_values, rows))
        return
    columns = Columns(right={6, 7, 8})
    head: tuple[tuple[str, ...], ...] = (_CALL_HEADERS,)
    for page in paginate(rows):
        ids = shorten_ids(row.id for row in page)
        lines = (_format_call(row, short_id=ids[row.id]) for row in page)
        out.print_lines(columns.lines([*head, *lines]))
        head = ()
    if head:
        print_message("No usage.")


def _print_groups(
    out: Output, report: UsageReport, names: tuple[Dimension, ...]
) -> None:
    if out.json or out.csv:
        values = (_group_values(group, names) for group in report.groups)
        out.print_records((*names, *SUM_COLUMNS), values)
        return
    if not report.groups:
        print_message("No usage.")
        return
    groups = [
        (*(getattr(group, name) or "-" for name in names), *_sums(group))
        for group in report.groups
    ]
    total = ("total", *[""] * (len(names) - 1), *_sums(report.total))
    columns = Columns(right=range(len(names), len(names) + 3))
    out.print_lines(columns.lines([(*names, *_SUM_HEADERS), *groups, total]))


def _print_chart(out: Output, report: UsageReport, name: Dimension) -> None:
    """Print a bar for each group, as wide as the terminal or $COLUMNS.

    It has no colours if stdout is not a terminal or $NO_COLOR is set.
    """
    if not report.groups:
        print_message("No usage.")
        return
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    largest = max(1, *(group.cost_micros for group in report.groups))
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    for group in report.groups:
        bar = Bar(largest, 0, group.cost_micros, color="cyan")
        label = Text(escape_control(getattr(group, name) or "-"))
        grid.add_row(label, bar, Text(_total_cost(group)))
    grid.add_row("total", Bar(largest, 0, 0), Text(_total_cost(report.total)))
    console = Console()
    with console.capture() as captured:
        console.print(grid)
    out.print_styled(captured.get().rstrip("\n"))


def _upload_rows(runtime: Runtime) -> str:
    """Upload pending usage rows; return why some are still pending, or ""."""
    from imagen.bootstrap.cloud import upload_usage  # noqa: PLC0415 - rare
    from imagen.cli.signals import StopSignals  # noqa: PLC0415 - with a shared ledger

    with StopSignals() as signals:
        reason = upload_usage(runtime, signals.cancellation)
    if signals.exit_code is not None:
        # The upload stopped; without it, the totals of the shared ledger are too low.
        raise KeyboardInterrupt
    return reason


def _report_undelivered(rest: UsageTotal | None, reason: str) -> None:
    """Report rows that were counted but are not yet in the shared ledger."""
    if reason:
        print_message(f"usage: {reason}")
    if rest is not None:
        rows = "1 row" if rest.calls == 1 else f"{rest.calls} rows"
        cost = _total_cost(rest)
        print_message(
            f"Included {rows} of this machine, {cost}, not yet in the shared ledger."
        )


def _report_pending(pending: UsageTotal) -> None:
    """Report open jobs, whose costs may still be added to the ledger."""
    if pending.calls:
        jobs = "1 open job" if pending.calls == 1 else f"{pending.calls} open jobs"
        print_message(f"{jobs} may add {_total_cost(pending)}: imagen jobs")


def _report_future(future: UsageTotal | None) -> None:
    """Report rows that were written while the clock of this machine was ahead."""
    if future is not None:
        rows = "1 row is" if future.calls == 1 else f"{future.calls} rows are"
        print_message(
            f"{rows} dated in the future, {_total_cost(future)}: the clock of this "
            "machine was ahead. Budgets count them for their own days only."
        )


def _call_values(row: UsageRow) -> tuple[object, ...]:
    values = {name: getattr(row, name, None) for name in CALL_COLUMNS}
    values["created_at"] = row.created_at.isoformat().replace("+00:00", "Z")
    values["cost_usd"] = (
        None if row.cost_micros is None else micros_to_usd(row.cost_micros)
    )
    return tuple(values.values())


def _format_call(row: UsageRow, *, short_id: str) -> tuple[str, ...]:
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


def _group_values(group: UsageTotal, names: Sequence[Dimension]) -> tuple[object, ...]:
    return (
        *(getattr(group, name) for name in names),
        group.calls,
        group.images,
        micros_to_usd(group.cost_micros) if group.unknown < group.calls else None,
        group.unknown,
    )


def _sums(group: UsageTotal) -> tuple[str, ...]:
    return (
        str(group.calls),
        str(group.images),
        format_micros(group.cost_micros) if group.unknown < group.calls else "",
        f"+ {group.unknown} unknown" if group.unknown else "",
    )


def _total_cost(group: UsageTotal) -> str:
    """Return the total cost with the number of unknown costs: `$0.05 + 2 unknown`."""
    *_, known, unknown = _sums(group)
    return f"{known} {unknown}".strip().removeprefix("+ ")
