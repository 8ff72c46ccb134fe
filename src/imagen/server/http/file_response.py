"""Responses with the content of a file: ETag, conditional requests, byte ranges."""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from litestar import Request, Response

from imagen.server.errors import ErrorResponse

AnyRequest: TypeAlias = Request[Any, Any, Any]

_ETAG = re.compile(r'"[^"]*"')
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def has_current(request: AnyRequest, etag: str) -> bool:
    """Return True if the client already has the file with this ETag."""
    condition = request.headers.get("if-none-match", "")
    return condition == "*" or etag in _ETAG.findall(condition)


def not_modified(headers: Mapping[str, str]) -> Response[bytes]:
    """Return the response to a client that has the file."""
    return Response(b"", status_code=304, headers=headers)


def build_file_response(
    content: bytes,
    request: AnyRequest,
    *,
    etag: str,
    media_type: str,
    headers: Mapping[str, str],
) -> Response[bytes]:
    """Return the file, or the byte range that the request names.

    Raises:
        ErrorResponse: the range is outside the file (416).
    """
    headers = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
    if has_current(request, etag):
        return not_modified(headers)
    first, end = _parse_range(request, etag, len(content))
    if first is None:
        return Response(content, media_type=media_type, headers=headers)
    headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
    return Response(
        content[first:end], status_code=206, media_type=media_type, headers=headers
    )


def _parse_range(request: AnyRequest, etag: str, size: int) -> tuple[int | None, int]:
    """Return the first byte and the end of the requested range; None for all.

    Raises:
        ErrorResponse: the range is outside the file (416).
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or not any(match.groups()):
        return None, size
    if request.headers.get("if-range", etag) != etag:
        return None, size
    if match[1]:
        first, end = int(match[1]), int(match[2]) + 1 if match[2] else size
    else:
        first, end = max(0, size - int(match[2])), size
    if first >= min(end, size):
        raise ErrorResponse(
            416,
            "The requested range is outside the file.",
            code="invalid_range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return first, min(end, size)
