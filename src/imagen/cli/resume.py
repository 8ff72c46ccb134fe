"""The command `imagen resume`."""

from contextlib import nullcontext
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.cloud import build_brief_delivery
from imagen.bootstrap.generation import build_resume
from imagen.bootstrap.library import build_jobs
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output, build_event_listener, create_progress_bar, say
from imagen.cli.parameters import (
    ConfigFlag,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    keep_path,
)
from imagen.cli.signals import StopSignals
from imagen.domain.errors import ImagenError, UsageError
from imagen.settings.environment import process_environment
from imagen.usecases.resume import ResumeResult


def resume(
    *ids: Annotated[str, Parameter(metavar="ID")],
    all: Annotated[bool, Parameter(show_default=False)] = False,  # noqa: A002 - the flag is called so
    config: ConfigFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Finish what was interrupted: fetch what was paid for, and store it.

    Sends nothing that could cost anything, and leaves alone what another process works
    on. Prints where each image is. Exits 0 when all of it is over and stored, 1 when
    something is still open, or has failed.

    ```
    imagen resume
    imagen resume 01a2055c-f0e1
    ```

    Args:
        ids: Ids, unique beginnings of ids, or `last`. [default: all that are open]
        all: All that are open, as without an ID.
    """
    if ids and all:
        raise UsageError("An ID and --all exclude each other.")
    environment = process_environment()
    said = Output(json=json, quiet=quiet, verbose=verbose)
    runtime = Runtime.load(keep_path(config), environment=environment)
    bar = create_progress_bar(
        quiet=quiet or verbose or bool(environment.log), doing="fetching"
    )
    listen = build_event_listener(said, bar, environment)
    outcomes: list[ResumeResult] = []
    all_said, nobody_reads = True, False
    with runtime, StopSignals() as signals:
        use_case = build_resume(runtime, listen=listen)
        there = build_jobs(runtime).select(ids)
        jobs = [each for each in there if ids or not each.live]
        with bar or nullcontext():
            for outcome in use_case.outcomes(jobs, signals.cancellation):
                outcomes.append(outcome)
                with bar.hidden() if bar else nullcontext():
                    try:
                        all_said = _tell(said, outcome) and all_said
                    except BrokenPipeError:  # what was paid for is fetched all the same
                        nobody_reads = True
        deliver = build_brief_delivery(runtime, listen=listen)
        if deliver is not None:
            deliver(signals.cancellation)
    still_open = len(jobs) - sum(each.closed or each.live for each in outcomes)
    if not quiet:
        _sum_up(still_open, busy=len(there) - len(jobs), nothing=not there)
    unwell = [
        each for each in outcomes if not (each.is_complete or (each.live and not ids))
    ]
    if all_said and not (unwell or still_open):
        return exit_codes.DONE
    if nobody_reads:
        return exit_codes.NOBODY_READS
    return signals.exit_code or exit_codes.NOT_READY


def _tell(said: Output, outcome: ResumeResult) -> bool:
    """Say what became of one job; return whether all of it could be said."""
    all_said = True
    for image in outcome.stored:
        try:
            said.stored(image)
        except ImagenError as error:
            all_said = False
            said.error(error)
            say(f"The image is at {image.location}.")
    for failed in outcome.failed:
        said.error(failed.error, job=outcome.call_id)
    if outcome.error is not None:
        said.error(outcome.error, job=outcome.call_id)
    if outcome.note and not said.quiet:
        say(f"{outcome.call_id}: {outcome.note}")
    return all_said


def _sum_up(still_open: int, *, busy: int, nothing: bool) -> None:
    if nothing:
        say("No job is open.")
    if busy:
        jobs = "1 job is" if busy == 1 else f"{busy} jobs are"
        say(f"{jobs} being worked on by another process.")
    if still_open:
        jobs = "1 job is" if still_open == 1 else f"{still_open} jobs are"
        again = "`imagen resume` tries again, `imagen jobs forget` gives up"
        say(f"{jobs} still open: {again}.")
