"""From what was asked to what will be sent; nothing is sent here."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import Unsupported
from imagen.domain.instance import Instance
from imagen.domain.money.price import Price, PriceOf, no_price
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.seed import RandomInt, build_seed_series, choose_seed
from imagen.domain.sidecar import Change
from imagen.domain.size import Size
from imagen.domain.style import apply_style, combine_negatives
from imagen.domain.suggestion import suggest_name

LARGEST_WEBP_SIDE = 16383
"""RFC 9649: 14 bits hold a side."""

Value = TypeVar("Value")

_FLAGS = {
    "fit",
    "images",
    "mask",
    "model",
    "negative",
    "prompt",
    "seed",
    "size",
    "steps",
}


class ImageJob(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a backend, decided to the last parameter.

    Attributes:
        number: Which of the request's images the (first) image is, from 1.
        count: How many images the call is to return; above 1 only where the backend
            understands no seed.
        prompt: After the style.
        negative: "" when there is none, or the backend would ignore it.
        size: One that the backend makes.
        seed: None when the backend understands none.
        steps: None leaves it to the backend.
        model: "" leaves it to the backend.
        media_type: The format to ask for; None leaves it to the backend.
        options: Parameters of the backend's own, as given.
        images: Reference images, as many as the backend takes.
        mask: Where it is transparent the first of them is painted anew.
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
    """What becomes of each parameter that was asked for.

    Attributes:
        applied: Sent as asked.
        ignored: Not sent, and why.
        adjusted: Sent differently, and why.
        notes: What else is not as somebody may expect, each a sentence.
    """

    applied: Mapping[str, object] = {}
    ignored: Mapping[str, str] = {}
    adjusted: Mapping[str, Change] = {}
    notes: tuple[str, ...] = ()

    def warnings(self) -> tuple[str, ...]:
        """One sentence for each parameter that is ignored or adjusted."""
        ignored = (f"{name} is ignored: {why}" for name, why in self.ignored.items())
        adjusted = (
            f"{name} {change.requested} becomes {change.used}: {change.reason}"
            for name, change in self.adjusted.items()
        )
        return (*ignored, *adjusted, *self.notes)


class GenerationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All the calls of one request, and how true they are to it.

    Attributes:
        instance: The backend that gets them.
        size: What was asked for; the jobs have what the backend makes.
        negative: What was to be kept out, even if the backend ignores that.
        at: When, in local time.
        jobs: In the order of their images.
        parameter_report: What becomes of each parameter.
        may_cost: Whether the calls may cost money.
        price: What each of them is charged; None when that is not known.
    """

    instance: Instance
    request: GenerationRequest
    size: Size
    negative: str
    at: datetime
    jobs: tuple[ImageJob, ...]
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
    """Decide everything that can be decided before anything is sent.

    Args:
        request: What was asked for.
        instance: Which backend, and its own defaults.
        capabilities: What that backend says it can do.
        random_int: The dice, for a seed that nobody named.
        now: This moment, in local time.
        media_type: The format that the file's name asks for, if it does.
        price_of: Looks up what the provider charges.

    Raises:
        Unsupported: the backend has no such model or parameter, or takes no such
            images; or, when strict,
            something would be ignored or adjusted.
    """
    settling = _Settling(request, instance, capabilities)
    wished = request.size or _styled_size(request) or instance.size
    size = wished or capabilities.sizes.nearest(Size())  # nobody asked for the default
    if media_type == "image/webp" and max(size.sides) > LARGEST_WEBP_SIDE:
        raise Unsupported(
            f"A WebP file cannot hold {size}.",
            hint=f"Its sides go up to {LARGEST_WEBP_SIDE} pixels; use .png.",
        )
    options = settling.options()
    settled = ImageJob(
        number=1,
        prompt=request.prompt_sent or apply_style(request.prompt, request.style),
        negative=settling.negative(),
        size=settling.size(size),
        steps=settling.steps(),
        model=settling.model(),
        media_type=media_type if media_type in capabilities.formats else None,
        options=options,
        images=settling.images(),
        mask=settling.mask(),
        timeout=request.timeout or instance.timeout,
    )
    jobs = settling.jobs(settled, random_int)
    honesty = settling.honesty()
    if request.strict and honesty.warnings():
        raise Unsupported(
            f"{instance.name}: " + "; ".join(honesty.warnings()) + ".",
            hint="Without --strict this is a warning.",
        )
    return GenerationPlan(
        instance=instance,
        request=request,
        size=size,
        negative=combine_negatives(request.negative, request.style),
        at=now,
        jobs=jobs,
        parameter_report=honesty,
        may_cost=capabilities.may_cost or instance.price is not None,
        price=_price(settled, instance, capabilities, price_of),
    )


def _price(
    job: ImageJob, instance: Instance, can: Capabilities, price_of: PriceOf
) -> Price | None:
    if instance.price is not None or not can.may_cost:
        return instance.price
    parameters = {"size": job.size, **job.options}
    return price_of(can.provider, job.model or can.model, parameters)


def _styled_size(request: GenerationRequest) -> Size | None:
    return request.style.size if request.style else None


class _Settling:
    """Settles one parameter after the other, and keeps account of what became of it."""

    def __init__(
        self, request: GenerationRequest, instance: Instance, can: Capabilities
    ) -> None:
        self._request = request
        self._instance = instance
        self._can = can
        self._applied: dict[str, object] = {}
        self._ignored: dict[str, str] = {
            **request.dropped.ignored,
            **request.unsupported_fields,
        }
        self._adjusted: dict[str, Change] = {**request.dropped.adjusted}

    def honesty(self) -> ParameterReport:
        return ParameterReport(
            applied=self._applied,
            ignored=self._ignored,
            adjusted=self._adjusted,
            notes=self._request.dropped.notes,
        )

    def negative(self) -> str:
        words = combine_negatives(self._request.negative, self._request.style)
        if not words or self._can.negative:
            return self._apply("negative", words) if words else ""
        self._ignore("negative", "it takes no negative prompt")
        return ""

    def size(self, asked: Size) -> Size:
        sent = self._can.sizes.nearest(asked)
        if sent == asked or self._request.fit is not None:
            self._apply("size", str(asked))
        else:
            self._adjust("size", str(asked), str(sent), "the nearest that it makes")
        if self._request.fit is not None:
            self._apply("fit", str(self._request.fit))
        return sent

    def steps(self) -> int | None:
        style = self._request.style
        asked = self._request.steps or (style.steps if style else 0)
        if not self._can.steps:
            if asked or self._instance.steps:
                self._ignore("steps", "their number cannot be chosen")
            return None
        steps = asked or self._instance.steps
        return self._apply("steps", steps) if steps else None

    def model(self) -> str:
        asked, models = self._request.model, self._can.models
        if asked is None:
            return self._can.model
        if models is not None and asked not in models:
            known = ", ".join(models) if models else self._can.model
            raise Unsupported(
                f"{self._instance.name} has no model {asked!r}.",
                hint=f"It has {known}." if known else "It has no choice of models.",
            )
        return self._apply("model", asked)

    def options(self) -> dict[str, object]:
        style = self._request.style
        asked = {**(style.options if style else {}), **self._request.options}
        known = self._can.parameters
        for name, value in asked.items():
            if known is not None and name not in known:
                near = suggest_name(name, known)
                raise Unsupported(
                    f"{self._instance.name} has no parameter {name!r}.",
                    hint=f"Did you mean {near}?"
                    if near
                    else "It has " + (", ".join(known) or "none of its own") + ".",
                )
            self._apply(f"set.{name}" if name in _FLAGS else name, value)
        return asked

    def images(self) -> tuple[ReferenceImage, ...]:
        asked, most = self._request.images, self._can.references
        if len(asked) > most:
            name = self._instance.name
            raise Unsupported(
                f"{name} takes no reference images."
                if most == 0
                else f"{name} takes {most} reference images at most, not {len(asked)}."
            )
        if asked:
            self._apply("images", [image.name for image in asked])
        return asked

    def mask(self) -> ReferenceImage | None:
        mask = self._request.mask
        if mask is not None and not self._can.mask:
            raise Unsupported(f"{self._instance.name} takes no mask.")
        if mask is not None:
            self._apply("mask", mask.name)
        return mask

    def jobs(self, settled: ImageJob, draw: RandomInt) -> tuple[ImageJob, ...]:
        style, limit = self._request.style, self._can.largest_seed
        asked = self._request.seed or (style.seed if style else 0)
        if limit is None:
            if asked:
                self._ignore("seed", "it takes none, so the image cannot be repeated")
            return self._batches(settled)
        first = choose_seed(asked, limit=limit, random_int=draw)
        if asked not in {0, first}:
            self._adjust("seed", asked, first, f"it takes seeds up to {limit}")
        else:
            self._apply("seed", first)
        seeds = build_seed_series(first, self._request.count, limit=limit)
        return tuple(
            msgspec.structs.replace(settled, number=number, seed=seed)
            for number, seed in enumerate(seeds, start=1)
        )

    def _batches(self, settled: ImageJob) -> tuple[ImageJob, ...]:
        count, largest = self._request.count, max(1, self._can.largest_batch)
        return tuple(
            msgspec.structs.replace(
                settled, number=start, count=min(largest, count - start + 1)
            )
            for start in range(1, count + 1, largest)
        )

    def _apply(self, name: str, value: Value) -> Value:
        self._applied[name] = value
        return value

    def _ignore(self, name: str, why: str) -> None:
        self._ignored[name] = f"{self._instance.name}: {why}"

    def _adjust(self, name: str, asked: object, used: object, why: str) -> None:
        self._adjusted[name] = Change(
            requested=asked, used=used, reason=f"{self._instance.name}: {why}"
        )
