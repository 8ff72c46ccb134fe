"""The role that each route needs."""

from typing import Any

from litestar import Request

from imagen.server.errors import ErrorResponse
from imagen.server.http.origins import SAFE_METHODS
from imagen.server.keys import Role, includes

ROLE = "role"
"""Handler option: the role that a route needs, if it is not that of its method.

A route that changes nothing needs `read`, every other one `make`.
"""


# Asynchronous, as Litestar calls another function in a thread, for each request. Not a
# guard, for which Litestar copies the route handler each time.
async def check_role(request: Request[Any, Any, Any]) -> None:
    """Raise an ErrorResponse (403) unless the caller has the role of the route."""
    usual: Role = "read" if request.method in SAFE_METHODS else "make"
    needed: Role = request.route_handler.opt.get(ROLE, usual)
    role: Role = request.auth
    if not includes(role, needed):
        raise ErrorResponse(
            403,
            f"The API key of {request.user!r} has the role {role}; this request "
            f"needs {needed}.",
            code="insufficient_role",
        )
