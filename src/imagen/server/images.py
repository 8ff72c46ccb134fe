"""The routes of the OpenAI images API."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody

from imagen.domain.result import GenerationReport, StoredImage
from imagen.server import wishes
from imagen.server.failures import ErrorBody, failure_of
from imagen.server.shapes import GenerationFields, ImageData, ImageFields, ImagesBody
from imagen.server.workshop import Order, Workshop
from imagen.usecases.cancellation import Cancellation

REFUSALS: dict[int, ResponseSpec] = {
    status: ResponseSpec(data_container=ErrorBody, description=words)
    for status, words in {
        400: "The request makes no sense, or the backend will not make it.",
        401: "The API key is missing or wrong.",
        402: "Over budget, or out of credit.",
        403: "From a page of another site.",
        404: "No such model.",
        409: "The idempotency key is being worked on, or its fate is unknown.",
        413: "The body is too large.",
        421: "The server is not called so.",
        422: "Too much for this server, or the idempotency key has another body.",
        429: "Too many requests; see Retry-After.",
        500: "A fault of the server's own.",
        502: "The backend failed.",
        503: "The backend is down.",
        504: "No image in time.",
    }.items()
}


@post(
    "/v1/images/generations",
    status_code=200,
    responses={200: ResponseSpec(ImagesBody, description="The images."), **REFUSALS},
    tags=["images"],
)
async def generate_images(
    data: JSONBody[GenerationFields],
    request: Request[Any, Any, Any],
    workshop: NamedDependency[Workshop],
) -> Response[Any]:
    """Make images of a prompt."""
    unknown = _unknown(await request.body(), GenerationFields)
    return await _answer(data, unknown, request, workshop)


async def _answer(
    fields: ImageFields,
    unknown: tuple[str, ...],
    request: Request[Any, Any, Any],
    workshop: Workshop,
) -> Response[Any]:
    wishes.check_limits(fields, workshop.settings.serve)
    backend, model = wishes.backend_and_model(workshop.settings, fields.model)
    order = Order(
        backend=backend,
        ask=lambda use_case: wishes.request_of(
            fields, use_case, workshop.settings, model=model, unknown=unknown
        ),
        count=fields.n or 1,
        caller=request.user,
        wish=wishes.wish_of(fields),
    )
    report = await _unless_gone(order, request, workshop)
    return Response(images_body(report, fields), media_type="application/json")


async def _unless_gone(
    order: Order, request: Request[Any, Any, Any], workshop: Workshop
) -> GenerationReport:
    """Carry out the order; if the client goes away, cancel it."""
    cancellation = Cancellation()
    work = asyncio.ensure_future(workshop.carry_out(order, cancellation))
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            cancellation.cancel()
        return await work
    finally:
        gone.cancel()
        cancellation.cancel()


async def _gone(request: Request[Any, Any, Any]) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def images_body(report: GenerationReport, fields: ImageFields) -> ImagesBody:
    """Return what the client is told of a request that is over.

    Raises:
        BaseException: why there is not a single image.
    """
    rescued = [failed.rescued for failed in report.failed if failed.rescued]
    stored = [*report.stored, *rescued]
    if not stored:
        raise report.failed[0].error
    stored.sort(key=lambda image: image.number)
    first = stored[0].sidecar
    warnings = [*dict.fromkeys(w for image in stored for w in image.sidecar.warnings)]
    warnings += [
        f"image {failed.number} is missing: {failure_of(failed.error).problem.message}"
        for failed in report.failed
        if failed.rescued is None
    ]
    costs = [image.sidecar.cost_usd for image in stored]
    known = [cost for cost in costs if cost is not None]
    return ImagesBody(
        created=int(datetime.fromisoformat(first.created_at).timestamp()),
        data=tuple(_data(image) for image in stored),
        model=f"{first.backend}/{first.model}" if first.model else first.backend,
        size=f"{first.width}x{first.height}",
        output_format=first.mime_type.removeprefix("image/"),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        warnings=tuple(warnings),
    )


def _data(image: StoredImage) -> ImageData:
    sidecar = image.sidecar
    changed = sidecar.prompt_sent != sidecar.prompt
    return ImageData(
        id=sidecar.id,
        b64_json=image.content,
        revised_prompt=sidecar.prompt_sent if changed else None,
        seed=sidecar.seed,
        size=f"{sidecar.width}x{sidecar.height}",
        mime_type=sidecar.mime_type,
        cost_usd=sidecar.cost_usd,
    )


def _unknown(body: bytes, kind: type[ImageFields]) -> tuple[str, ...]:
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return tuple(name for name in given if name not in known)


routes: Sequence[Any] = (generate_images,)
