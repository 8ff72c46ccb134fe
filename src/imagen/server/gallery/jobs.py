"""The gallery's routes for jobs: start, list, follow, previews."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from typing import Any, TypeAlias

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import Stream as StreamResponse

from imagen.domain.idempotency import RequestKey
from imagen.domain.printable import encode_json
from imagen.server.errors import ErrorResponse
from imagen.server.http.delivery import watch_connection
from imagen.server.http.images import KeyHeader, fingerprint
from imagen.server.http.request_mapping import (
    build_work_item,
    check_limits,
    normalize_fields,
    parse_model,
)
from imagen.server.http.schemas import MAX_PARTIAL_IMAGES, GenerationFields
from imagen.server.http.sse import EVENT_STREAM, KEEP_ALIVE_INTERVAL
from imagen.server.jobs.board import JobBoard, JobView, describe_job
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.job import JobRequest
from imagen.server.jobs.service import ServerContext

PATH = "/gallery/api/jobs"
SHORTEST_INTERVAL = 0.1
INTERVAL_PER_JOB = 0.002
"""Seconds between two events; the changes in between become one."""

AnyRequest: TypeAlias = Request[Any, Any, Any]


@get(PATH, include_in_schema=False)
async def list_jobs(
    request: AnyRequest, dispatcher: NamedDependency[RequestDispatcher]
) -> tuple[JobView, ...]:
    """List your jobs that are running, or ended a short time ago, the oldest first."""
    return dispatcher.board.list_jobs(request.user, now=dispatcher.context.now())


@post(PATH, include_in_schema=False, status_code=202)
async def start_job(
    data: JSONBody[GenerationFields],
    request: AnyRequest,
    dispatcher: NamedDependency[RequestDispatcher],
    idempotency_key: KeyHeader = None,
) -> JobView:
    """Start a job that continues without its client, once per key."""
    context = dispatcher.context
    fields = msgspec.structs.replace(
        normalize_fields(data), stream=True, partial_images=MAX_PARTIAL_IMAGES
    )
    check_limits(fields, context.settings.serve)
    backend, _ = parse_model(context.settings, fields.model)
    key = build_key(request, idempotency_key, fingerprint("gallery", fields, (), None))
    asked = JobRequest(
        backend=backend,
        build_item=partial(
            build_work_item, fields, context.runtime, caller=request.user
        ),
        caller=request.user,
        key=key,
        detached=True,
        live=True,
        prompt=data.prompt,
        image_count=data.n or 1,
    )
    return dispatcher.board.find(key) or await submit(asked, request, dispatcher)


@delete(PATH, include_in_schema=False, status_code=200)
async def forget_ended_jobs(
    request: AnyRequest, dispatcher: NamedDependency[RequestDispatcher]
) -> tuple[JobView, ...]:
    """List your ended jobs no longer; their images stay."""
    dispatcher.board.forget_ended(request.user)
    return dispatcher.board.list_jobs(request.user, now=dispatcher.context.now())


@get(PATH + "/events", include_in_schema=False)
async def follow_jobs(
    request: AnyRequest, dispatcher: NamedDependency[RequestDispatcher]
) -> StreamResponse:
    """Send your jobs as server-sent events: `jobs` with all, then `changed` ones."""
    stream = _follow(dispatcher.board, request.user, dispatcher.context)
    return StreamResponse(stream, media_type="text/event-stream", headers=EVENT_STREAM)


@get(PATH + "/{job_id:str}/previews/{number:int}", include_in_schema=False)
async def get_preview(
    job_id: FromPath[str],
    number: FromPath[int],
    request: AnyRequest,
    dispatcher: NamedDependency[RequestDispatcher],
) -> Response[bytes]:
    """Return the latest preview of an image."""
    preview = dispatcher.board.find_preview(request.user, job_id, number)
    if preview is None:
        raise ErrorResponse(404, "There is no preview.", code="not_found")
    return Response(
        preview.content,
        media_type=preview.media_type,
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


def build_key(request: AnyRequest, key: str | None, content: str) -> RequestKey:
    """Return the idempotency key of a job.

    Args:
        key: The Idempotency-Key header.
        content: The fingerprint of the request.

    Raises:
        ErrorResponse: the key is missing (400).
    """
    if key is None:
        raise ErrorResponse(
            400,
            "A job needs an Idempotency-Key header.",
            param="Idempotency-Key",
            code="invalid_value",
        )
    return RequestKey(caller=request.user, key=key, fingerprint=content)


async def submit(
    asked: JobRequest, request: AnyRequest, dispatcher: RequestDispatcher
) -> JobView:
    """Start a job, and return it.

    Raises:
        ErrorResponse: a different request is running with this key (422).
    """
    job = await dispatcher.submit(asked, watch_connection(request))
    return describe_job(job)


async def _follow(
    board: JobBoard, caller: str, context: ServerContext
) -> AsyncGenerator[bytes]:
    with board.listen(caller) as changed:
        sent: dict[str, JobView] | None = None
        while not board.closed:
            changed.clear()
            jobs = {
                view.id: view for view in board.list_jobs(caller, now=context.now())
            }
            if sent is None or sent.keys() - jobs.keys():
                yield _encode("jobs", jobs.values())
            elif new := [job for job in jobs.values() if sent.get(job.id) != job]:
                yield _encode("changed", new)
            sent = jobs
            await asyncio.sleep(SHORTEST_INTERVAL + len(jobs) * INTERVAL_PER_JOB)
            try:
                await asyncio.wait_for(changed.wait(), KEEP_ALIVE_INTERVAL)
            except TimeoutError:
                yield b": keep-alive\n\n"


def _encode(event: str, jobs: Iterable[JobView]) -> bytes:
    data = encode_json(list(jobs))
    return f"event: {event}\ndata: ".encode() + data + b"\n\n"
