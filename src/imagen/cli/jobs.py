"""The commands `imagen jobs` and `imagen jobs forget`."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.library import build_jobs
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output, say
from imagen.cli.parameters import JsonFlag
from imagen.cli.tables import Columns, join_lines, shorten_ids, terminal_width, truncate
from imagen.domain.call import OpenCall
from imagen.domain.errors import UsageError
from imagen.domain.money.budget import format_micros
from imagen.domain.money.cost import micros_to_usd
from imagen.settings.environment import process_environment

_BELOW = "    "


def jobs(*, json: JsonFlag = False) -> int:
    """List the generations that are not over: where each stands, what it may cost.

    `imagen resume` finishes them, `imagen jobs forget` gives one up.

    ```
    imagen jobs
    imagen jobs forget 01a2055c-f0e1
    ```
    """
    said = Output(json=json)
    with Runtime(process_environment()) as runtime:
        there = build_jobs(runtime).select()
    if json:
        for each in there:
            said.object(_described(each))
        return exit_codes.DONE
    shown = [each for each in there if not each.never_sent]
    said.lines(_lines(shown, now=runtime.clock.now()))
    if unsent := len(there) - len(shown):
        counted = "1 job was" if unsent == 1 else f"{unsent} jobs were"
        say(f"{counted} never sent and cost nothing; `imagen resume` clears them away.")
    elif not shown:
        say("No job is open.")
    return exit_codes.DONE


def forget(
    *ids: Annotated[str, Parameter(metavar="ID")], json: JsonFlag = False
) -> int:
    """Give up generations: off the list, and into the ledger if they may be billed.

    Exits 1 when one of them is being worked on; that one stays.

    ```
    imagen jobs forget 01a2055c-f0e1
    ```

    Args:
        ids: Ids, unique beginnings of ids, or `last`.
    """
    if not ids:
        raise UsageError("ID is missing.", hint="`imagen jobs` lists those there are.")
    said, all_gone = Output(json=json), True
    with Runtime(process_environment()) as runtime:
        use_case = build_jobs(runtime)
        for job in use_case.select(ids):
            gone = use_case.forget(job)
            all_gone = all_gone and gone
            if json:
                said.object({"id": job.call.id, "forgotten": gone})
            say(f"{job.call.id}: {_farewell(job) if gone else _STAYS}")
    return exit_codes.DONE if all_gone else exit_codes.NOT_READY


_STAYS = "another process works on it, so it is not given up."


def _farewell(job: OpenCall) -> str:
    lost = ", and its images with it" if job.state == "received" else ""
    if job.call.may_cost and job.state != "planned":
        return f"given up{lost}; the ledger has it, with an unknown cost."
    return f"given up{lost}; it cost nothing."


def _lines(there: Sequence[OpenCall], *, now: datetime) -> Iterator[str]:
    """Yield what a person reads: of each job the facts, the prompt, the trouble."""
    width = terminal_width()
    room = None if width is None else width - len(_BELOW)
    ids = shorten_ids(each.call.id for each in there)
    facts = Columns().lines(
        [
            (
                ids[each.call.id],
                _age(now - each.call.created_at),
                each.call.plan.instance.name,
                _state(each),
                _bill(each),
            )
            for each in there
        ]
    )
    for line, each in zip(facts, there, strict=True):
        yield line
        yield _BELOW + truncate(join_lines(each.call.plan.request.prompt), room)
        if each.reason:
            yield _BELOW + join_lines(each.reason)


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
    return "now"


def _state(job: OpenCall) -> str:
    words = {
        "planned": "not sent",
        "sent": "sent, fate unknown",
        "accepted": f"accepted as {job.reference}",
        "received": "images received, not stored",
    }[job.state]
    return f"{words}; being worked on" if job.live else words


def _bill(job: OpenCall) -> str:
    if not job.call.may_cost:
        return "costs nothing"
    if job.call.reserved is None:
        return "may be billed, price unknown"
    return f"may be billed {format_micros(job.call.reserved)}"


def _described(job: OpenCall) -> dict[str, object]:
    call = job.call
    return {
        "id": call.id,
        "created_at": call.created_at,
        "backend": call.plan.instance.name,
        "adapter": call.plan.instance.adapter,
        "model": call.job.model,
        "caller": call.caller,
        "prompt": call.plan.request.prompt,
        "state": job.state,
        "reference": job.reference,
        "live": job.live,
        "trouble": job.reason,
        "may_cost": call.may_cost,
        "reserved_usd": None if call.reserved is None else micros_to_usd(call.reserved),
    }
