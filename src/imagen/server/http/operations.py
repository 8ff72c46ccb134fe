"""Routes for operators: health and metrics."""

from typing import Literal

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from prometheus_client import CONTENT_TYPE_LATEST

from imagen.server.http.json_response import JsonResponse
from imagen.server.http.responses import READ_ERROR_RESPONSES
from imagen.server.http.roles import ROLE
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.service import ServerContext
from imagen.server.readiness import OK, check_readiness
from imagen.version import __version__


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the server."""

    status: str = "ok"
    version: str = __version__


@get(
    "/health", responses=READ_ERROR_RESPONSES, tags=["operations"], sync_to_thread=False
)
def health() -> Health:
    """Return the state and version of the server; needs no key."""
    return Health()


class ServerReadiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the server can generate images; `ok` or the problem of each part."""

    status: Literal["ok", "not ready"]
    account: str
    disk: str
    workers: str
    backends: str


@get(
    "/ready",
    responses={
        **READ_ERROR_RESPONSES,
        503: ResponseSpec(ServerReadiness, description="A part has a problem."),
    },
    tags=["operations"],
)
async def ready(context: NamedDependency[ServerContext]) -> Response[ServerReadiness]:
    """Return whether images can be generated now; needs no key."""
    checks = await context.in_thread(lambda: check_readiness(context))
    is_ready = all(each == OK for each in checks.values())
    return JsonResponse(
        ServerReadiness(status="ok" if is_ready else "not ready", **checks),
        status_code=200 if is_ready else 503,
        headers={"Cache-Control": "no-store"},
    )


@get(
    "/metrics",
    responses=READ_ERROR_RESPONSES,
    tags=["operations"],
    media_type="text/plain",
    sync_to_thread=False,
    opt={ROLE: "admin"},
)
def metrics(
    context: NamedDependency[ServerContext],
    dispatcher: NamedDependency[RequestDispatcher],
) -> Response[str]:
    """Return Prometheus metrics."""
    metrics = context.metrics
    metrics.requests_open.set(dispatcher.open)
    for name, queue in context.queues.items():
        metrics.running.labels(name).set(queue.running)
        metrics.waiting.labels(name).set(queue.waiting)
    return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)


OPEN = ("/health", "/ready")
"""Path prefixes that need no key."""
