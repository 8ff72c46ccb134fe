"""Images under signed URLs that expire."""

import hmac
from functools import partial
from typing import Literal
from urllib.parse import urlencode

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery

from imagen.domain.media import EXTENSIONS
from imagen.domain.sidecar import Sidecar
from imagen.server.errors import ErrorBody, ErrorResponse
from imagen.server.http.file_response import AnyRequest, build_file_response
from imagen.server.http.responses import (
    READ_ERROR_RESPONSES,
    Describe,
    build_image_data,
)
from imagen.server.jobs.service import ServerContext

PATH = "/v1/files/"
URL_LIFETIME = 3600
"""Seconds until a URL expires, as with OpenAI's."""


def build_describer(
    request: AnyRequest,
    context: ServerContext,
    response_format: Literal["b64_json", "url"],
) -> Describe:
    """Return what describes images, with signed URLs below `serve.url` or the host."""
    base_url = context.settings.serve.url or str(request.base_url)
    expires = str(int(context.now().timestamp()) + URL_LIFETIME)

    def link(sidecar: Sidecar) -> str | None:
        if not context.has_file(sidecar):
            return None
        name = f"{sidecar.id}.{EXTENSIONS[sidecar.mime_type]}"
        signature = _signature(context.secret, name, expires)
        query = urlencode({"expires": expires, "signature": signature})
        return f"{base_url.rstrip('/')}{PATH}{name}?{query}"

    return partial(build_image_data, response_format=response_format, link=link)


@get(
    PATH + "{name:str}",
    responses={
        **READ_ERROR_RESPONSES,
        206: ResponseSpec(bytes, description="The byte range of the Range header."),
        304: ResponseSpec(None, description="The ETag is that of If-None-Match."),
        416: ResponseSpec(ErrorBody, description="The range is outside the file."),
    },
    tags=["images"],
    media_type="image/*",
)
async def get_file(
    name: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[ServerContext],
    expires: FromQuery[str] = "",
    signature: FromQuery[str] = "",
) -> Response[bytes]:
    """Return the image of a signed URL; needs no key."""
    expected = _signature(context.secret, name, expires)
    is_valid = hmac.compare_digest(
        expected.encode(), signature.encode(errors="replace")
    )
    now = context.now().timestamp()
    if not (is_valid and expires.isdecimal() and now <= int(expires)):
        raise _file_not_found()
    image_id = name.partition(".")[0]
    images = await context.in_thread(lambda: context.find_images([image_id]))
    if not images:
        raise _file_not_found()
    [image] = images
    return build_file_response(
        image.content,
        request,
        etag=f'"{image.sidecar.sha256}"',
        media_type=image.sidecar.mime_type,
        headers={
            "Cache-Control": f"private, max-age={URL_LIFETIME}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "cross-origin",
        },
    )


def _signature(secret: bytes, name: str, expires: str) -> str:
    message = f"{name}?{expires}".encode(errors="replace")
    return hmac.new(secret, message, "sha256").hexdigest()


def _file_not_found() -> ErrorResponse:
    return ErrorResponse(
        404,
        "The file does not exist, or its URL is invalid or has expired.",
        code="not_found",
    )


OPEN = (PATH,)
