"""The command `imagen usage`."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.library import open_usage
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes, usage_rows
from imagen.cli.output import Output, print_message
from imagen.cli.parameters import JsonFlag, SinceFlag
from imagen.cli.tables import Columns, paginate, shorten_ids
from imagen.domain.errors import UsageError
from imagen.domain.money.usage import DIMENSIONS, Dimension, UsageRow, UsageTotal
from imagen.domain.suggestion import suggest_name
from imagen.settings.environment import process_environment
from imagen.usecases.usage import UsageReport

if TYPE_CHECKING:
    from imagen.usecases.sync import DeliverPending


def usage(
    *,
    since: SinceFlag = None,
    by: Annotated[str | None, Parameter(metavar="NAMES")] = None,
    raw: bool = False,
    json: JsonFlag = False,
    csv: bool = False,
    plot: bool = False,
    local: bool = False,
) -> int:
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
    environment = process_environment()
    shared = not local and not environment.missing_for_supabase
    with Runtime(environment) as runtime:
        reason = ""
        if shared:
            from imagen.bootstrap.cloud import build_usage_delivery  # noqa: PLC0415 - rare

            reason = _upload_rows(build_usage_delivery(runtime))
        with open_usage(runtime, shared=shared) as use_case:
            if raw:
                _print_calls(out, use_case.rows(since=since))
            elif plot:
                _print_chart(out, use_case.run(names[:1], since=since), names[0])
            else:
                _print_groups(out, use_case.run(names, since=since), names)
            _report_undelivered(use_case.undelivered_total(), reason)
            _report_pending(use_case.pending())
    return exit_codes.DONE


def _reject_combination(flags: Mapping[str, bool]) -> None:
    given = [flag for flag, is_given in flags.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} cannot be combined.")


def _parse_dimensions(by: str) -> tuple[Dimension, ...]:
    names = tuple(name.strip() for name in by.split(","))
    for name in names:
        if name not in DIMENSIONS:
            near = suggest_name(name, DIMENSIONS)
            known = f"Use one or more of: {', '.join(DIMENSIONS)}."
            raise UsageError(
                f"--by cannot group by {name!r}.",
                hint=f"Did you mean {near}?" if near else known,
            )
        if names.count(name) > 1:
            raise UsageError(f"--by names {name} twice.")
    return cast("tuple[Dimension, ...]", names)  # checked above


def _print_calls(out: Output, rows: Iterable[UsageRow]) -> None:
    if out.is_machine_readable:
        out.print_records(usage_rows.RAW, map(usage_rows.call_values, rows))
        return
    columns = Columns(right={6, 7, 8})
    head: tuple[tuple[str, ...], ...] = (usage_rows.RAW_HEADERS,)
    for page in paginate(rows):
        ids = shorten_ids(row.id for row in page)
        words = (usage_rows.format_call(row, short_id=ids[row.id]) for row in page)
        out.print_lines(columns.lines([*head, *words]))
        head = ()
    if head:
        _print_empty()


def _print_groups(
    out: Output, report: UsageReport, names: tuple[Dimension, ...]
) -> None:
    if out.is_machine_readable:
        values = (usage_rows.group_values(group, names) for group in report.groups)
        out.print_records((*names, *usage_rows.SUMS), values)
        return
    if not report.groups:
        _print_empty()
        return
    blank = [""] * (len(names) - 1)
    out.print_lines(
        Columns(right={len(names), len(names) + 1, len(names) + 2}).lines(
            [
                (*names, *usage_rows.SUMS_HEADERS),
                *(usage_rows.format_group(group, names) for group in report.groups),
                ("total", *blank, *usage_rows.format_sums(report.total)),
            ]
        )
    )


def _print_chart(out: Output, report: UsageReport, name: Dimension) -> None:
    if not report.groups:
        _print_empty()
        return
    from imagen.cli.usage_chart import draw_bars  # noqa: PLC0415 - costs rich

    lines = [
        (
            getattr(group, name) or "-",
            group.cost_micros,
            usage_rows.format_total_cost(group),
        )
        for group in report.groups
    ]
    out.print_text(
        draw_bars([*lines, ("total", 0, usage_rows.format_total_cost(report.total))])
    )


def _print_empty() -> None:
    print_message("No usage.")


def _upload_rows(use_case: "DeliverPending") -> str:
    """Upload pending usage rows; return why some are still pending, or ""."""
    from imagen.cli.signals import StopSignals  # noqa: PLC0415 - with a shared ledger

    with StopSignals() as signals:
        [done] = use_case.run(signals.cancellation)
    if signals.exit_code is not None:
        # The upload stopped; without it, the totals of the shared ledger are too low.
        raise KeyboardInterrupt
    return done.reason if done.status.pending else ""


def _report_undelivered(rest: UsageTotal | None, reason: str) -> None:
    """Report rows that were counted but are not yet in the shared ledger."""
    if reason:
        print_message(f"usage: {reason}")
    if rest is not None:
        rows = "1 row" if rest.calls == 1 else f"{rest.calls} rows"
        cost = usage_rows.format_total_cost(rest)
        print_message(
            f"Included {rows} of this machine, {cost}, not yet in the shared ledger."
        )


def _report_pending(pending: UsageTotal) -> None:
    """Report open jobs, whose costs may still be added to the ledger."""
    if pending.calls:
        jobs = "1 open job" if pending.calls == 1 else f"{pending.calls} open jobs"
        print_message(
            f"{jobs} may add {usage_rows.format_total_cost(pending)}: imagen jobs"
        )
