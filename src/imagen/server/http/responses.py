"""From what was made to what the client is told."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal, TypeAlias

from imagen.domain.sidecar import Sidecar
from imagen.server.http.schemas import ImageData, ImagesBody
from imagen.server.jobs.results import RequestResult, StoredOutput

Link: TypeAlias = Callable[[Sidecar], str]
"""Returns the URL under which an image can be fetched for a while."""
ResponseFormat: TypeAlias = Literal["b64_json", "url"]


def build_images_body(
    result: RequestResult, *, response_format: ResponseFormat, link: Link
) -> ImagesBody:
    """Return the answer to a request that did not ask for a stream."""
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
    image: StoredOutput, *, response_format: ResponseFormat, link: Link
) -> ImageData:
    """Return one image of an answer."""
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
    """Return when it was made, in seconds since 1970."""
    return int(datetime.fromisoformat(sidecar.created_at).timestamp())


def openai_format(sidecar: Sidecar) -> str:
    """Return the format as OpenAI calls it."""
    return sidecar.mime_type.removeprefix("image/")


def model_name(sidecar: Sidecar) -> str:
    """Return what made it, as `GET /v1/models` may have it."""
    return "/".join(filter(None, (sidecar.backend, sidecar.model)))
