"""Translation of a job into the inputs of one model."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from imagen.adapters.remote.models.schema import Field, json_equal
from imagen.adapters.remote.models.sizes import (
    HEIGHT,
    SIZE_INPUTS,
    WIDTH,
    Pixels,
    SizeInputs,
    read_sizes,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.media import WRITABLE
from imagen.domain.size import SizeRule
from imagen.domain.suggestion import suggest

# numpy, from which many models take their noise, accepts no larger seed.
DEFAULT_LARGEST_SEED = 2**32 - 1
"""The largest seed if a model states none."""

_PROMPT = ("prompt", "text_prompt", "text")
_NEGATIVE = ("negative_prompt",)
_SEED = ("seed", "random_seed")
_STEPS = ("num_inference_steps", "steps", "num_steps", "inference_steps")
_COUNT = ("num_outputs", "number_of_images", "num_images", "max_images")
_FORMAT = ("output_format",)
_IMAGES = (
    *("input_images", "image_input", "images", "reference_images", "input_image"),
    *("image", "image_prompt", "init_image", "subject_reference"),
    *("image_reference_url", "image_urls", "image_url"),
)
_MASK = ("mask", "mask_image", "mask_url", "mask_image_url")
_SEQUENCE = "sequential_image_generation"

_SECRET = re.compile(r"(?:^|_)(?:token|key|secret|password)s?$", re.IGNORECASE)
_MAX_IMAGES = re.compile(
    r"(?:maximum(?: of)?|up to|at most|\d+-) *(\d+) *(?:\w+ )?images", re.IGNORECASE
)
_DEFAULT_MAX_IMAGES = 8
"""The maximum number of reference images in a list if the model states none."""

# Some models state the largest seed only in the text of the description.
_SEED_RANGE = re.compile(r"\b2147483647\b")

# A larger integer may lose digits in a JSON parser that uses floating point.
_MAX_EXACT_INTEGER = 2**53 - 1


class AttachedImages(msgspec.Struct, frozen=True, kw_only=True):
    """Reference images in the form that a model receives: URLs or data URIs."""

    images: tuple[str, ...] = ()
    mask: str | None = None


class ModelInputs(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of one model, by the parameter of imagen that each one stands for.

    Attributes:
        fields: All inputs, by the model's own names; empty if they are unknown.
        sizes: The sizes, and the inputs that select them.
        prompt: The input for the prompt; assumed if the inputs are unknown.
        negative: The input for the negative prompt; None if the model has none.
        seed: The input for the seed; None if the model has none, as with the rest.
    """

    fields: Mapping[str, Field]
    sizes: SizeInputs
    prompt: Field
    negative: Field | None = None
    seed: Field | None = None
    steps: Field | None = None
    count: Field | None = None
    format: Field | None = None
    images: Field | None = None
    mask: Field | None = None

    @property
    def default_steps(self) -> int | None:
        """The number of steps if none is sent; None if unknown."""
        steps = self.steps.default if self.steps else None
        return steps if isinstance(steps, int) else None

    @property
    def formats(self) -> tuple[str, ...]:
        """The media types that can be selected, the default first."""
        if self.format is None:
            return ()
        default = _media_type(self.format.default)
        named = [WRITABLE[w] for w in self.format.text_choices if w in WRITABLE]
        return tuple(dict.fromkeys([default, *named] if default else named))

    @property
    def unmapped(self) -> Mapping[str, str]:
        """Descriptions of the inputs that only `options` of a job can set.

        Size inputs other than width and height are included: they can be set both ways.
        """
        fields = (
            *(self.prompt, self.negative, self.seed, self.steps, self.count),
            *(self.format, self.images, self.mask),
        )
        mapped = {WIDTH, HEIGHT, *_COUNT, *(field.name for field in fields if field)}
        return {
            name: field.summary
            for name, field in self.fields.items()
            if name not in mapped
            and not _SECRET.search(name)
            and not _is_deprecated(field)
        }

    def capabilities(
        self, model: str, *, models: tuple[str, ...] | None, provider: str = ""
    ) -> Capabilities:
        """Return the capabilities of the model."""
        # Of an unknown model nothing is promised, and any parameter is passed on.
        if not self.fields:
            return Capabilities(
                model=model, models=models, parameters=None, provider=provider
            )
        return Capabilities(
            model=model,
            models=models,
            sizes=self.sizes.rule,
            largest_seed=_largest_seed(self.seed) if self.seed else None,
            negative=self.negative is not None,
            steps=self.steps is not None,
            largest_batch=max(1, int((self.count and self.count.highest) or 1)),
            formats=self.formats,
            parameters=self.unmapped,
            references=_max_references(self.images) if self.images else 0,
            mask=self.mask is not None,
            provider=provider,
        )

    def build_payload(
        self,
        job: ImageJob,
        configured: Mapping[str, object],
        attached: AttachedImages,
    ) -> dict[str, object]:
        """Return the values of the inputs for a job.

        The values from the config give way to those of the job.

        Raises:
            InvalidRequest: the model does not support something in the job.
        """
        self._check(job, attached)
        given = {**configured, **job.options}
        sizes = {name: given[name] for name in SIZE_INPUTS if name in given}
        values = {
            **configured,
            **self._standard_inputs(job),
            **(self.sizes.choose_inputs(job.size, sizes) if self.fields else {}),
            **self._image_inputs(attached),
            **job.options,
        }
        return {
            name: self.fields[name].convert(value) if name in self.fields else value
            for name, value in values.items()
        }

    def _standard_inputs(self, job: ImageJob) -> dict[str, object]:
        sent: dict[str, object] = {self.prompt.name: job.prompt}
        if self.negative and job.negative:
            sent[self.negative.name] = job.negative
        if self.seed and job.seed is not None:
            sent[self.seed.name] = job.seed
        if self.steps and job.steps is not None:
            sent[self.steps.name] = job.steps
        if self.count and not json_equal(self.count.default, job.count):
            sent[self.count.name] = job.count
        if self.format and (word := self._choose_format(self.format, job.media_type)):
            sent[self.format.name] = word
        return sent

    def _choose_format(self, field: Field, media_type: str | None) -> str | None:
        """Return the choice for the format; None if the default is already right."""
        if media_type is None and _media_type(field.default):
            return None
        wanted = media_type or next(iter(self.formats), None)
        return next((w for w in field.text_choices if _media_type(w) == wanted), None)

    def _image_inputs(self, attached: AttachedImages) -> dict[str, object]:
        sent: dict[str, object] = {}
        if self.images and attached.images:
            several = self.images.kind == "list"
            sent[self.images.name] = (
                list(attached.images) if several else attached.images[0]
            )
        if self.mask and attached.mask is not None:
            sent[self.mask.name] = attached.mask
        return sent

    def _check(self, job: ImageJob, attached: AttachedImages) -> None:
        if self.fields and self.prompt.name not in self.fields:
            raise InvalidRequest(
                "The model takes no prompt.",
                hint="Choose a model that makes images from text.",
            )
        for name in job.options if self.fields else ():
            if name not in self.fields:
                listed = f"Its inputs are {', '.join(self.unmapped)}."
                raise InvalidRequest(
                    f"The model has no input {name!r}.",
                    hint=suggest(name, self.unmapped, listed),
                )
        for name in job.options:
            # Options are stored in the history and in sidecars, so a token of another
            # service must not be among them.
            if _SECRET.search(name):
                raise InvalidRequest(
                    f"{name} looks like a secret, and would be stored with the image.",
                    hint="imagen passes no secrets to a model.",
                )
        if self.images and self.images.required and not attached.images:
            raise InvalidRequest(
                "The model needs a reference image.", hint="Set it with --image."
            )


def build_model_inputs(
    fields: Iterable[Field],
    *,
    pixels: Pixels | None = None,
    configured: Mapping[str, object] | None = None,
) -> ModelInputs:
    """Return the inputs of a model; configured values replace its own defaults."""
    named = {field.name: field for field in fields}
    for name in (configured or {}).keys() & named.keys():
        default = (configured or {})[name]
        named[name] = msgspec.structs.replace(named[name], default=default)
    count, image_format = _find_field(named, _COUNT), _find_field(named, _FORMAT)
    # In a model with this input, `max_images` limits how many images the model decides
    # to make; it is not the number to make (bytedance/seedream-4).
    if count and count.name == "max_images" and _SEQUENCE in named:
        count = None
    if image_format and not any(map(_media_type, image_format.text_choices)):
        image_format = None
    return ModelInputs(
        fields=named,
        sizes=read_sizes(named, pixels) if named else SizeInputs(grid=SizeRule()),
        prompt=_find_field(named, _PROMPT) or Field(name=_PROMPT[0]),
        negative=_find_field(named, _NEGATIVE),
        seed=_find_field(named, _SEED),
        steps=_find_field(named, _STEPS),
        count=count,
        format=image_format,
        images=_find_field(named, _IMAGES),
        mask=_find_field(named, _MASK),
    )


def mask_is_inverted(mask: Field) -> bool:
    """Return whether the model redraws the black parts of a mask."""
    # Most models redraw the white parts; the others say so in their description.
    return re.search(r"black[^.]{0,30}inpainted", mask.note, re.IGNORECASE) is not None


def _find_field(fields: Mapping[str, Field], names: Iterable[str]) -> Field | None:
    found = (fields[name] for name in names if name in fields)
    return next((field for field in found if not _is_deprecated(field)), None)


def _is_deprecated(field: Field) -> bool:
    return field.note.lower().startswith("deprecated")


def _media_type(word: object) -> str | None:
    return WRITABLE.get(word) if isinstance(word, str) else None


def _largest_seed(seed: Field) -> int:
    if seed.highest is not None:
        return max(1, min(int(seed.highest), _MAX_EXACT_INTEGER))
    found = _SEED_RANGE.search(seed.note)
    return int(found[0]) if found else DEFAULT_LARGEST_SEED


def _max_references(field: Field) -> int:
    if field.kind != "list":
        return 1
    if field.max_items is not None:
        return max(1, field.max_items)
    found = _MAX_IMAGES.search(field.note)
    return int(found[1]) if found else _DEFAULT_MAX_IMAGES
