"""From a request to the calls that will be sent. Nothing is sent here."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import Unsupported
from imagen.domain.instance import Instance
from imagen.domain.money.price import Price, PriceOf, no_price
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import FIELD_NAMES, GenerationRequest
from imagen.domain.seed import RandomInt, build_seed_series, choose_seed
from imagen.domain.sidecar import Change
from imagen.domain.size import Size
from imagen.domain.style import apply_style, combine_negatives
from imagen.domain.suggestion import suggest_name

# RFC 9649: a side has 14 bits.
LARGEST_WEBP_SIDE = 16383

# Aspect ratios that differ by no more than this factor count as the same. Rounding to
# multiples of 64 pixels changes 21:9 of one megapixel by 3 %.
SAME_SHAPE = 1.05

Value = TypeVar("Value")


class ImageJob(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a backend, with every parameter decided.

    Attributes:
        number: Position of the (first) image in the request, from 1.
        count: Number of images in the call; above 1 only if the backend takes no seed.
        prompt: The prompt with the style applied.
        negative: The negative prompt; "" for none, or if the backend takes none.
        size: A size that the backend supports.
        seed: None if the backend takes no seed.
        steps: None uses the backend's default.
        model: "" uses the backend's default.
        media_type: Requested format; None uses the backend's default.
        options: Backend parameters, unchanged.
        images: Reference images, at most as many as the backend takes.
        mask: The first reference image is repainted where the mask is transparent.
        timeout: Seconds for each image.
    """

    number: int
    count: int = 1
    prompt: str
    negative: str = ""
    size: Size
    seed: int | None = None
    steps: int | None = None
    model: str = ""
    media_type: str | None = None
    options: Mapping[str, object] = {}
    images: tuple[ReferenceImage, ...] = ()
    mask: ReferenceImage | None = None
    timeout: float


class ParameterReport(msgspec.Struct, frozen=True, kw_only=True):
    """The treatment of each requested parameter.

    Attributes:
        applied: Sent as requested.
        ignored: Not sent, with the reason.
        adjusted: Sent with another value, with the reason.
        notes: Other differences from the request, each as a sentence.
    """

    applied: Mapping[str, object] = {}
    ignored: Mapping[str, str] = {}
    adjusted: Mapping[str, Change] = {}
    notes: tuple[str, ...] = ()

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each ignored or adjusted parameter, and the notes."""
        ignored = (f"{name} is ignored: {why}" for name, why in self.ignored.items())
        adjusted = (
            f"{name} {change.requested} becomes {change.used}: {change.reason}"
            for name, change in self.adjusted.items()
        )
        return (*ignored, *adjusted, *self.notes)


class GenerationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All calls of one request, and how they differ from it.

    Attributes:
        instance: The backend that receives the calls.
        size: The requested size; the jobs have the size that the backend makes.
        negative: The requested negative prompt, even if the backend ignores it.
        at: Local time of planning.
        jobs: In the order of their images.
        parameter_report: How each requested parameter is treated.
        may_cost: Whether the calls may cost money.
        price: Price of each call; None if unknown.
    """

    instance: Instance
    request: GenerationRequest
    size: Size
    negative: str
    at: datetime
    jobs: tuple[ImageJob, ...]
    # The journal stores plans as JSON, so this field keeps its first name there.
    parameter_report: ParameterReport = msgspec.field(name="honesty")
    may_cost: bool
    price: Price | None = None


def plan_images(
    request: GenerationRequest,
    *,
    instance: Instance,
    capabilities: Capabilities,
    random_int: RandomInt,
    now: datetime,
    media_type: str | None = None,
    price_of: PriceOf = no_price,
) -> GenerationPlan:
    """Decide everything that can be decided before the first call.

    Args:
        request: The request.
        instance: The backend and its default settings.
        capabilities: The capabilities of the backend with the requested model.
        random_int: Source of a random seed.
        now: Current local time.
        media_type: The format that the file name requires; None for any.
        price_of: Looks up the provider's price.

    Raises:
        Unsupported: the backend lacks the model or a parameter, or does not take the
            images; or the request is strict and a parameter would be ignored or
            adjusted.
    """
    resolver = _ParameterResolver(request, instance, capabilities)
    chosen = request.size or _style_size(request) or instance.size
    # The default size is not a request: using another one needs no warning.
    size = resolver.shape(chosen or capabilities.sizes.nearest(Size()))
    if media_type == "image/webp" and max(size.sides) > LARGEST_WEBP_SIDE:
        raise Unsupported(
            f"A WebP file cannot hold {size}.",
            hint=f"Its sides go up to {LARGEST_WEBP_SIDE} pixels; use .png.",
        )
    template = ImageJob(
        number=1,
        options=resolver.options(),
        prompt=request.prompt_sent or apply_style(request.prompt, request.style),
        negative=resolver.negative(),
        size=resolver.size(size),
        steps=resolver.steps(),
        model=resolver.model(),
        media_type=media_type if media_type in capabilities.formats else None,
        images=resolver.images(),
        mask=resolver.mask(),
        timeout=request.timeout or instance.timeout,
    )
    jobs = resolver.jobs(template, random_int)
    report = resolver.report()
    if request.strict and report.warnings():
        raise Unsupported(
            f"{instance.name}: " + "; ".join(report.warnings()) + ".",
            hint="Without --strict this is a warning.",
        )
    return GenerationPlan(
        instance=instance,
        request=request,
        size=size,
        negative=combine_negatives(request.negative, request.style),
        at=now,
        jobs=jobs,
        parameter_report=report,
        may_cost=capabilities.may_cost or instance.price is not None,
        price=_price(template, instance, capabilities, price_of),
    )


def _price(
    job: ImageJob, instance: Instance, capabilities: Capabilities, price_of: PriceOf
) -> Price | None:
    if instance.price is not None or not capabilities.may_cost:
        return instance.price
    parameters = {"size": job.size, **job.options}
    return price_of(capabilities.provider, job.model or capabilities.model, parameters)


def _style_size(request: GenerationRequest) -> Size | None:
    return request.style.size if request.style else None


class _ParameterResolver:
    """Decides the value of each parameter, and records how it was treated."""

    def __init__(
        self,
        request: GenerationRequest,
        instance: Instance,
        capabilities: Capabilities,
    ) -> None:
        self._request = request
        self._instance = instance
        self._capabilities = capabilities
        self._applied: dict[str, object] = {}
        self._ignored = {**request.dropped.ignored, **request.unsupported_fields}
        self._adjusted = {**request.dropped.adjusted}

    def report(self) -> ParameterReport:
        return ParameterReport(
            applied=self._applied,
            ignored=self._ignored,
            adjusted=self._adjusted,
            notes=self._request.dropped.notes,
        )

    def negative(self) -> str:
        negative = combine_negatives(self._request.negative, self._request.style)
        if not negative or self._capabilities.negative:
            return self._apply("negative", negative) if negative else ""
        self._ignore("negative", "it takes no negative prompt")
        return ""

    def shape(self, size: Size) -> Size:
        aspect = self._request.aspect
        if aspect is None:
            return size
        exact = aspect.resize(size)
        # `fit` reaches the exact size from any other. Without it, rounding to a size
        # that the backend makes is part of the request, and no adjustment.
        used = exact if self._request.fit else self._capabilities.sizes.nearest(exact)
        if max(used.ratio, aspect.ratio) <= SAME_SHAPE * min(used.ratio, aspect.ratio):
            self._apply("aspect", str(aspect))
        else:
            self._adjust("aspect", str(aspect), str(used), "the nearest that it makes")
        return used

    def size(self, requested: Size) -> Size:
        used = self._capabilities.sizes.nearest(requested)
        if used == requested or self._request.fit is not None:
            self._apply("size", str(requested))
        else:
            self._adjust("size", str(requested), str(used), "the nearest that it makes")
        if self._request.fit is not None:
            self._apply("fit", str(self._request.fit))
        return used

    def steps(self) -> int | None:
        style = self._request.style
        requested = self._request.steps or (style.steps if style else 0)
        steps = requested or self._instance.steps
        if not self._capabilities.steps:
            if steps:
                self._ignore("steps", "their number cannot be chosen")
            return None
        return self._apply("steps", steps) if steps else None

    def model(self) -> str:
        requested, models = self._request.model, self._capabilities.models
        if requested is None:
            return self._capabilities.model
        if models is not None and requested not in models:
            known = ", ".join(models) if models else self._capabilities.model
            raise Unsupported(
                f"{self._instance.name} has no model {requested!r}.",
                hint=f"Use {known}." if known else "Leave the model out.",
            )
        return self._apply("model", requested)

    def options(self) -> dict[str, object]:
        style = self._request.style
        requested = {**(style.options if style else {}), **self._request.options}
        known = self._capabilities.parameters
        for name, value in requested.items():
            if known is not None and name not in known:
                similar = suggest_name(name, known)
                raise Unsupported(
                    f"{self._instance.name} has no parameter {name!r}.",
                    hint=f"Did you mean {similar}?"
                    if similar
                    else f"Its parameters: {', '.join(known) or 'none'}.",
                )
            self._apply(f"set.{name}" if name in FIELD_NAMES else name, value)
        return requested

    def images(self) -> tuple[ReferenceImage, ...]:
        images, limit = self._request.images, self._capabilities.references
        if len(images) > limit:
            name = self._instance.name
            raise Unsupported(
                f"{name} takes no reference images."
                if limit == 0
                else f"{name} takes {limit} reference images at most, "
                f"not {len(images)}."
            )
        if images:
            self._apply("images", [image.name for image in images])
        return images

    def mask(self) -> ReferenceImage | None:
        mask = self._request.mask
        if mask is not None and not self._capabilities.mask:
            raise Unsupported(f"{self._instance.name} takes no mask.")
        if mask is not None:
            self._apply("mask", mask.name)
        return mask

    def jobs(self, template: ImageJob, random_int: RandomInt) -> tuple[ImageJob, ...]:
        style, limit = self._request.style, self._capabilities.largest_seed
        requested = self._request.seed or (style.seed if style else 0)
        if limit is None:
            if requested:
                self._ignore("seed", "it takes none, so the image cannot be repeated")
            return self._batches(template)
        first = choose_seed(requested, limit=limit, random_int=random_int)
        if requested not in {0, first}:
            self._adjust("seed", requested, first, f"it takes seeds up to {limit}")
        else:
            self._apply("seed", first)
        # One call per image, so that each image has its own seed and can be repeated.
        seeds = build_seed_series(first, self._request.count, limit=limit)
        return tuple(
            msgspec.structs.replace(template, number=number, seed=seed)
            for number, seed in enumerate(seeds, start=1)
        )

    def _batches(self, template: ImageJob) -> tuple[ImageJob, ...]:
        count, largest = self._request.count, max(1, self._capabilities.largest_batch)
        return tuple(
            msgspec.structs.replace(
                template, number=start, count=min(largest, count - start + 1)
            )
            for start in range(1, count + 1, largest)
        )

    def _apply(self, name: str, value: Value) -> Value:
        self._applied[name] = value
        return value

    def _ignore(self, name: str, why: str) -> None:
        self._ignored[name] = f"{self._instance.name}: {why}"

    def _adjust(self, name: str, requested: object, used: object, why: str) -> None:
        self._adjusted[name] = Change(
            requested=requested, used=used, reason=f"{self._instance.name}: {why}"
        )
