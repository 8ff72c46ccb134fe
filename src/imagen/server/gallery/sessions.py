"""Who looks at the gallery where keys are required: a key, then a cookie for it."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from imagen.server.errors import ErrorResponse
from imagen.server.jobs.service import ServerContext
from imagen.server.keys import ApiKeys

PATH = "/gallery/api/session"
LASTS = 30 * 24 * 3600
"""Seconds."""
LONGEST_KEY = 1000


class Credentials(msgspec.Struct, frozen=True):
    """A key of `$IMAGEN_SERVE_KEYS`."""

    key: Annotated[str, Meta(min_length=1, max_length=LONGEST_KEY)]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who looks.

    Attributes:
        caller: Their name; "" if nobody said.
        locked: Whether a key is needed, and there is none.
        keys: Whether keys are needed at all.
    """

    caller: str
    locked: bool
    keys: bool


@get(PATH, include_in_schema=False, sync_to_thread=False)
def get_session(
    request: Request[Any, Any, Any],
    keys: NamedDependency[ApiKeys],
    workshop: NamedDependency[ServerContext],
) -> Session:
    """Say who looks."""
    cookies = request.headers.get("cookie", "").encode("latin-1", "replace")
    known = build_session_reader(keys, workshop)(cookies) is not None
    known = known or "authorization" in request.headers
    return Session(
        caller=request.user, locked=bool(keys) and not known, keys=bool(keys)
    )


@post(PATH, include_in_schema=False, status_code=200, sync_to_thread=False)
def open_session(
    data: JSONBody[Credentials],
    keys: NamedDependency[ApiKeys],
    workshop: NamedDependency[ServerContext],
) -> Response[Session]:
    """Take a key, and return a cookie that stands for it."""
    until = int(workshop.now().timestamp()) + LASTS
    token = keys.session_of(data.key.strip(), until=until, secret=workshop.secret)
    if token is None:
        raise ErrorResponse(
            401, "That is no key of this server.", code="invalid_api_key"
        )
    session = Session(
        caller=keys.caller_of(data.key.strip()) or "", locked=False, keys=True
    )
    return Response(session, cookies=[_cookie(token, workshop, lasts=LASTS)])


@delete(PATH, include_in_schema=False, status_code=200, sync_to_thread=False)
def close_session(workshop: NamedDependency[ServerContext]) -> Response[None]:
    """Have the browser forget the cookie."""
    return Response(None, cookies=[_cookie("", workshop, lasts=0)])


def build_session_reader(
    keys: ApiKeys, workshop: ServerContext
) -> Callable[[bytes], str | None]:
    """Return what says whom a browser's cookies stand for."""
    name = _name(workshop)

    def session_of(cookies: bytes) -> str | None:
        now = int(workshop.now().timestamp())
        parts = (
            one.strip().partition("=") for one in cookies.decode("latin-1").split(";")
        )
        session = next((value for each, _, value in parts if each == name), "")
        return keys.caller_in(session, now=now, secret=workshop.secret)

    return session_of


def _name(workshop: ServerContext) -> str:
    """Return a name of this server's own: to a browser ports are not part of a host."""
    return "imagen_session_" + sha256(workshop.secret).hexdigest()[:8]


def _cookie(token: str, workshop: ServerContext, *, lasts: int) -> Cookie:
    return Cookie(
        key=_name(workshop),
        value=token,
        max_age=lasts,
        httponly=True,
        samesite="strict",
        secure=(workshop.settings.serve.url or "").startswith("https:"),
        path="/",
    )


routes: Sequence[Any] = (get_session, open_session, close_session)
OPEN = (PATH,)
