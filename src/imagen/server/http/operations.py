"""Routes for operators: health and metrics."""

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST

from imagen.server.http.responses import READ_ERROR_RESPONSES
from imagen.server.http.roles import ROLE
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.service import ServerContext
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


OPEN = ("/health",)
"""Path prefixes that need no key."""
