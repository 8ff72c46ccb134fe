"""The gallery's routes for images: list, details, file, thumbnail, trash."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from imagen.domain.errors import InvalidRequest, StorageError
from imagen.domain.history import HistoryEntry, Position
from imagen.domain.media import SVG
from imagen.domain.money.usage import DIMENSIONS
from imagen.domain.sidecar import Sidecar
from imagen.server.errors import ErrorResponse, invalid_value
from imagen.server.gallery.library import (
    IMAGE_ID,
    ImageLibrary,
    check_id,
    file_exists,
    image_not_found,
)
from imagen.server.gallery.recipes import RequestRecipe, build_recipe
from imagen.server.http.file_response import (
    AnyRequest,
    build_file_response,
    has_current,
    not_modified,
)
from imagen.server.http.roles import ROLE
from imagen.server.jobs.board import shorten_prompt
from imagen.server.jobs.service import ServerContext

PATH = "/gallery/api/images"
MAX_IMAGES = 200
"""Images in one response."""
MAX_SEARCH_LENGTH = 1000
_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_CACHE_FOREVER = "private, max-age=31536000, immutable"


class ImageSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image in a list; `prompt` is its beginning."""

    id: str
    created_at: str
    prompt: str
    width: int
    height: int
    missing: bool = False


class ImagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of images, the newest first; `next` is the cursor of the next page."""

    images: tuple[ImageSummary, ...]
    next: str | None = None


class ImageDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters and the file of an image.

    Attributes:
        seed: The seed as text; JavaScript numbers are exact only up to 2^53.
        name: The name of the file, without its folder.
        recipe: The parameters as a command, as JSON and for curl; None if the metadata
            has invalid values.
    """

    sidecar: Sidecar
    seed: str | None
    name: str
    missing: bool
    recipe: RequestRecipe | None


class TrashResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a deletion; without a file it cannot be undone."""

    id: str
    can_undo: bool


@get(PATH, include_in_schema=False)
async def list_images(
    context: NamedDependency[ServerContext],
    words: Annotated[FromQuery[str], Meta(max_length=MAX_SEARCH_LENGTH)] = "",
    backend: FromQuery[str] = "",
    model: FromQuery[str] = "",
    caller: FromQuery[str] = "",
    week: FromQuery[str] = "",
    before: FromQuery[str] = "",
    limit: FromQuery[int] = 60,
) -> ImagePage:
    """List images that match the filters, the newest first."""
    since, until = _parse_week(week)
    position = _parse_cursor(before)
    limit = min(max(limit, 1), MAX_IMAGES)

    def find() -> ImagePage:
        found = context.stores.history.find(
            words=words[:MAX_SEARCH_LENGTH],
            backend=backend,
            model=model,
            caller=caller,
            since=since,
            until=until,
            before=position,
            limit=limit,
        )
        entries = list(found)
        cursor = None
        if len(entries) == limit:
            last = entries[-1].position
            cursor = f"{last.made.isoformat()}~{last.image_id}"
        return ImagePage(images=tuple(map(_summarize, entries)), next=cursor)

    return await context.in_thread(find)


@get("/gallery/api/counts", include_in_schema=False)
async def count_images(
    context: NamedDependency[ServerContext],
) -> Mapping[str, Mapping[str, int]]:
    """Count images by week, backend, model and caller."""
    history = context.stores.history
    return await context.in_thread(lambda: {by: history.count(by) for by in DIMENSIONS})


@get(PATH + "/{image_id:str}", include_in_schema=False)
async def get_image(
    image_id: FromPath[str],
    library: NamedDependency[ImageLibrary],
    context: NamedDependency[ServerContext],
) -> ImageDetails:
    """Return the details of an image."""
    entry = await library.entry(image_id)
    return ImageDetails(
        sidecar=entry.sidecar,
        seed=None if entry.sidecar.seed is None else str(entry.sidecar.seed),
        name=Path(entry.location).name.encode(errors="replace").decode(),
        missing=not file_exists(entry),
        recipe=build_recipe(entry.sidecar, context.settings.styles),
    )


@get(PATH + "/{image_id:str}/file", include_in_schema=False)
async def get_file(
    image_id: FromPath[str], request: AnyRequest, library: NamedDependency[ImageLibrary]
) -> Response[bytes]:
    """Return the stored file, or the byte range that the request names."""
    return await _send_file(await library.entry(image_id), request, library)


@get(PATH + "/{image_id:str}/thumbnail", include_in_schema=False)
async def get_thumbnail(
    image_id: FromPath[str], request: AnyRequest, library: NamedDependency[ImageLibrary]
) -> Response[bytes]:
    """Return the thumbnail (WebP); of an SVG the file itself."""
    entry = await library.entry(image_id)
    if entry.sidecar.mime_type == SVG:
        return await _send_file(entry, request, library)
    etag = f'"small-{entry.sidecar.sha256}"'
    if has_current(request, etag):
        return not_modified(_image_headers(etag))
    thumbnail = await library.thumbnail(entry)
    return Response(thumbnail, media_type="image/webp", headers=_image_headers(etag))


@delete(
    PATH + "/{image_id:str}",
    include_in_schema=False,
    status_code=200,
    opt={ROLE: "admin"},
)
async def trash_image(
    image_id: FromPath[str],
    library: NamedDependency[ImageLibrary],
    context: NamedDependency[ServerContext],
) -> TrashResult:
    """Move an image and its sidecar to the trash, and remove it from the history."""
    check_id(image_id)
    try:
        can_undo = await context.in_thread(lambda: library.bin.run(image_id))
    except InvalidRequest as error:
        raise image_not_found() from error
    except StorageError as error:
        raise _not_moved(error) from error
    return TrashResult(id=image_id, can_undo=can_undo)


@post(
    PATH + "/{image_id:str}/undo",
    include_in_schema=False,
    status_code=200,
    opt={ROLE: "admin"},
)
async def restore_image(
    image_id: FromPath[str],
    library: NamedDependency[ImageLibrary],
    context: NamedDependency[ServerContext],
) -> ImageSummary:
    """Restore an image from the trash."""
    check_id(image_id)
    try:
        found = await context.in_thread(lambda: library.bin.undo(image_id))
    except StorageError as error:
        raise _not_moved(error) from error
    if found.entry is None:
        raise image_not_found()
    return _summarize(found.entry)


def _not_moved(error: StorageError) -> ErrorResponse:
    """Return the response for an image that could not be moved.

    Unlike other storage errors this one has no path in its message.
    """
    return ErrorResponse(500, error.message, code=error.code)


def _summarize(entry: HistoryEntry) -> ImageSummary:
    sidecar = entry.sidecar
    return ImageSummary(
        id=sidecar.id,
        created_at=sidecar.created_at,
        prompt=shorten_prompt(sidecar.prompt),
        width=sidecar.width,
        height=sidecar.height,
        missing=not file_exists(entry),
    )


def _parse_cursor(cursor: str) -> Position | None:
    if not cursor:
        return None
    timestamp, _, image_id = cursor.partition("~")
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(timestamp)
        if moment.tzinfo is not None and IMAGE_ID.fullmatch(image_id):
            return Position(moment.astimezone(UTC), image_id)
    raise invalid_value(
        "before", "`before` must be the `next` value of an earlier response."
    )


def _parse_week(week: str) -> tuple[date | None, date | None]:
    """Return the Monday of an ISO week, and the Monday after it."""
    if not week:
        return None, None
    with suppress(ValueError, OverflowError):
        if match := _WEEK.fullmatch(week):
            monday = date.fromisocalendar(int(match[1]), int(match[2]), 1)
            return monday, monday + timedelta(days=7)
    raise invalid_value("week", "`week` must be an ISO week such as 2026-W47.")


async def _send_file(
    entry: HistoryEntry, request: AnyRequest, library: ImageLibrary
) -> Response[bytes]:
    etag = f'"{entry.sidecar.sha256}"'
    headers = _image_headers(etag)
    if has_current(request, etag):
        return not_modified(headers)
    content = await library.content(entry)
    if entry.sidecar.mime_type == SVG:
        # Opened as a page, it could run scripts of the model's author here. Inside an
        # <img> it runs none, and this header changes nothing.
        headers["Content-Disposition"] = "attachment"
    return build_file_response(
        content,
        request,
        etag=etag,
        media_type=entry.sidecar.mime_type,
        headers=headers,
    )


def _image_headers(etag: str) -> dict[str, str]:
    return {
        "ETag": etag,
        "Cache-Control": _CACHE_FOREVER,
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
