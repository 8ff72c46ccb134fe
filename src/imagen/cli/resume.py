"""The command `imagen resume`."""

from contextlib import nullcontext, suppress
from functools import partial
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line
from msgspec.structs import replace

from imagen.bootstrap.cloud import deliver_briefly
from imagen.bootstrap.generation import build_resume
from imagen.bootstrap.once import continue_command, forget_finished
from imagen.cli import exit_codes
from imagen.cli.generation import run_generation
from imagen.cli.output import (
    Output,
    build_event_listener,
    create_progress_bar,
    print_message,
)
from imagen.cli.parameters import (
    FLATTEN,
    GeneralFlags,
    JobId,
    load_runtime,
    report_temporary,
)
from imagen.cli.signals import StopSignals
from imagen.domain.errors import ImagenError, JournalError, UsageError
from imagen.usecases.jobs import find_command, select_jobs
from imagen.usecases.resume import ResumeResult


def resume(
    *ids: JobId,
    all: bool = False,  # noqa: A002 - the flag's name
    continue_: Annotated[bool, Parameter(name="--continue")] = False,
    general: Annotated[GeneralFlags, FLATTEN] = GeneralFlags(),
) -> int:
    """Finish interrupted jobs: fetch the images that were paid for, and store them.

    Sends no request that can cost money, and skips jobs of other running processes.
    Prints the path of each image. Exits 0 if every job is finished and stored, 1 if
    one is still open or has failed, or an image is not as a --strict command requested
    it. With --continue, the rest of an interrupted command
    is sent, too, which may cost money.

    ```
    imagen resume
    imagen resume 01a2055c-f0e1
    imagen resume 01a2055c-f0e1 --continue
    ```

    Args:
        ids: Ids, unique prefixes of ids, or `last`. [default: all open jobs]
        all: Resume all open jobs, which is the default.
        continue_: Also send what the interrupted command with this ID had not sent.
    """
    if continue_:
        if len(ids) != 1 or all:
            raise UsageError(
                "--continue needs the ID of one command.",
                hint="`imagen jobs` lists the ids.",
            )
        return _continue(ids[0], general)
    if ids and all:
        raise UsageError("An ID and --all cannot be combined.")
    out = general.out()
    runtime = load_runtime(general.config)
    if not out.quiet:
        report_temporary(runtime.environment)
    bar = create_progress_bar(out, runtime.environment, label="fetching")
    listen = build_event_listener(out, bar, runtime.environment)
    outcomes: list[ResumeResult] = []
    all_good, pipe_closed = True, False
    with runtime, StopSignals() as signals:
        use_case = build_resume(runtime, listen=listen)
        open_jobs = select_jobs(runtime.stores.journal, ids)
        # Without ids, jobs that another process is working on are skipped.
        jobs = [job for job in open_jobs if ids or not job.live]
        strict = {job.call.id for job in jobs if job.call.plan.request.strict}
        with bar or nullcontext():
            for outcome in use_case.outcomes(jobs, signals.cancellation):
                outcomes.append(outcome)
                with bar.hide() if bar else nullcontext():
                    try:
                        is_strict = outcome.call_id in strict
                        is_good = _print_result(out, outcome, strict=is_strict)
                        all_good = all_good and is_good
                    except BrokenPipeError:
                        # Continue: the remaining images are paid for.
                        pipe_closed = True
        with suppress(JournalError):
            forget_finished(runtime)
        deliver_briefly(runtime, signals.cancellation, listen=listen, notify=out.notify)
    still_open = len(jobs) - sum(each.closed or each.live for each in outcomes)
    if not out.quiet:
        _print_summary(
            still_open,
            # Another process may have taken one since they were listed.
            busy=len(open_jobs)
            - len(jobs)
            + (0 if ids else sum(each.live for each in outcomes)),
            is_empty=not open_jobs,
        )
    incomplete = [
        each for each in outcomes if not (each.is_complete or (each.live and not ids))
    ]
    if all_good and not (incomplete or still_open):
        return exit_codes.DONE
    if pipe_closed:
        return exit_codes.BROKEN_PIPE
    return signals.exit_code or exit_codes.NOT_READY


def _continue(name: str, general: GeneralFlags) -> int:
    """Continue an interrupted command, and return the exit code."""
    out = general.out()
    runtime = load_runtime(general.config)
    bar = create_progress_bar(out, runtime.environment)
    listen = build_event_listener(out, bar, runtime.environment)
    with runtime:
        command = find_command(runtime.stores.keys, name)
        return run_generation(
            lambda stop: continue_command(
                runtime, command, listen=listen, cancellation=stop
            ),
            out,
            bar,
            print_image=out.print_image,
            deliver=partial(deliver_briefly, runtime, listen=listen, notify=out.notify),
        )


def _print_result(out: Output, outcome: ResumeResult, *, strict: bool) -> bool:
    """Print the result of one job.

    Returns:
        False if an image is not as requested, or stdout cannot be written.
    """
    all_good = True
    for image in outcome.stored:
        try:
            out.print_image(image)
        except ImagenError as error:
            all_good = False
            out.print_error(error)
            print_message(f"The image is at {image.location}.")
        checked = replace(image, strict=strict)
        if difference := checked.check_strict(image):
            all_good = False
            out.print_error(difference, job=outcome.call_id)
    for failed in outcome.failed:
        out.print_error(failed.error, job=outcome.call_id)
    if outcome.error is not None:
        out.print_error(outcome.error, job=outcome.call_id)
    if outcome.note and not out.quiet:
        print_message(f"{outcome.call_id}: {outcome.note}")
    return all_good


def _print_summary(still_open: int, *, busy: int, is_empty: bool) -> None:
    if is_empty:
        print_message("No open jobs.")
    if busy:
        jobs = "1 job is" if busy == 1 else f"{busy} jobs are"
        print_message(f"{jobs} in progress in another process.")
    if still_open:
        jobs = "1 job is" if still_open == 1 else f"{still_open} jobs are"
        print_message(
            f"{jobs} still open. Run `imagen resume` to retry, "
            "or `imagen jobs forget` to give up."
        )
