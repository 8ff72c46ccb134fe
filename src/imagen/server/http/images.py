"""The routes of the OpenAI images API."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, MultipartBody
from msgspec import Meta

from imagen.bootstrap.requests import build_reference
from imagen.domain.errors import InvalidRequest
from imagen.domain.idempotency import LONGEST_KEY, RequestKey
from imagen.domain.reference import ReferenceImage
from imagen.server.errors import REPLAYED, ErrorResponse
from imagen.server.http import request_mapping
from imagen.server.http.errors import ERRORS
from imagen.server.http.files import build_linker
from imagen.server.http.responses import build_images_body
from imagen.server.http.schemas import (
    EditTextFields,
    GenerationFields,
    ImageFields,
    ImagesBody,
)
from imagen.server.http.sse import EventNames, stream_events
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.workers.work_item import WorkItem

AnyRequest: TypeAlias = Request[Any, Any, Any]
KeyHeader: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=LONGEST_KEY,
        description="The same key never generates twice, whatever happens in between;"
        " the request goes on when its client goes away.",
    ),
]
DetachHeader: TypeAlias = Annotated[
    Literal["true", "false"] | None,
    HeaderParameter(
        name="Imagen-Detach",
        description="Whether the request goes on when its client goes away. Default:"
        " true with an Idempotency-Key, else false: then it is cancelled.",
    ),
]

MOST_IMAGES_TO_EDIT = 16
ALSO = "image[]"
"""How some clients call `image`."""


class EditFields(EditTextFields, frozen=True, kw_only=True):
    """What `POST /v1/images/edits` takes, as a form."""

    image: Annotated[
        list[UploadFile] | None,
        Meta(description="PNG, JPEG or WebP; the first is the one that a mask is for."),
    ] = None
    mask: Annotated[
        UploadFile | None,
        Meta(description="Where it is transparent the first image is painted anew."),
    ] = None


ANSWERS: dict[int, ResponseSpec] = {
    200: ResponseSpec(ImagesBody, description="The images; or events, with `stream`."),
    **ERRORS,
}


@post("/v1/images/generations", status_code=200, responses=ANSWERS, tags=["images"])
async def generate_images(
    data: JSONBody[GenerationFields],
    request: AnyRequest,
    desk: NamedDependency[RequestDispatcher],
    idempotency_key: KeyHeader = None,
    detach: DetachHeader = None,
) -> Response[Any]:
    """Make images of a prompt."""
    given = msgspec.json.decode(await request.body(), type=dict[str, msgspec.Raw])
    asked = _Request(
        fields=data,
        unknown=_unknown(given, GenerationFields),
        tells=EventNames("image_generation"),
        key=idempotency_key,
        detach=detach,
    )
    return await _answer(asked, request, desk)


@post("/v1/images/edits", status_code=200, responses=ANSWERS, tags=["images"])
async def edit_images(
    data: MultipartBody[EditFields],
    request: AnyRequest,
    desk: NamedDependency[RequestDispatcher],
    idempotency_key: KeyHeader = None,
    detach: DetachHeader = None,
) -> Response[Any]:
    """Change images, or make one after them; a mask says what is painted anew."""
    form = await request.form()
    others = [each for each in form.getall(ALSO, []) if isinstance(each, UploadFile)]
    uploads = [*(data.image or ()), *others]
    if not 1 <= len(uploads) <= MOST_IMAGES_TO_EDIT:
        raise ErrorResponse(
            400,
            f"Send 1 to {MOST_IMAGES_TO_EDIT} files as `image`.",
            param="image",
            code="invalid_value",
        )
    asked = _Request(
        fields=_words(data),
        unknown=_unknown(dict.fromkeys(form.keys() - {ALSO}), EditFields),
        images=tuple([await _reference(upload, "image") for upload in uploads]),
        mask=None if data.mask is None else await _reference(data.mask, "mask"),
        tells=EventNames("image_edit"),
        key=idempotency_key,
        detach=detach,
    )
    return await _answer(asked, request, desk)


def _words(fields: EditFields) -> EditTextFields:
    """Return what was sent without its files."""
    names = EditTextFields.__struct_fields__
    return EditTextFields(**{name: getattr(fields, name) for name in names})


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request, whichever route it came by."""

    fields: ImageFields
    tells: EventNames
    unknown: tuple[str, ...]
    images: tuple[ReferenceImage, ...] = ()
    mask: ReferenceImage | None = None
    key: str | None
    detach: Literal["true", "false"] | None

    def fingerprint(self) -> str:
        """Return what is the same whenever the same is asked for."""
        plain = {
            name: getattr(self.fields, name) for name in ImageFields.__struct_fields__
        }
        files = [file.sha256 for file in (*self.images, self.mask) if file is not None]
        said = msgspec.json.encode(
            [self.tells.kind, plain, files, self.mask is not None], order="sorted"
        )
        return sha256(said).hexdigest()


async def _answer(
    asked: _Request, request: AnyRequest, desk: RequestDispatcher
) -> Response[Any]:
    fields, workshop = asked.fields, desk.workshop
    request_mapping.check_limits(fields, workshop.settings.serve, unknown=asked.unknown)
    backend, model = request_mapping.backend_and_model(workshop.settings, fields.model)
    order = WorkItem(
        backend=backend,
        ask=request_mapping.GenerateSpec(
            fields=fields,
            model=model,
            unknown=asked.unknown,
            images=asked.images,
            mask=asked.mask,
        ),
        count=fields.n or 1,
        caller=request.user,
        wish=request_mapping.build_output_options(fields),
        live=bool(fields.stream and fields.partial_images),
    )
    key = None
    if asked.key is not None:
        key = RequestKey(
            caller=request.user, key=asked.key, fingerprint=asked.fingerprint()
        )
    job = desk.submit(
        order,
        key=key,
        detached=asked.detach == "true" or (key is not None and asked.detach is None),
        live=bool(fields.stream),
    )
    how, link = fields.response_format or "b64_json", build_linker(request, workshop)
    if fields.stream:
        telling = asked.tells.telling(
            how=how, link=link, began=workshop.now(), partial=fields.partial_images or 0
        )
        return await stream_events(job, desk, telling)
    result = await desk.follow(job, _gone(request))
    return Response(
        build_images_body(result, how=how, link=link),
        media_type="application/json",
        headers={REPLAYED: "true"} if result.replayed else {},
    )


async def _gone(request: AnyRequest) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _reference(upload: UploadFile, param: str) -> ReferenceImage:
    try:
        return build_reference(await upload.read(), name=upload.filename or param)
    except InvalidRequest as error:
        raise ErrorResponse(
            400, error.message, param=param, code="invalid_image_file"
        ) from error


def _unknown(
    given: Mapping[str, object], kind: type[msgspec.Struct]
) -> tuple[str, ...]:
    known = kind.__struct_encode_fields__
    return tuple(name for name in given if name not in known)


routes: Sequence[Any] = (generate_images, edit_images)
