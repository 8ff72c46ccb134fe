"""The application: which modules have routes, and what all of them share."""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from traceback import format_exception
from typing import Any, cast

import msgspec
from litestar import Litestar, Request, Response
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig

from imagen.domain.errors import JournalError, Misconfigured, StorageError
from imagen.server.errors import INTERNAL, ErrorBody, ErrorResponse, to_error_response
from imagen.server.gallery import generate, page, pictures, sessions, spending
from imagen.server.gallery.library import ImageLibrary
from imagen.server.http import files, images, models, operations
from imagen.server.http.middleware import AccessMiddleware, AsgiApp
from imagen.server.http.openapi import StructSchemaPlugin
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.service import ServerContext
from imagen.server.keys import ApiKeys
from imagen.version import __version__

MODULES: Sequence[Any] = (
    images,
    models,
    files,
    operations,
    page,
    sessions,
    pictures,
    spending,
    generate,
)
"""Each has `routes`, and may have `OPEN`: beginnings of paths that need no key."""


def build_app(
    workshop: ServerContext, desk: RequestDispatcher, *, keys: ApiKeys
) -> AsgiApp:
    """Return the whole server as an ASGI application, its guard included.

    Every route may ask for `workshop: NamedDependency[Workshop]`, and for the `desk`;
    `request.user` is the caller's name.
    """
    shelf = ImageLibrary(workshop)
    app = Litestar(
        route_handlers=[route for module in MODULES for route in module.routes],
        dependencies={
            "workshop": Provide(lambda: workshop, sync_to_thread=False),
            "desk": Provide(lambda: desk, sync_to_thread=False),
            "shelf": Provide(lambda: shelf, sync_to_thread=False),
            "keys": Provide(lambda: keys, sync_to_thread=False),
        },
        exception_handlers={Exception: _failing(workshop)},
        openapi_config=OpenAPIConfig(
            title="imagen",
            version=__version__,
            use_handler_docstrings=True,
            render_plugins=[StructSchemaPlugin(workshop.settings.serve)],
        ),
        request_max_body_size=workshop.settings.serve.body,
        lifespan=[_open(workshop, desk, shelf)],
        logging_config=None,
    )
    return AccessMiddleware(
        cast("AsgiApp", app),  # the same, with a type for each message
        keys=keys,
        hosts=workshop.settings.serve.hosts,
        anonymous=workshop.caller,
        open_paths=tuple(
            path for module in MODULES for path in getattr(module, "OPEN", ())
        ),
        session_of=sessions.build_session_reader(keys, workshop),
    )


def _open(workshop: ServerContext, desk: RequestDispatcher, shelf: ImageLibrary) -> Any:
    @asynccontextmanager
    async def opened(app: Litestar) -> AsyncGenerator[None]:
        del app
        workshop.start()
        try:
            yield
        finally:
            shelf.close()
            if await desk.finished():
                await workshop.close()

    return opened


def _failing(
    workshop: ServerContext,
) -> Callable[[Request[Any, Any, Any], Exception], Any]:
    def failed(
        request: Request[Any, Any, Any], error: Exception
    ) -> Response[ErrorBody]:
        if isinstance(error, HTTPException):
            failure = _of_the_framework(error)
        elif isinstance(error, UnicodeError) or type(error) is LookupError:
            failure = (
                ErrorResponse(  # of a part of a form, whose charset may be unheard of
                    400, f"A field cannot be read: {error}.", code="invalid_encoding"
                )
            )
        elif isinstance(error, RecursionError):
            failure = ErrorResponse(
                400, "The body is nested too deeply.", code="invalid_request"
            )
        else:
            failure = to_error_response(error)
        if isinstance(error, JournalError | Misconfigured | StorageError):
            workshop.say(f"{request.method} {request.url.path}: {error.message}")
        if failure.problem.code == INTERNAL:
            workshop.say(f"{request.method} {request.url.path}: a fault of our own")
            for line in "".join(format_exception(error)).splitlines():
                workshop.say(line)
        return Response(
            ErrorBody(error=failure.problem),
            status_code=failure.status,
            headers=failure.headers,
            media_type="application/json",
        )

    return failed


def _of_the_framework(error: HTTPException) -> ErrorResponse:
    """Return what the framework found wrong with a request, in OpenAI's words."""
    status, param, message = error.status_code, None, error.detail
    with suppress(msgspec.ValidationError):
        for wrong in msgspec.convert(error.extra, list[_Wrong]):
            param, message = wrong.param, wrong.words or message
            break
    return ErrorResponse(
        status,
        message,
        type="invalid_request_error" if status < _FAULT else "server_error",
        param=param,
        code=_CODES.get(status, "invalid_request"),
        headers=dict(error.headers or {}),
    )


class _Wrong(msgspec.Struct):
    """What the framework says of one field."""

    key: str = ""
    message: str = ""

    @property
    def param(self) -> str | None:
        """Which one it is; of one that is missing, only the message tells."""
        if self.key != _BODY:
            return self.key or None
        named = _NAMED.search(self.message)
        return named[1] if named else None

    @property
    def words(self) -> str:
        """What is wrong with it; of no body at all, only our name for it is said."""
        return "There is no body." if self.message == repr(_BODY) else self.message


_BODY = "data"
_NAMED = re.compile(r"field `([^`]+)`")


_FAULT = 500
_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    500: INTERNAL,
}
