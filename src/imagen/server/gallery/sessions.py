"""Gallery sessions where API keys are required: a cookie that stands for a key."""

from hashlib import sha256
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from imagen.server.errors import ErrorResponse
from imagen.server.http.access_log import client_address
from imagen.server.http.json_response import JsonResponse
from imagen.server.http.roles import ROLE
from imagen.server.jobs.service import ServerContext
from imagen.server.keys import ApiKeys, Caller, Role

PATH = "/gallery/api/session"
SESSION_SECONDS = 30 * 24 * 3600
MAX_KEY_LENGTH = 1000


class Credentials(msgspec.Struct, frozen=True):
    """A key of `$IMAGEN_SERVE_KEYS`."""

    key: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_LENGTH)]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The session of a browser.

    Attributes:
        locked: True if a key is required and the browser has not sent one.
        keys: True if the server requires keys.
        role: What the caller may do; the page shows only that.
    """

    caller: str
    role: Role
    locked: bool
    keys: bool


@get(PATH, include_in_schema=False, sync_to_thread=False)
def get_session(
    request: Request[Any, Any, Any],
    keys: NamedDependency[ApiKeys],
    context: NamedDependency[ServerContext],
) -> Session:
    """Return the session of this browser."""
    cookies = request.headers.get("cookie", "").encode("latin-1", "replace")
    has_credentials = (
        "authorization" in request.headers
        or read_session(keys, context, cookies) is not None
    )
    return Session(
        caller=request.user,
        role=request.auth,
        locked=bool(keys) and not has_credentials,
        keys=bool(keys),
    )


@post(
    PATH,
    include_in_schema=False,
    status_code=200,
    sync_to_thread=False,
    opt={ROLE: "read"},
)
def open_session(
    data: JSONBody[Credentials],
    request: Request[Any, Any, Any],
    keys: NamedDependency[ApiKeys],
    context: NamedDependency[ServerContext],
) -> Response[Session]:
    """Exchange an API key for a session cookie."""
    expires = int(context.now().timestamp()) + SESSION_SECONDS
    key = data.key.strip()
    token = keys.create_session(key, expires=expires, secret=context.secret)
    caller = keys.caller_of(key)
    if token is None or caller is None:
        address = client_address({**request.scope})
        context.log(f"failed login from {address}: unknown API key in the gallery")
        raise ErrorResponse(
            401, "Invalid API key for this server.", code="invalid_api_key"
        )
    session = Session(caller=caller.name, role=caller.role, locked=False, keys=True)
    cookie = _cookie(token, request, context, max_age=SESSION_SECONDS)
    return JsonResponse(session, cookies=[cookie])


@delete(
    PATH,
    include_in_schema=False,
    status_code=200,
    sync_to_thread=False,
    opt={ROLE: "read"},
)
def close_session(
    request: Request[Any, Any, Any], context: NamedDependency[ServerContext]
) -> Response[None]:
    """Delete the session cookie."""
    return Response(None, cookies=[_cookie("", request, context, max_age=0)])


def read_session(
    keys: ApiKeys, context: ServerContext, cookies: bytes
) -> Caller | None:
    """Return the caller for a Cookie header; None without a valid session."""
    name, now = _cookie_name(context), int(context.now().timestamp())
    parts = (one.strip().partition("=") for one in cookies.decode("latin-1").split(";"))
    session = next((value for each, _, value in parts if each == name), "")
    return keys.caller_of_session(session, now=now, secret=context.secret)


def _cookie_name(context: ServerContext) -> str:
    # Browsers share cookies between all ports of a host: with one name, two servers on
    # one machine replaced each other's session.
    return "imagen_session_" + sha256(context.secret).hexdigest()[:8]


def _cookie(
    token: str, request: Request[Any, Any, Any], context: ServerContext, *, max_age: int
) -> Cookie:
    return Cookie(
        key=_cookie_name(context),
        value=token,
        max_age=max_age,
        httponly=True,
        samesite="strict",
        # The scheme of the request may be that which a trusted proxy names.
        secure=context.settings.serve.url.startswith("https:")
        or request.url.scheme == "https",
        path="/",
    )


OPEN = (PATH,)
