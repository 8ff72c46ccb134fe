"""From a request to the calls that will be sent. Nothing is sent here."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import Unsupported
from imagen.domain.instance import DEFAULT_TIMEOUT, Instance
from imagen.domain.job import GenerationPlan, ImageJob
from imagen.domain.media import SVG
from imagen.domain.money.price import PriceOf, find_price, no_price
from imagen.domain.parameters import ParameterResolver
from imagen.domain.request import GenerationRequest
from imagen.domain.seed import RandomInt
from imagen.domain.size import Size
from imagen.domain.style import apply_style, combine_negatives

if TYPE_CHECKING:
    from imagen.domain.shutdown import ShutdownOf

# RFC 9649: a side has 14 bits.
LARGEST_WEBP_SIDE = 16383


def plan_images(
    request: GenerationRequest,
    *,
    instance: Instance,
    capabilities: Capabilities,
    random_int: RandomInt,
    now: datetime,
    media_type: str | None = None,
    price_of: PriceOf = no_price,
    shutdown_of: "ShutdownOf | None" = None,
) -> GenerationPlan:
    """Decide everything that can be decided before the first call.

    Args:
        capabilities: The capabilities of the backend with the requested model.
        media_type: The format that the file name requires; None for any.

    Raises:
        Unsupported: the backend lacks the model or a parameter, or does not take the
            images; or the request is strict and a parameter would be ignored or
            adjusted.
    """
    resolver = ParameterResolver(request, instance, capabilities)
    style = request.style
    chosen = request.size or (style and style.size) or instance.size
    # The default size is not a request: using another one needs no warning.
    sizes = capabilities.sizes
    own = sizes.default or Size()
    size = resolver.resolve_aspect(chosen or sizes.nearest(own))
    if media_type == "image/webp" and max(size.sides) > LARGEST_WEBP_SIDE:
        raise Unsupported(
            f"A WebP file cannot hold {size}.",
            hint=f"Its sides go up to {LARGEST_WEBP_SIDE} pixels; use .png.",
        )
    template = ImageJob(
        number=1,
        options=resolver.resolve_options(),
        prompt=request.prompt_sent or apply_style(request.prompt, request.style),
        negative=resolver.resolve_negative(),
        size=resolver.resolve_size(size),
        steps=resolver.resolve_steps(),
        model=resolver.resolve_model(),
        media_type=media_type if media_type in capabilities.formats else None,
        images=resolver.resolve_images(),
        mask=resolver.resolve_mask(),
        timeout=(
            request.timeout
            or instance.timeout
            or capabilities.timeout
            or DEFAULT_TIMEOUT
        ),
    )
    count = resolver.resolve_count()
    jobs = resolver.resolve_jobs(template, count, random_int)
    price = instance.price
    if price is None and capabilities.may_cost:
        model = template.model or capabilities.model
        parameters = {"size": template.size, **template.options}
        price = find_price(
            capabilities.prices, capabilities.provider, model, parameters
        ) or price_of(capabilities.provider, model, parameters)
    report = resolver.report()
    if request.strict and report.warnings():
        raise Unsupported(
            f"{instance.name}: " + "; ".join(report.warnings()) + ".",
            hint="Without --strict this is a warning.",
        )
    if kind := capabilities.output_type:
        note = _describe_output(template.model or instance.name, kind)
        report = msgspec.structs.replace(report, notes=(*report.notes, note))
    model = template.model or capabilities.model
    end = shutdown_of and shutdown_of(capabilities.provider, model)
    if end:
        today = now.astimezone(UTC).date()
        if end.is_near(today=today):
            note = end.describe(model, today=today).removesuffix(".")
            report = msgspec.structs.replace(report, notes=(*report.notes, note))
    return GenerationPlan(
        instance=instance,
        request=msgspec.structs.replace(request, count=count),
        size=size,
        negative=combine_negatives(request.negative, request.style),
        at=now,
        jobs=jobs,
        parameter_report=report,
        may_cost=capabilities.may_cost or instance.price is not None,
        price=price,
    )


def _describe_output(name: str, media_type: str) -> str:
    if media_type == SVG:
        return f"{name} returns SVG images, which are stored and cannot be converted"
    return (
        f"{name} returns {media_type} files, and what is not an image is kept in the "
        "folder for rescued files (exit code 6)"
    )
