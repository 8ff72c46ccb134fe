"""The role that each route needs."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from imagen.server.errors import ErrorResponse
from imagen.server.http.origins import SAFE_METHODS
from imagen.server.keys import Role, includes

ROLE = "role"
"""Handler option: the role that a route needs, if it is not that of its method.

A route that changes nothing needs `read`, every other one `make`.
"""


# Asynchronous, as Litestar calls another function in a thread, for each request.
async def check_role(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Raise an ErrorResponse (403) unless the caller has the role of the route."""
    is_safe = connection.scope.get("method") in SAFE_METHODS
    usual: Role = "read" if is_safe else "make"
    needed: Role = handler.opt.get(ROLE, usual)
    role: Role = connection.auth
    if not includes(role, needed):
        raise ErrorResponse(
            403,
            f"The API key of {connection.user!r} has the role {role}; this request "
            f"needs {needed}.",
            code="insufficient_role",
        )
