"""The responses of Black Forest Labs, and their meaning.

Shapes: the OpenAPI schema of 2026-05-01, and public clients of FLUX 3 of autumn 2026.
Nothing here sends requests.
"""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec

from imagen.adapters.remote.json_values import (
    as_line,
    as_mapping,
    as_number,
    parse_time,
)
from imagen.adapters.remote.vendor import (
    JobFailed,
    JobOutput,
    JobRunning,
    JobStatus,
    JobSucceeded,
)
from imagen.domain.consumption import Used
from imagen.domain.errors import BackendError, InvalidRequest, Refused
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import Cost
from imagen.domain.seed import LARGEST_SEED

FILE_LIFETIME = timedelta(minutes=10)
"""How long BFL keeps an image after its end, unless its URL states that."""

_MICROS_PER_CREDIT = 10_000
_MAX_CREDITS = 1e9
_MAX_TEXT = 10_000
_REFUSED, _WITHHELD = "Request Moderated", "Content Moderated"
_FAILED, _UNKNOWN = {"Error", "Failed"}, "Task not found"


class TaskNotFound(InvalidRequest):
    """BFL does not have the task, or not in this region or for this key."""


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The response to a new task."""

    id: str
    polling_url: str = ""
    cost: object = None


class Account(msgspec.Struct, frozen=True):
    """The account of the key."""

    credits: float


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task, as described by one response."""

    status: str
    id: str = ""
    result: object = None
    progress: object = None
    details: object = None
    cost: object = None


def read_status(
    task: Task, job: ImageJob, model: str, *, reference: str, charged: object
) -> JobStatus:
    """Return the status of a task.

    Args:
        task: The task.
        job: The job.
        model: The name of its model.
        reference: The id of the job.
        charged: The cost in the response to the submit request; None if unknown.

    Raises:
        TaskNotFound: there is no such task.
    """
    details = _describe(task.details)
    more = f": {details}" if details else ""
    error: BackendError
    match task.status:
        case "Ready":
            return _read_result(task, job, model, reference, charged)
        case _ if task.status == _UNKNOWN:
            raise TaskNotFound("BFL has no such task.")
        case _ if task.status == _REFUSED:
            error = Refused(
                f"BFL refuses the request because of its content{more}.",
                hint="Change the prompt or the reference images.",
            )
        case _ if task.status == _WITHHELD:
            error = Refused(
                f"BFL withholds the image because of its content{more}.",
                hint="Change the prompt or the seed.",
            )
        case _ if task.status in _FAILED:
            error = BackendError(f"BFL failed to make the image{more}.")
        case _:
            # New states are added, so an unknown one is not an end.
            return JobRunning(
                reference=reference,
                fraction=as_number(task.progress),
                note="queued" if task.status == "Pending" else task.status.lower(),
            )
    return JobFailed(error=error, reference=reference)


def _read_result(
    task: Task, job: ImageJob, model: str, reference: str, charged: object
) -> JobSucceeded | JobFailed:
    result = as_mapping(task.result)
    url, seed, prompt = (result.get(name) for name in ("sample", "seed", "prompt"))
    cost = read_cost(charged if task.cost is None else task.cost)
    if not (isinstance(url, str) and url):
        error = BackendError("BFL finished the task without an image.")
        return JobFailed(error=error, reference=reference)
    if not (type(seed) is int and 0 <= seed <= LARGEST_SEED):
        seed = job.seed
    revised = isinstance(prompt, str) and prompt not in {"", job.prompt}
    kept_until = _read_expiry(url, result.get("end_time"))
    return JobSucceeded(
        outputs=(JobOutput(url=url, seed=seed, kept_until=kept_until),),
        reference=reference,
        model=model,
        steps=job.steps,
        cost=cost,
        used=Used(images=1),
        parameters={
            "task": reference.partition("@")[0],
            **({"revised_prompt": prompt} if revised else {}),
        },
    )


def read_cost(charged: object) -> Cost:
    """Return the cost in credits, of which one is a cent; unknown if it is missing."""
    amount = as_number(charged)
    if amount is None or not 0 <= amount <= _MAX_CREDITS:
        return Cost()
    return Cost(micros=round(amount * _MICROS_PER_CREDIT), source="reported")


def _read_expiry(url: str, end: object) -> datetime | None:
    """Return when BFL deletes the image; None if it cannot be told."""
    # A signed URL states its end (`se`). FLUX.2 keeps an image for 10 minutes, FLUX 3
    # for about an hour.
    if stated := parse_qs(urlsplit(url).query).get("se"):
        return parse_time(stated[0])
    ended = as_number(end)
    if ended is None:
        return None
    try:
        return datetime.fromtimestamp(ended, UTC) + FILE_LIFETIME
    except (OverflowError, OSError, ValueError):
        return None


def _describe(details: object) -> str:
    """Return details that are a text, or an object with lists of texts."""
    if values := as_mapping(details).values():
        details = ", ".join(as_line(v, longest=_MAX_TEXT) for v in values)
    return as_line(details, longest=_MAX_TEXT)
