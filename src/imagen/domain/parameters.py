"""The value of each parameter of a job, and the report of how it was treated."""

from typing import TypeVar

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import Unsupported
from imagen.domain.fit import describe_unfitted
from imagen.domain.instance import Instance
from imagen.domain.job import ImageJob, ParameterReport
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import FIELD_NAMES, GenerationRequest
from imagen.domain.seed import RandomInt, choose_seed, wrap_seed
from imagen.domain.sidecar import Change
from imagen.domain.size import Size
from imagen.domain.style import combine_negatives

# Aspect ratios that differ by no more than this factor count as the same. Rounding to
# multiples of 64 pixels changes 21:9 of one megapixel by 3 %.
SAME_SHAPE = 1.05

Value = TypeVar("Value")


class ParameterResolver:
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
        """Return how each parameter was treated."""
        return ParameterReport(
            applied=self._applied,
            ignored=self._ignored,
            adjusted=self._adjusted,
            notes=self._request.dropped.notes,
        )

    def resolve_negative(self) -> str:
        """Return the negative prompt; "" for none, or if the backend takes none."""
        negative = combine_negatives(self._request.negative, self._request.style)
        if not negative or self._capabilities.negative:
            return self._apply("negative", negative) if negative else ""
        self._ignore("negative", "takes no negative prompt")
        return ""

    def resolve_aspect(self, size: Size) -> Size:
        """Return the size with the requested aspect ratio; the same without one."""
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
            self._adjust_size("aspect", aspect, used)
        return used

    def resolve_size(self, requested: Size) -> Size:
        """Return the nearest size that the backend makes."""
        used, fit = self._capabilities.sizes.nearest(requested), self._request.fit
        upscale = self._request.fit_upscale
        fits = used == requested
        if fit is not None and not fits:
            fits = upscale or not fit.enlarges_too_much(used.sides, to=requested.sides)
        if fits:
            self._apply("size", str(requested))
        else:
            self._adjust_size("size", requested, used)
        if fit is not None and fits:
            self._apply("fit", str(fit))
            if upscale:
                self._apply("fit_upscale", upscale)
        elif fit is not None:
            self._ignored["fit"] = describe_unfitted(used.sides, requested)
        return used

    def resolve_steps(self) -> int | None:
        """Return the number of steps; None for the backend's default."""
        style = self._request.style
        requested = self._request.steps or (style.steps if style else 0)
        steps = requested or self._instance.steps
        if not self._capabilities.steps:
            if steps:
                self._ignore("steps", "takes no number of steps")
            return None
        return self._apply("steps", steps) if steps else None

    def resolve_model(self) -> str:
        """Return the model; the backend's default if none was requested."""
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

    def resolve_options(self) -> dict[str, object]:
        """Return the backend parameters of the style and the request."""
        style = self._request.style
        requested = {**(style.options if style else {}), **self._request.options}
        known = self._capabilities.parameters
        for name, value in requested.items():
            if known is not None and name not in known:
                from imagen.domain.suggestion import suggest  # noqa: PLC0415 - rare

                listed = f"Its parameters: {', '.join(known) or 'none'}."
                raise Unsupported(
                    f"{self._instance.name} has no parameter {name!r}.",
                    hint=suggest(name, known, listed),
                )
            self._apply(f"set.{name}" if name in FIELD_NAMES else name, value)
        return requested

    def resolve_images(self) -> tuple[ReferenceImage, ...]:
        """Return the reference images."""
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

    def resolve_mask(self) -> ReferenceImage | None:
        """Return the mask."""
        mask = self._request.mask
        if mask is not None and not self._capabilities.mask:
            raise Unsupported(f"{self._instance.name} takes no mask.")
        if mask is not None:
            self._apply("mask", mask.name)
        return mask

    def resolve_count(self) -> int:
        """Return the number of images; that of the workflow if none is requested."""
        requested, own = self._request.count, self._capabilities.default_batch
        if requested is None:
            return own
        # Recorded only where it matters: a rerun then makes one image, too.
        return self._apply("count", requested) if own > 1 else requested

    def resolve_jobs(
        self, template: ImageJob, count: int, random_int: RandomInt
    ) -> tuple[ImageJob, ...]:
        """Return a job per image, or per batch if the backend or the user has those."""
        style, limit = self._request.style, self._capabilities.largest_seed
        requested = self._request.seed or (style.seed if style else 0)
        if limit is None:
            if requested:
                self._ignore("seed", "takes no seed, so the image cannot be repeated")
            return self._batches(template, count)
        first = choose_seed(requested, limit=limit, random_int=random_int)
        if requested not in {0, first}:
            reason = f"{self._instance.name} takes seeds up to {limit}"
            self._adjust("seed", requested, first, reason)
        else:
            self._apply("seed", first)
        if self._request.count is None:
            return (msgspec.structs.replace(template, count=count, seed=first),)
        # One call per image, so that each image has its own seed and can be repeated.
        return tuple(
            msgspec.structs.replace(
                template, number=1 + step, seed=wrap_seed(first + step, limit=limit)
            )
            for step in range(count)
        )

    def _batches(self, template: ImageJob, count: int) -> tuple[ImageJob, ...]:
        largest = max(1, self._capabilities.largest_batch)
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
        self._ignored[name] = f"{self._instance.name} {why}"

    def _adjust_size(self, name: str, requested: object, used: Size) -> None:
        reason = f"the nearest that {self._instance.name} supports"
        self._adjust(name, str(requested), str(used), reason)

    def _adjust(self, name: str, requested: object, used: object, reason: str) -> None:
        self._adjusted[name] = Change(requested=requested, used=used, reason=reason)
