"""The static files of the gallery: HTML, scripts, styles, icon."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from imagen.server.errors import ErrorResponse

STATIC = "/gallery/static/"
_FOLDER = Path(__file__).parent / "static"
_MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Scripts, styles, images and requests only from and to this server; with trusted types
# no script can turn text, such as a prompt, into markup.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)


@get("/", include_in_schema=False, sync_to_thread=False)
def get_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return the page; it contains no data and needs no key."""
    return _respond("index.html", request)


@get(STATIC + "{name:str}", include_in_schema=False, sync_to_thread=False)
def get_static(name: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return a script, the stylesheet or the icon."""
    return _respond(name, request)


def _respond(name: str, request: Request[Any, Any, Any]) -> Response[bytes]:
    file = _load_files().get(name)
    if file is None:
        raise ErrorResponse(404, "File not found.", code="not_found")
    content, media_type, etag = file
    headers = {
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if request.headers.get("if-none-match") == etag:
        return Response(b"", status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


@cache
def _load_files() -> Mapping[str, tuple[bytes, str, str]]:
    """Return content, media type and ETag by file name."""
    return {
        file.name: (
            content := file.read_bytes(),
            _MEDIA_TYPES[file.suffix],
            f'"{sha256(content).hexdigest()[:16]}"',
        )
        for file in _FOLDER.iterdir()
        if file.suffix in _MEDIA_TYPES
    }


OPEN = (STATIC,)
