"""Response bodies, and the OpenAPI descriptions of error responses."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from litestar.openapi import ResponseSpec

from imagen.domain.sidecar import Sidecar
from imagen.server.errors import ErrorBody
from imagen.server.http.schemas import ImageData, ImagesBody
from imagen.server.jobs.job import Output, RequestResult

Link: TypeAlias = Callable[[Sidecar], str | None]
"""Returns a signed URL of an image, which expires; None if it could not be fetched."""
Describe: TypeAlias = Callable[[Output], ImageData]
"""Returns one image of a response, in the requested format; reads the history."""
ERROR_RESPONSES: dict[int, ResponseSpec] = {
    status: ResponseSpec(ErrorBody, description=description)
    for status, description in {
        400: "The request is invalid, or the backend refuses the content.",
        401: "The API key is missing or wrong.",
        402: "A budget is exceeded, or the backend is out of credit.",
        403: "The request comes from a page of another site.",
        404: "Not found.",
        408: "Timeout while reading the body.",
        409: "A request with this key is running, or its outcome is unknown.",
        410: "The images of the request with this key have been deleted.",
        413: "The body is too large.",
        421: "Unknown Host header.",
        422: "A limit is exceeded, or the key was used for another request.",
        429: "Too many requests; see Retry-After.",
        500: "Internal server error.",
        502: "The backend failed.",
        503: "The backend is down.",
        504: "No image before the timeout.",
    }.items()
}
"""For routes that generate images."""

READ_ERROR_RESPONSES = {
    status: ERROR_RESPONSES[status] for status in (400, 401, 403, 404, 421, 500)
}
"""For routes that do not generate images."""


def build_images_body(result: RequestResult, describe: Describe) -> ImagesBody:
    """Return the response body of a request without `stream`; reads the history."""
    data = tuple(map(describe, result.images))
    first = result.images[0].sidecar
    costs = [image.sidecar.cost_usd for image in result.images]
    known = [cost for cost in costs if cost is not None]
    return ImagesBody(
        created=created_timestamp(first),
        data=data,
        # An id of `GET /v1/models` where models can be chosen.
        model="/".join(filter(None, (first.backend, first.model))),
        size=f"{first.width}x{first.height}",
        output_format=openai_format(first),
        # Rounded to micro-dollars, of which floats have only the nearest ones.
        cost_usd=round(sum(known), 6) if len(known) == len(costs) else None,
        warnings=(*result.warnings, *(each for one in data for each in one.warnings)),
    )


def build_image_data(
    image: Output, *, response_format: Literal["b64_json", "url"], link: Link
) -> ImageData:
    """Return one image of a response."""
    sidecar = image.sidecar
    is_revised = sidecar.prompt_sent != sidecar.prompt
    url = link(sidecar) if response_format == "url" else None
    unlinked = (
        "the image is sent as b64_json, because its file or its history entry could not"
        " be written, and a URL of it would not work"
    )
    return ImageData(
        id=sidecar.id,
        b64_json=image.content if url is None else None,
        url=url,
        revised_prompt=sidecar.prompt_sent if is_revised else None,
        seed=sidecar.seed,
        size=f"{sidecar.width}x{sidecar.height}",
        mime_type=sidecar.mime_type,
        cost_usd=sidecar.cost_usd,
        warnings=(unlinked,) if response_format == "url" and url is None else (),
    )


def created_timestamp(sidecar: Sidecar) -> int:
    """Return the time of generation in seconds since 1970."""
    return int(sidecar.made.timestamp())


def openai_format(sidecar: Sidecar) -> str:
    """Return OpenAI's name of the format: png, webp or jpeg."""
    return sidecar.mime_type.removeprefix("image/")
