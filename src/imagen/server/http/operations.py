"""Routes for whoever looks after the server."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST

from imagen.server.http.errors import REFUSALS
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.service import ServerContext
from imagen.version import __version__


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """That the server is there."""

    status: str = "ok"
    version: str = __version__


@get("/health", responses=REFUSALS, tags=["operations"], sync_to_thread=False)
def health() -> Health:
    """Say that the server is there; needs no key."""
    return Health()


@get(
    "/metrics",
    responses=REFUSALS,
    tags=["operations"],
    media_type="text/plain",
    sync_to_thread=False,
)
def metrics(
    workshop: NamedDependency[ServerContext], desk: NamedDependency[RequestDispatcher]
) -> Response[str]:
    """Count what was done, for Prometheus."""
    meters = workshop.meters
    meters.requests_open.set(desk.open)
    for name, lane in workshop.lanes.items():
        meters.running.labels(name).set(lane.running)
        meters.waiting.labels(name).set(lane.waiting)
    return Response(meters.render(), media_type=CONTENT_TYPE_LATEST)


routes: Sequence[Any] = (health, metrics)
"""What this module answers."""

OPEN = ("/health",)
"""Which of it needs no key."""
