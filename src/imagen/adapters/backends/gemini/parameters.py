"""The parameters of a job for a model of the Gemini API."""

from base64 import b64encode
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from imagen.adapters.backends.gemini.models import MODELS, PROVIDER, UNKNOWN_MODEL
from imagen.adapters.remote.vendor import decode_options
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.reference import ReferenceImage, ReferenceLimits
from imagen.domain.size import SizeRule

AUTO = "auto"
"""The aspect ratio that the model chooses: that of the first reference image."""

_REFERENCES = ReferenceLimits(formats=("image/png", "image/jpeg", "image/webp"))


class GeminiParameters(msgspec.Struct, frozen=True):
    """The parameters that `--set` accepts."""

    aspect_ratio: str = ""
    image_size: Literal["", "512", "1K", "2K", "4K", 512] = ""
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    thinking_level: Literal["", "minimal", "medium", "high"] = ""


def describe_model(model: str, *, default: str) -> Capabilities:
    """Return the capabilities of a model; `default` is that of the instance."""
    known = MODELS.get(model, UNKNOWN_MODEL)
    return Capabilities(
        model=model,
        models=tuple(dict.fromkeys((default, *MODELS, model))),
        sizes=SizeRule(choices=tuple(known.sizes)),
        parameters={
            "aspect_ratio": f"{', '.join(known.ratios)}, or {AUTO}",
            "image_size": ", ".join(known.image_sizes),
            "seed": "a whole number; the image will be similar, not the same",
            "thinking_level": "minimal, medium or high",
        },
        references=known.references,
        reference_limits=_REFERENCES,
        provider=PROVIDER,
    )


def read_parameters(job: ImageJob, *, server: str) -> GeminiParameters:
    """Return the parameters of a job.

    Raises:
        InvalidRequest: one is unknown, or its value is invalid.
    """
    return decode_options(job, GeminiParameters, vendor=server)


def choose_shape(
    job: ImageJob, model: str, parameters: GeminiParameters
) -> dict[str, str]:
    """Return the aspect ratio and the image size, which the user may have set.

    Raises:
        InvalidRequest: the model does not have them.
    """
    known = MODELS.get(model, UNKNOWN_MODEL)
    sizes = known.sizes
    ratio, image_size = sizes[SizeRule(choices=tuple(sizes)).nearest(job.size)]
    ratio = parameters.aspect_ratio or ratio
    image_size = str(parameters.image_size) or image_size
    for name, value, choices in (
        ("aspect_ratio", ratio, (*known.ratios, AUTO)),
        ("image_size", image_size, known.image_sizes),
    ):
        if value not in choices:
            raise InvalidRequest(
                f"{name} of {model} cannot be {value!r}.",
                hint=f"Use one of {', '.join(choices)}.",
            )
    # A model with one image size does not have the field.
    return {
        **({} if ratio == AUTO else {"aspect_ratio": ratio}),
        **({"image_size": image_size} if len(known.image_sizes) > 1 else {}),
    }


def encode_image(image: ReferenceImage) -> str:
    """Return the content of an image as Base64."""
    return b64encode(image.content).decode()
