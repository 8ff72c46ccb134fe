"""The routes of the OpenAI images API: generations and edits."""

from collections.abc import AsyncGenerator, Container, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, MultipartBody
from msgspec import Meta
from multipart import (  # type: ignore[import-untyped]  # it has no types
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
)

from imagen.bootstrap.requests import build_reference
from imagen.domain.errors import InvalidRequest
from imagen.domain.idempotency import LONGEST_KEY, RequestKey
from imagen.domain.reference import ReferenceImage
from imagen.server.errors import (
    REPLAYED,
    ErrorResponse,
    client_disconnected,
    invalid_value,
)
from imagen.server.http.delivery import watch_connection
from imagen.server.http.files import build_describer
from imagen.server.http.inline_images import (
    ImageSource,
    ImageSources,
    decode_image,
    list_sources,
)
from imagen.server.http.json_response import JsonResponse
from imagen.server.http.paths import EDITS, JSON_EDITS, find_deployment
from imagen.server.http.request_mapping import (
    build_work_item,
    check_limits,
    check_unknown_fields,
    normalize_fields,
    parse_model,
)
from imagen.server.http.responses import ERROR_RESPONSES, build_images_body
from imagen.server.http.schemas import (
    MAX_PROMPT_LENGTH,
    BackendParameter,
    GenerationFields,
    ImageFields,
    ImagesBody,
)
from imagen.server.http.sse import EventBuilder, stream_events
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.job import JobRequest
from imagen.server.jobs.service import ServerContext

AnyRequest: TypeAlias = Request[Any, Any, Any]
KeyHeader: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=LONGEST_KEY,
        description="Requests with the same key generate images only once, even if the"
        " server is restarted in between. The request continues when its client"
        " disconnects.",
    ),
]
DetachHeader: TypeAlias = Annotated[
    Literal["true", "false"] | None,
    HeaderParameter(
        name="Imagen-Detach",
        description="Whether the request continues when the client disconnects: true"
        " to its end, false not at all. Default: true with an Idempotency-Key;"
        " otherwise to its end once a paid backend may have it, and for a while before"
        " that.",
    ),
]

MAX_EDIT_IMAGES = 16
# Fields that change the answer or nothing, but not the image.
_ANSWER_FIELDS = frozenset(
    ["stream", "partial_images", "response_format", "user", "safety_identifier"]
)
# PHP-style name of a repeated field, which OpenAI's clients send for several images.
IMAGE_ALIAS = "image[]"


class EditFields(ImageFields, frozen=True, kw_only=True):
    """The form of `POST /v1/images/edits`."""

    input_fidelity: BackendParameter = None
    image: Annotated[
        list[UploadFile] | None,
        Meta(description="PNG, JPEG or WebP files; a mask applies to the first."),
    ] = None
    mask: Annotated[
        UploadFile | None,
        Meta(description="The first image is changed where the mask is transparent."),
    ] = None


class JsonEditFields(ImageFields, frozen=True, kw_only=True):
    """The JSON body of `POST /v1/images/edits`: images are data URLs."""

    input_fidelity: BackendParameter = None
    images: ImageSources = None
    image: ImageSources = None
    image_url: ImageSources = None
    mask: ImageSource | None = None


class VariationFields(EditFields, frozen=True, kw_only=True):
    """The form of `POST /v1/images/variations`."""

    prompt: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_PROMPT_LENGTH,
            description="Extension: what the variation shows.",
        ),
    ] = "A variation of this image"


_JSON_FIELDS = frozenset(GenerationFields.__struct_encode_fields__)
_JSON_EDIT_FIELDS = frozenset(JsonEditFields.__struct_encode_fields__)
_FORM_FIELDS = frozenset([*EditFields.__struct_encode_fields__, IMAGE_ALIAS])

INLINE_IMAGES = "inline_images"
"""Handler option of routes whose bodies contain images, up to `serve.body` bytes."""
RESPONSES: dict[int, ResponseSpec] = {
    200: ResponseSpec(
        ImagesBody, description="The images; with `stream`, server-sent events."
    ),
    **ERROR_RESPONSES,
}


@post("/v1/images/generations", status_code=200, responses=RESPONSES, tags=["images"])
async def generate_images(
    data: JSONBody[GenerationFields],
    request: AnyRequest,
    dispatcher: NamedDependency[RequestDispatcher],
    idempotency_key: KeyHeader = None,
    detach: DetachHeader = None,
) -> Response[Any]:
    """Generate images from a prompt."""
    return await _respond(
        data,
        request,
        dispatcher,
        kind="image_generation",
        unknown=await _list_unknown(request, _JSON_FIELDS),
        key=idempotency_key,
        detach=detach,
    )


class FormRequest(AnyRequest):
    """Checks a form's fields and size while it arrives: the first limit decides.

    Checked at the end, or with the announced size, a form with too many fields was
    refused for its size or for its fields, as the size of its picture had it. A JSON
    body has no fields until all of it is here.
    """

    async def stream(self) -> AsyncGenerator[bytes]:
        """Return the body in parts.

        Raises:
            ErrorResponse: the form has too many unknown fields (422).
            RequestEntityTooLarge: the body is too large.
        """
        limit = self.route_handler.resolve_request_max_body_size() or 0
        parser, unknown, more = None, set[str](), True
        # What is not a well-formed form is Litestar's to report.
        with suppress(MultipartError):
            parser = PushMultipartParser(self.content_type[1].get("boundary", ""))
        while more:
            message = await self.receive()
            if message["type"] != "http.request":
                raise client_disconnected()
            body, more = message["body"], message["more_body"]
            with suppress(MultipartError):
                for part in parser.parse(body[:limit]) if parser else ():
                    if isinstance(part, MultipartSegment):
                        unknown |= {part.name or ""} - _FORM_FIELDS
            check_unknown_fields(sorted(unknown))
            limit -= len(body)
            if limit < 0:
                raise RequestEntityTooLarge
            yield body
        yield b""


@post(
    EDITS,
    status_code=200,
    responses=RESPONSES,
    tags=["images"],
    request_class=FormRequest,
    opt={INLINE_IMAGES: True},
)
async def edit_images(
    data: MultipartBody[EditFields],
    request: AnyRequest,
    dispatcher: NamedDependency[RequestDispatcher],
    idempotency_key: KeyHeader = None,
    detach: DetachHeader = None,
) -> Response[Any]:
    """Edit images, or generate an image from them; a mask limits the changed area."""
    return await _respond_to_form(
        data, request, dispatcher, kind="image_edit", key=idempotency_key, detach=detach
    )


@post(
    "/v1/images/variations",
    status_code=200,
    responses=RESPONSES,
    tags=["images"],
    request_class=FormRequest,
    opt={INLINE_IMAGES: True},
)
async def vary_image(
    data: MultipartBody[VariationFields],
    request: AnyRequest,
    dispatcher: NamedDependency[RequestDispatcher],
    idempotency_key: KeyHeader = None,
    detach: DetachHeader = None,
) -> Response[Any]:
    """Generate variations of an image: an edit with a prompt of its own."""
    return await _respond_to_form(
        data,
        request,
        dispatcher,
        kind="image_variation",
        key=idempotency_key,
        detach=detach,
    )


async def _respond_to_form(
    data: EditFields,
    request: AnyRequest,
    dispatcher: RequestDispatcher,
    *,
    kind: str,
    key: str | None,
    detach: Literal["true", "false"] | None,
) -> Response[Any]:
    form = await request.form()
    aliased = [
        each for each in form.getall(IMAGE_ALIAS, []) if isinstance(each, UploadFile)
    ]
    uploads = [*(data.image or ()), *aliased]
    _check_image_count(uploads)
    context = dispatcher.context
    images = [await _read_reference(each, "image", context) for each in uploads]
    mask = None
    if data.mask is not None:
        mask = await _read_reference(data.mask, "mask", context)
    return await _respond(
        # Without the files: a job that waits would keep them a second time.
        msgspec.structs.replace(data, image=None, mask=None),
        request,
        dispatcher,
        kind=kind,
        unknown=[name for name in form if name not in _FORM_FIELDS],
        images=tuple(images),
        mask=mask,
        key=key,
        detach=detach,
    )


@post(JSON_EDITS, status_code=200, include_in_schema=False, opt={INLINE_IMAGES: True})
async def edit_json_images(
    data: JSONBody[JsonEditFields],
    request: AnyRequest,
    dispatcher: NamedDependency[RequestDispatcher],
    idempotency_key: KeyHeader = None,
    detach: DetachHeader = None,
) -> Response[Any]:
    """Edit images that the JSON body contains as data URLs."""
    sources = list_sources(data.images, data.image, data.image_url)
    _check_image_count(sources)
    context = dispatcher.context
    images = [await _decode_reference(each, "image", context) for each in sources]
    mask = data.mask and await _decode_reference(data.mask, "mask", context)
    return await _respond(
        msgspec.structs.replace(
            data, images=None, image=None, image_url=None, mask=None
        ),
        request,
        dispatcher,
        kind="image_edit",
        unknown=await _list_unknown(request, _JSON_EDIT_FIELDS),
        images=tuple(images),
        mask=mask or None,
        key=idempotency_key,
        detach=detach,
    )


async def _list_unknown(request: AnyRequest, known: Container[str]) -> list[str]:
    # Litestar ignores unknown fields while decoding; the raw body has their names.
    sent = msgspec.json.decode(await request.body(), type=dict[str, msgspec.Raw])
    return [name for name in sent if name not in known]


def _check_image_count(images: Sequence[object]) -> None:
    if not 1 <= len(images) <= MAX_EDIT_IMAGES:
        raise invalid_value("image", f"Send 1 to {MAX_EDIT_IMAGES} images as `image`.")


async def _respond(
    fields: ImageFields,
    request: AnyRequest,
    dispatcher: RequestDispatcher,
    *,
    kind: str,
    unknown: Sequence[str],
    images: tuple[ReferenceImage, ...] = (),
    mask: ReferenceImage | None = None,
    key: str | None,
    detach: Literal["true", "false"] | None,
) -> Response[Any]:
    context = dispatcher.context
    fields = normalize_fields(fields, deployment=find_deployment(request.scope))
    check_unknown_fields(unknown)
    check_limits(fields, context.settings.serve)
    backend, _ = parse_model(context.settings, fields.model)
    connection = watch_connection(request)
    job = await dispatcher.submit(
        JobRequest(
            backend=backend,
            build_item=partial(
                build_work_item,
                fields,
                context.runtime,
                caller=request.user,
                unknown=unknown,
                images=images,
                mask=mask,
            ),
            caller=request.user,
            key=None
            if key is None
            else RequestKey(
                caller=request.user,
                key=key,
                fingerprint=fingerprint(kind, fields, images, mask),
            ),
            fingerprint=""
            if key is not None
            else image_fingerprint(kind, fields, images, mask),
            detached=(True if key is not None else None)
            if detach is None
            else detach == "true",
            live=bool(fields.stream),
            prompt=fields.prompt,
            image_count=fields.n or 1,
        ),
        connection,
    )
    describe = build_describer(request, context, fields.response_format or "b64_json")
    if fields.stream:
        events = EventBuilder(
            kind=kind,
            describe=describe,
            started_at=context.now(),
            partial=fields.partial_images or 0,
        )
        await dispatcher.validate(job, connection)
        return stream_events(job, events)
    result = await job.follow(connection)
    replayed = result.replayed and key is not None
    body = partial(build_images_body, result, describe)
    return JsonResponse(
        # Links need the history and the files.
        await context.in_thread(body) if fields.response_format == "url" else body(),
        media_type="application/json",
        headers={REPLAYED: "true"} if replayed else {},
    )


_LATER_FIELDS = {"aspect_ratio", "width", "height", "steps", "cfg_scale"}


def fingerprint(
    kind: str,
    fields: ImageFields,
    images: Sequence[ReferenceImage],
    mask: ReferenceImage | None,
) -> str:
    """Return a hash that is equal for equal requests."""
    # A field that was added later is part of the hash only if it is given, so that
    # keys of requests from before still match.
    values = {
        name: value
        for name in ImageFields.__struct_fields__
        if (value := getattr(fields, name)) is not None or name not in _LATER_FIELDS
    }
    files = [file.sha256 for file in (*images, mask) if file is not None]
    content = msgspec.json.encode(
        [kind, values, files, mask is not None], order="sorted"
    )
    return sha256(content).hexdigest()


def image_fingerprint(
    kind: str,
    fields: ImageFields,
    images: Sequence[ReferenceImage],
    mask: ReferenceImage | None,
) -> str:
    """Return a hash that is equal for requests that ask for the same image."""
    values = {
        name: value
        for name, value in msgspec.structs.asdict(fields).items()
        if name not in _ANSWER_FIELDS and value is not None
    }
    files = [file.sha256 for file in images]
    content = [kind, values, files, mask and mask.sha256]
    return sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


async def _read_reference(
    upload: UploadFile, param: str, context: ServerContext
) -> ReferenceImage:
    content, name = await upload.read(), upload.filename or param
    return await _build_reference(content, name, param, context)


async def _decode_reference(
    source: ImageSource, param: str, context: ServerContext
) -> ReferenceImage:
    content = await context.in_thread(lambda: decode_image(source, param=param))
    return await _build_reference(content, param, param, context)


async def _build_reference(
    content: bytes, name: str, param: str, context: ServerContext
) -> ReferenceImage:
    try:
        # In a thread: hashing and checking a large image would block other requests.
        return await context.in_thread(lambda: build_reference(content, name=name))
    except InvalidRequest as error:
        raise ErrorResponse(
            400, error.message, param=param, code="invalid_image_file"
        ) from error
