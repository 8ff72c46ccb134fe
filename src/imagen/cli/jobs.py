"""The commands `imagen jobs` and `imagen jobs forget`."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output, print_message
from imagen.cli.parameters import ConfigFlag, JobId, JsonFlag, open_account
from imagen.cli.tables import Columns, join_lines, shorten_ids, terminal_width, truncate
from imagen.domain.call import OpenCall
from imagen.domain.errors import UsageError
from imagen.domain.money.cost import format_micros
from imagen.usecases.jobs import (
    describe_command,
    describe_job,
    forget_command,
    forget_job,
    list_several,
    match_commands,
    select_commands,
    select_jobs,
)

if TYPE_CHECKING:
    from imagen.domain.idempotency import StoredRequest
    from imagen.usecases.remaining import Remaining

_INDENT = "    "


def jobs(*, config: ConfigFlag = None, json: JsonFlag = False) -> None:
    """List unfinished jobs with their state and what they may cost.

    `imagen resume` finishes them; `imagen jobs forget` removes one. An interrupted
    command is listed with what is left of it; the same command continues it, and so
    does `imagen resume ID --continue`.

    ```
    imagen jobs
    imagen jobs forget 01a2055c-f0e1
    ```
    """
    out = Output(json=json)
    with open_account(config) as runtime:
        open_jobs = select_jobs(runtime.stores.journal)
        commands = _list_commands(runtime)
    if json:
        for job in open_jobs:
            out.print_json(describe_job(job))
        for command, left in commands:
            out.print_json(describe_command(command, left))
        return
    # A job that was never sent cost nothing, and `imagen resume` closes it.
    sent = [job for job in open_jobs if not job.never_sent]
    out.print_lines(_format_jobs(sent, now=runtime.clock.now()))
    out.print_lines(_format_commands(commands, now=runtime.clock.now()))
    if unsent := len(open_jobs) - len(sent):
        counted = "1 job was" if unsent == 1 else f"{unsent} jobs were"
        print_message(
            f"{counted} never sent and cost nothing; `imagen resume` removes them."
        )
    elif not (sent or commands):
        print_message("No open jobs.")


def forget(
    *ids: JobId,
    key: Annotated[str | None, Parameter(metavar="TEXT")] = None,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> int:
    """Forget unfinished jobs; the ledger records those that may be billed.

    The id of an interrupted command forgets the command and its jobs.

    Exits 1 if another process is working on one of them; that job is kept.

    ```
    imagen jobs forget 01a2055c-f0e1
    ```

    Args:
        ids: Ids, unique prefixes of ids, or `last`.
        key: Forget this idempotency key, so that it can be used for a new request.
    """
    if not (ids or key):
        raise UsageError("ID is missing.", hint="`imagen jobs` lists the ids.")
    out, results = Output(json=json), list[bool]()

    def report(name: str, message: str, *, forgotten: bool) -> None:
        results.append(forgotten)
        if json:
            out.print_json({"id": name, "forgotten": forgotten})
        in_use = "not forgotten: another process is working on the job."
        print_message(f"{name}: {message if forgotten else in_use}")

    with open_account(config) as runtime:
        journal, keys = runtime.stores.journal, runtime.stores.keys
        names: list[str] = []
        for command in select_commands(keys, ids, key=key):
            forgotten = forget_command(keys, command)
            report(command.id, "the command is forgotten.", forgotten=forgotten)
            names += [call.id for call in command.calls if forgotten and call.open]
        names += [each for each in ids if not match_commands(keys, each)]
        for job in select_jobs(journal, names) if names else ():
            forgotten = forget_job(journal, job)
            report(job.call.id, _format_forgotten(job), forgotten=forgotten)
    return exit_codes.DONE if all(results) else exit_codes.NOT_READY


def _list_commands(runtime: Runtime) -> "list[tuple[StoredRequest, Remaining]]":
    """Return the commands of several images with what is left of each."""
    found = list_several(runtime.stores.keys)
    if not found:
        return []
    from imagen.bootstrap.once import count_remaining  # noqa: PLC0415 - rare

    return [(each, count_remaining(runtime, each)) for each in found]


def _format_forgotten(job: OpenCall) -> str:
    lost = " with its images" if job.state == "received" else ""
    if job.call.may_cost and job.state != "planned":
        return f"forgotten{lost}; recorded in the ledger with an unknown cost."
    return f"forgotten{lost}; it cost nothing."


def _format_jobs(jobs: Sequence[OpenCall], *, now: datetime) -> Iterator[str]:
    """Yield the lines of each job: its facts, the prompt, the last problem."""
    width = terminal_width()
    room = None if width is None else width - len(_INDENT)
    ids = shorten_ids(job.call.id for job in jobs)
    facts = Columns().lines(
        [
            (
                ids[job.call.id],
                _format_age(now - job.call.created_at),
                job.call.plan.instance.name,
                _format_state(job),
                _format_cost(job),
            )
            for job in jobs
        ]
    )
    for line, job in zip(facts, jobs, strict=True):
        yield line
        yield _INDENT + truncate(join_lines(job.call.plan.request.prompt), room)
        if job.reason:
            yield _INDENT + join_lines(job.reason)


def _format_commands(
    commands: "Sequence[tuple[StoredRequest, Remaining]]", *, now: datetime
) -> Iterator[str]:
    """Yield two lines for each command: what is left of it, and the prompt."""
    width = terminal_width()
    room = None if width is None else width - len(_INDENT)
    ids = shorten_ids(command.id for command, _ in commands)
    for command, left in commands:
        total = len(left.made) + left.images_left
        running = "; in progress" if command.process is not None else ""
        yield (
            f"{ids.get(command.id, command.id)}  "
            f"{_format_age(now - command.created_at)}  {command.name}: "
            f"{left.images_left} of {total} images left{running}"
        )
        prompts = [each.call.plan.request.prompt for each in command.calls if each.call]
        if prompts:
            yield _INDENT + truncate(join_lines(prompts[0]), room)


def _format_age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
    return "now"


def _format_state(job: OpenCall) -> str:
    words = {
        "planned": "not sent",
        "sent": "sent, outcome unknown",
        "accepted": f"accepted as {job.reference}",
        "received": "images received, not stored",
    }[job.state]
    return f"{words}; in progress" if job.live else words


def _format_cost(job: OpenCall) -> str:
    if not job.call.may_cost:
        return "costs nothing"
    if job.call.reserved is None:
        return "may be billed, price unknown"
    return f"may be billed {format_micros(job.call.reserved)}"
