"""Build response bodies from stored images."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal, TypeAlias

from imagen.domain.sidecar import Sidecar
from imagen.server.http.schemas import ImageData, ImagesBody
from imagen.server.jobs.results import Output, RequestResult

Link: TypeAlias = Callable[[Sidecar], str]
"""Returns a signed URL of an image; it expires."""
ResponseFormat: TypeAlias = Literal["b64_json", "url"]


def build_images_body(
    result: RequestResult, *, response_format: ResponseFormat, link: Link
) -> ImagesBody:
    """Return the response body of a request without `stream`."""
    first = result.images[0].sidecar
    costs = [image.sidecar.cost_usd for image in result.images]
    known = [cost for cost in costs if cost is not None]
    return ImagesBody(
        created=created_timestamp(first),
        data=tuple(
            build_image_data(image, response_format=response_format, link=link)
            for image in result.images
        ),
        model=model_name(first),
        size=f"{first.width}x{first.height}",
        output_format=openai_format(first),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        warnings=result.warnings,
    )


def build_image_data(
    image: Output, *, response_format: ResponseFormat, link: Link
) -> ImageData:
    """Return one image of a response."""
    sidecar = image.sidecar
    is_revised = sidecar.prompt_sent != sidecar.prompt
    return ImageData(
        id=sidecar.id,
        b64_json=image.content if response_format == "b64_json" else None,
        url=link(sidecar) if response_format == "url" else None,
        revised_prompt=sidecar.prompt_sent if is_revised else None,
        seed=sidecar.seed,
        size=f"{sidecar.width}x{sidecar.height}",
        mime_type=sidecar.mime_type,
        cost_usd=sidecar.cost_usd,
    )


def created_timestamp(sidecar: Sidecar) -> int:
    """Return the time of generation in seconds since 1970."""
    return int(datetime.fromisoformat(sidecar.created_at).timestamp())


def openai_format(sidecar: Sidecar) -> str:
    """Return OpenAI's name of the format: png, webp or jpeg."""
    return sidecar.mime_type.removeprefix("image/")


def model_name(sidecar: Sidecar) -> str:
    """Return BACKEND/MODEL, an id of `GET /v1/models` where models can be chosen."""
    return "/".join(filter(None, (sidecar.backend, sidecar.model)))
