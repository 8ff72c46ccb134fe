"""The page itself, and its scripts, styles and icons: small files of this package."""

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath

from imagen.server.errors import ErrorResponse

STATIC = "/gallery/static/"
_FOLDER = Path(__file__).parent / "static"
_KINDS: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
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
"""Nothing but what this server sends is run, shown or asked; no text becomes markup."""


class StaticFile(msgspec.Struct, frozen=True):
    """A file of the page, as it is sent."""

    content: bytes
    kind: str
    tag: str


@get("/", include_in_schema=False, sync_to_thread=False)
def get_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return the page; it knows nothing yet, so it needs no key."""
    return _sent("index.html", request)


@get(STATIC + "{name:str}", include_in_schema=False, sync_to_thread=False)
def get_static(name: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return what the page is made of."""
    return _sent(name, request)


def _sent(name: str, request: Request[Any, Any, Any]) -> Response[bytes]:
    page = _pages().get(name)
    if page is None:
        raise ErrorResponse(404, "There is no such file.", code="not_found")
    headers = {
        "ETag": page.tag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if request.headers.get("if-none-match") == page.tag:
        return Response(b"", status_code=304, headers=headers)
    return Response(page.content, media_type=page.kind, headers=headers)


@cache
def _pages() -> Mapping[str, StaticFile]:
    return {
        file.name: StaticFile(
            content := file.read_bytes(),
            _KINDS[file.suffix],
            f'"{sha256(content).hexdigest()[:16]}"',
        )
        for file in _FOLDER.iterdir()
        if file.suffix in _KINDS
    }


routes: Sequence[Any] = (get_page, get_static)
OPEN = ("/", STATIC)
