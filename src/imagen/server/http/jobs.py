"""The routes of running requests: list them, and cancel one."""

from typing import Any, Literal

import msgspec
from litestar import Request, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from imagen.server.errors import ErrorResponse
from imagen.server.http.responses import READ_ERROR_RESPONSES
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.job import Job
from imagen.server.keys import includes


class JobData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An unfinished request.

    Attributes:
        id: The `Imagen-Job` header of its answer.
        created: Seconds since 1970.
        place: 1 for the first request in the queue of the backend.
        connections: The number of clients that wait for the answer.
    """

    id: str
    object: Literal["job"] = "job"
    created: int
    model: str
    status: Literal["queued", "in_progress"]
    place: int | None = None
    connections: int


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """The unfinished requests of a caller, the oldest first."""

    object: Literal["list"] = "list"
    data: tuple[JobData, ...]


@get("/v1/jobs", responses=READ_ERROR_RESPONSES, tags=["jobs"])
async def list_jobs(
    request: Request[Any, Any, Any], dispatcher: NamedDependency[RequestDispatcher]
) -> JobList:
    """List your unfinished requests."""
    return JobList(data=tuple(map(_describe, dispatcher.list_jobs(request.user))))


@delete(
    "/v1/jobs/{job_id:str}",
    status_code=200,
    responses=READ_ERROR_RESPONSES,
    tags=["jobs"],
)
async def cancel_job(
    job_id: FromPath[str],
    request: Request[Any, Any, Any],
    dispatcher: NamedDependency[RequestDispatcher],
) -> JobData:
    """Cancel one of your unfinished requests at once; the role `admin`: any one."""
    is_admin = includes(request.auth, "admin")
    for job in dispatcher.list_jobs(None if is_admin else request.user):
        if job.id == job_id:
            found = _describe(job)
            dispatcher.cancel(job)
            return found
    raise ErrorResponse(
        404, "No unfinished request of yours has this id.", code="not_found"
    )


def _describe(job: Job) -> JobData:
    return JobData(
        id=job.id,
        created=int(job.created_at.timestamp()),
        model=job.backend,
        status="queued" if job.position else "in_progress",
        place=job.position or None,
        connections=job.followers,
    )
