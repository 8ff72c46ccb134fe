"""List open calls, and give one up."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from imagen.domain.call import CallClosed, CallState, OpenCall, usage_row
from imagen.domain.errors import InvalidRequest
from imagen.domain.idempotency import (
    KEYED_COMMANDS,
    UNKEYED_COMMANDS,
    StoredRequest,
)
from imagen.domain.money.cost import MICROS, Cost

if TYPE_CHECKING:
    from imagen.ports.idempotency import RequestKeys, RequestList
    from imagen.ports.journal import Journal
    from imagen.usecases.remaining import Remaining


class UnfinishedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was not finished, as `imagen jobs --json` prints it.

    Attributes:
        created_at: Time of planning, UTC.
        model: Name of the model; "" if it has none.
        caller: Name of the caller; "" if it has none.
        state: `planned`: certainly not sent; `sent`: in an unknown state; `accepted`:
            the backend has the job; `received`: the images arrived, but are not stored.
        reference: The vendor's id of the job; "" if unknown.
        live: Whether a running process works on it.
        reason: Why it was left open; "" if its process ended without a reason.
        reserved_usd: Its expected cost in dollars; None if unknown.
    """

    id: str
    created_at: datetime
    backend: str
    adapter: str
    model: str
    caller: str
    prompt: str
    state: CallState
    reference: str
    live: bool
    reason: str = msgspec.field(name="trouble")
    may_cost: bool
    reserved_usd: float | None


class UnfinishedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was interrupted, as `imagen jobs --json` prints it.

    Attributes:
        id: Its id; its key if it was given one.
        created_at: Time of its first run, UTC.
        live: Whether a running process works on it.
        images: The number of images that were requested.
        images_left: The number of images that are not made yet.
        calls: The ids of its calls to the backend, finished ones included.
    """

    id: str
    created_at: datetime
    command: str
    live: bool
    images: int
    images_left: int
    calls: tuple[str, ...]


def describe_job(job: OpenCall) -> UnfinishedJob:
    """Return the facts of an open call."""
    call = job.call
    return UnfinishedJob(
        id=call.id,
        created_at=call.created_at,
        backend=call.plan.instance.name,
        adapter=call.plan.instance.adapter,
        model=call.job.model,
        caller=call.caller,
        prompt=call.plan.request.prompt,
        state=job.state,
        reference=job.reference,
        live=job.live,
        reason=job.reason,
        may_cost=call.may_cost,
        reserved_usd=None if call.reserved is None else call.reserved / MICROS,
    )


def describe_command(command: StoredRequest, left: "Remaining") -> UnfinishedCommand:
    """Return the facts of an unfinished command."""
    return UnfinishedCommand(
        id=command.id,
        created_at=command.created_at,
        command=command.name,
        live=command.process is not None,
        images=len(left.made) + left.images_left,
        images_left=left.images_left,
        calls=tuple(call.id for call in command.calls),
    )


def select_jobs(journal: "Journal", names: Sequence[str] = ()) -> tuple[OpenCall, ...]:
    """Return the named open calls, or all open calls, the oldest first.

    Args:
        names: Ids, unique prefixes of ids, or `last`.

    Raises:
        InvalidRequest: a name matches no open call, or several.
    """
    open_calls = journal.list_open()
    if not names:
        return open_calls
    return tuple(_select(name, open_calls) for name in dict.fromkeys(names))


def forget_job(journal: "Journal", job: OpenCall) -> bool:
    """Close a call without its images; record its cost as unknown if it was sent.

    Returns:
        False if another process works on the call.
    """
    # Claimed first, so that no other process resumes the call in the meantime.
    claim = journal.claim(job.call.id)
    if claim is None:
        return False
    row = usage_row(job.call, status="unknown", cost=Cost(), latency_ms=None)
    sent = claim.open.state != "planned"
    journal.record(job.call.id, CallClosed(usage=row if sent else None))
    return True


def list_commands(requests: "RequestList") -> tuple[StoredRequest, ...]:
    """Return the commands that are not finished, the oldest first."""
    callers = (UNKEYED_COMMANDS, KEYED_COMMANDS)
    found = [each for caller in callers for each in requests.list_requests(caller)]
    unfinished = [each for each in found if each.answer is None]
    return tuple(sorted(unfinished, key=lambda each: each.created_at))


def list_several(requests: "RequestList") -> tuple[StoredRequest, ...]:
    """Return the unfinished commands of several images; that of one is its job."""
    return tuple(
        each
        for each in list_commands(requests)
        if sum(len(call.image_ids) for call in each.calls) > 1
    )


def match_commands(requests: "RequestList", name: str) -> tuple[StoredRequest, ...]:
    """Return the unfinished commands with that id, prefix of an id, or key."""
    prefix = name.lower()
    found = [
        each
        for each in list_commands(requests)
        if each.id == name
        or (each.key.caller == UNKEYED_COMMANDS and name and each.id.startswith(prefix))
    ]
    return tuple([each for each in found if each.id == name] or found)


def find_command(requests: "RequestList", name: str) -> StoredRequest:
    """Return an unfinished command.

    Args:
        name: Its id, a unique prefix of it, its key, or the id of one of its calls.

    Raises:
        InvalidRequest: the name matches no command, or several.
    """
    found = match_commands(requests, name) or tuple(
        each
        for each in list_commands(requests)
        if any(name and call.id.startswith(name.lower()) for call in each.calls)
    )
    if len(found) != 1:
        problem = f"{len(found)} commands match" if found else "No command matches"
        raise InvalidRequest(
            f"{problem} {name!r}.", hint="Run `imagen jobs` to list the commands."
        )
    return found[0]


def select_commands(
    requests: "RequestList", names: Sequence[str], *, key: str | None = None
) -> tuple[StoredRequest, ...]:
    """Return the commands with these ids, and the finished or unfinished one of a key.

    Raises:
        InvalidRequest: no command has the key, or several match a name.
    """
    found = [
        find_command(requests, name) for name in names if match_commands(requests, name)
    ]
    if key is not None:
        keyed = [
            each
            for each in requests.list_requests(KEYED_COMMANDS)
            if each.key.key == key
        ]
        if not keyed:
            raise InvalidRequest(f"No command has the key {key!r}.")
        found += keyed
    return tuple(found)


def forget_command(keys: "RequestKeys", command: StoredRequest) -> bool:
    """Forget a command and its key, but none of its open calls.

    Returns:
        False if another process works on it.
    """
    if command.answer is None and not keys.take_over(command.key):
        return False
    keys.release(command.key)
    return True


def _select(name: str, open_calls: tuple[OpenCall, ...]) -> OpenCall:
    if name == "last" and open_calls:
        return open_calls[-1]
    prefix = name.lower()
    found = [each for each in open_calls if name and each.call.id.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidRequest(
            f"The ids of {len(found)} open jobs begin with {name!r}.",
            hint="Give more characters of the id.",
        )
    raise InvalidRequest(
        f"No open job {name!r}.", hint="Run `imagen jobs` to list the open jobs."
    )
