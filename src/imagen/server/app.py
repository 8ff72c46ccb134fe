"""The ASGI application: all routes, their shared dependencies, error responses."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from traceback import format_exception
from types import ModuleType
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
from litestar import Litestar, Request, Response, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.status_codes import (
    HTTP_404_NOT_FOUND,
    HTTP_405_METHOD_NOT_ALLOWED,
    HTTP_413_REQUEST_ENTITY_TOO_LARGE,
)

from imagen.domain.errors import JournalError, Misconfigured, StorageError
from imagen.server.errors import INTERNAL, ErrorBody, ErrorResponse, to_error_response
from imagen.server.gallery import generate, page, pictures, sessions, spending
from imagen.server.gallery import jobs as gallery_jobs
from imagen.server.gallery.library import ImageLibrary
from imagen.server.http import files, images, jobs, models, operations
from imagen.server.http.delivery import DeliveryMiddleware
from imagen.server.http.forwarded import TrustedProxies
from imagen.server.http.json_response import JsonResponse
from imagen.server.http.middleware import AccessMiddleware, AsgiApp
from imagen.server.http.openapi import StructSchemaPlugin
from imagen.server.http.origins import Origins
from imagen.server.http.rephrase import describe_field_error
from imagen.server.http.roles import check_role
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.service import ServerContext
from imagen.server.keys import ApiKeys
from imagen.version import __version__

ROUTE_MODULES: Sequence[ModuleType] = (
    images,
    jobs,
    models,
    files,
    operations,
    page,
    sessions,
    pictures,
    spending,
    generate,
    gallery_jobs,
)
"""Modules with route handlers, and optionally `OPEN`: path prefixes without a key."""

MAX_JSON_BYTES = 1_000_000
"""The largest body of a request without images; less if `serve.body` is."""


def build_app(
    context: ServerContext, dispatcher: RequestDispatcher, *, keys: ApiKeys
) -> AsgiApp:
    """Return the ASGI application, wrapped in the access middleware.

    Route handlers can declare `context: NamedDependency[ServerContext]`, `dispatcher`,
    `library` and `keys`; `request.user` is the name of the caller, `request.auth` the
    role.
    """
    library = ImageLibrary(context)
    serve = context.settings.serve
    handlers = [
        each
        for module in ROUTE_MODULES
        for each in vars(module).values()
        if isinstance(each, HTTPRouteHandler)
    ]
    inline = [each for each in handlers if images.INLINE_IMAGES in each.opt]
    app = Litestar(
        route_handlers=[
            *(each for each in handlers if each not in inline),
            Router(path="/", route_handlers=inline, request_max_body_size=serve.body),
        ],
        dependencies={
            "context": Provide(lambda: context, sync_to_thread=False),
            "dispatcher": Provide(lambda: dispatcher, sync_to_thread=False),
            "library": Provide(lambda: library, sync_to_thread=False),
            "keys": Provide(lambda: keys, sync_to_thread=False),
        },
        before_request=check_role,
        exception_handlers={Exception: partial(_handle_exception, context)},
        openapi_config=OpenAPIConfig(
            title="imagen",
            version=__version__,
            use_handler_docstrings=True,
            render_plugins=[StructSchemaPlugin(serve)],
        ),
        response_class=JsonResponse,
        request_max_body_size=min(serve.body, MAX_JSON_BYTES),
        lifespan=[_lifespan(context, dispatcher, library)],
        logging_config=None,
    )
    return AccessMiddleware(
        # Litestar is an ASGI application with a type of its own for each message.
        DeliveryMiddleware(cast("AsgiApp", app)),
        keys=keys,
        origins=Origins(hosts=serve.hosts, url=serve.url, origins=serve.origins),
        proxies=TrustedProxies(serve.trusted_proxies),
        base_path=urlsplit(serve.url).path.rstrip("/"),
        anonymous=context.caller,
        open_paths=tuple(
            path for module in ROUTE_MODULES for path in getattr(module, "OPEN", ())
        ),
        session_of=partial(sessions.read_session, keys, context),
        log=context.log,
    )


@asynccontextmanager
async def _lifespan(
    context: ServerContext, dispatcher: RequestDispatcher, library: ImageLibrary
) -> AsyncGenerator[None]:
    context.start()
    try:
        yield
    finally:
        library.close()
        # With requests still open the workers and the database stay in use: the
        # process exits without closing them, and the next server resumes.
        if await dispatcher.drain():
            await context.close()


def _handle_exception(
    context: ServerContext, request: Request[Any, Any, Any], error: Exception
) -> Response[ErrorBody]:
    response = _to_response(error, request)
    where = f"{request.state.request_id} {request.method} {request.url.path}"
    if isinstance(error, JournalError | Misconfigured | StorageError):
        context.log(f"{where}: {error.message}")
    if response.details.code == INTERNAL:
        context.log(f"{where}: internal error")
        for line in "".join(format_exception(error)).splitlines():
            context.log(line)
    return JsonResponse(
        ErrorBody(error=response.details),
        status_code=response.status,
        headers=response.headers,
        media_type="application/json",
    )


def _to_response(error: Exception, request: Request[Any, Any, Any]) -> ErrorResponse:
    if isinstance(error, HTTPException):
        return _from_litestar(error, request)
    # Litestar decodes each part of a form with the charset that the part declares: an
    # unknown charset is a LookupError, an undecodable value a UnicodeError.
    if isinstance(error, UnicodeError) or type(error) is LookupError:
        return ErrorResponse(
            400, f"A field cannot be decoded: {error}.", code="invalid_encoding"
        )
    if isinstance(error, RecursionError):
        return ErrorResponse(
            400, "The body is nested too deeply.", code="invalid_request"
        )
    return to_error_response(error)


def _from_litestar(
    error: HTTPException, request: Request[Any, Any, Any]
) -> ErrorResponse:
    """Return Litestar's error about a request in OpenAI's format."""
    status = error.status_code
    param, message = describe_field_error("", error.detail)
    with suppress(msgspec.ValidationError):
        for each in msgspec.convert(error.extra, list[_FieldError])[:1]:
            text = each.message or error.detail
            param, message = describe_field_error(each.key, text)
    if status == HTTP_404_NOT_FOUND:
        message = f"No route {request.url.path[:200]!r}. `GET /schema` lists them."
    if status == HTTP_405_METHOD_NOT_ALLOWED:
        message = f"{request.url.path[:200]} does not support {request.method}."
    if status == HTTP_413_REQUEST_ENTITY_TOO_LARGE:
        limit = request.route_handler.resolve_request_max_body_size()
        message = f"The body is larger than {limit} bytes."
    return ErrorResponse(
        status,
        message,
        param=param,
        code=_CODES.get(status, "invalid_request"),
        headers=dict(error.headers or {}),
    )


class _FieldError(msgspec.Struct):
    """Litestar's message about one field of a request."""

    key: str = ""
    message: str = ""


_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    500: INTERNAL,
}
