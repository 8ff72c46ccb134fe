"""The command `imagen usage`."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.library import open_usage
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes, usage_rows
from imagen.cli.output import Output, say
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
    raw: Annotated[bool, Parameter(show_default=False)] = False,
    json: JsonFlag = False,
    csv: Annotated[bool, Parameter(show_default=False)] = False,
    plot: Annotated[bool, Parameter(show_default=False)] = False,
    local: Annotated[bool, Parameter(show_default=False)] = False,
) -> int:
    """Print what was spent; days and weeks are those of UTC.

    ```
    imagen usage --since 2026-05-01 --by model,caller
    imagen usage --raw --csv > calls.csv
    ```

    Args:
        by: What tells groups apart, and in which order.
            [default: week,backend,model,caller]
        raw: Every call by itself, the newest first.
        csv: Print comma-separated values, with a header.
        plot: Draw bars of dollars, by the first of the NAMES.
        local: The account of this machine alone, even if there is a shared one.
    """
    _only_one({"--json": json, "--csv": csv, "--plot": plot})
    _only_one({"--raw": raw, "--plot": plot})
    _only_one({"--raw": raw, "--by": by is not None})
    names = DIMENSIONS if by is None else _dimensions(by)
    said = Output(json=json, csv=csv)
    environment = process_environment()
    shared = not local and not environment.missing_for_supabase
    with Runtime(environment) as runtime:
        trouble = ""
        if shared:
            from imagen.bootstrap.cloud import build_usage_delivery  # noqa: PLC0415 - rare

            trouble = _deliver(build_usage_delivery(runtime))
        with open_usage(runtime, shared=shared) as use_case:
            if raw:
                _print_calls(said, use_case.rows(since=since))
            elif plot:
                _draw(said, use_case.run(names[:1], since=since), names[0])
            else:
                _print_groups(said, use_case.run(names, since=since), names)
            _say_undelivered(use_case.undelivered_total(), trouble)
            _say_pending(use_case.pending())
    return exit_codes.DONE


def _only_one(flags: Mapping[str, bool]) -> None:
    given = [flag for flag, is_given in flags.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other.")


def _dimensions(by: str) -> tuple[Dimension, ...]:
    names = tuple(name.strip() for name in by.split(","))
    for name in names:
        if name not in DIMENSIONS:
            near = suggest_name(name, DIMENSIONS)
            there = f"There are: {', '.join(DIMENSIONS)}."
            raise UsageError(
                f"--by cannot tell groups apart by {name!r}.",
                hint=f"Did you mean {near}?" if near else there,
            )
        if names.count(name) > 1:
            raise UsageError(f"--by has {name} twice.")
    return cast("tuple[Dimension, ...]", names)  # each was looked at


def _print_calls(said: Output, rows: Iterable[UsageRow]) -> None:
    if said.to_program:
        said.records(usage_rows.RAW, map(usage_rows.call_values, rows))
        return
    columns = Columns(right={6, 7, 8})
    head: tuple[tuple[str, ...], ...] = (usage_rows.RAW_WORDS,)
    for page in paginate(rows):
        ids = shorten_ids(row.id for row in page)
        words = (usage_rows.format_call(row, short_id=ids[row.id]) for row in page)
        said.lines(columns.lines([*head, *words]))
        head = ()
    if head:
        _say_nothing()


def _print_groups(
    said: Output, report: UsageReport, names: tuple[Dimension, ...]
) -> None:
    if said.to_program:
        values = (usage_rows.group_values(group, names) for group in report.groups)
        said.records((*names, *usage_rows.SUMS), values)
        return
    if not report.groups:
        _say_nothing()
        return
    blank = [""] * (len(names) - 1)
    said.lines(
        Columns(right={len(names), len(names) + 1, len(names) + 2}).lines(
            [
                (*names, *usage_rows.SUMS_WORDS),
                *(usage_rows.format_group(group, names) for group in report.groups),
                ("total", *blank, *usage_rows.format_sums(report.total)),
            ]
        )
    )


def _draw(said: Output, report: UsageReport, name: Dimension) -> None:
    if not report.groups:
        _say_nothing()
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
    said.text(
        draw_bars([*lines, ("total", 0, usage_rows.format_total_cost(report.total))])
    )


def _say_nothing() -> None:
    say("Nothing was spent.")


def _deliver(use_case: "DeliverPending") -> str:
    """Have the shared ledger know what this machine knows; return why it does not."""
    from imagen.cli.signals import StopSignals  # noqa: PLC0415 - only with a shared ledger

    with StopSignals() as signals:
        [done] = use_case.run(signals.cancellation)
    if signals.exit_code is not None:
        raise KeyboardInterrupt
    return done.reason if done.status.pending else ""


def _say_undelivered(rest: UsageTotal | None, trouble: str) -> None:
    """Say what was added to what the shared ledger has, and why it is not in it."""
    if trouble:
        say(f"usage: {trouble}")
    if rest is not None:
        rows = "1 row" if rest.calls == 1 else f"{rest.calls} rows"
        cost = usage_rows.format_total_cost(rest)
        say(f"{rows} of this machine, {cost}, not in the shared ledger yet, added.")


def _say_pending(pending: UsageTotal) -> None:
    """Say what is not in the ledger yet, and may come into it."""
    if pending.calls:
        jobs = "1 open job" if pending.calls == 1 else f"{pending.calls} open jobs"
        say(f"{jobs} may add {usage_rows.format_total_cost(pending)}: imagen jobs")
