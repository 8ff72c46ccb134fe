"""The values of a plan: its jobs, and how it treats each parameter."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from imagen.domain.instance import Instance
from imagen.domain.money.price import Price
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import DroppedParameters, GenerationRequest
from imagen.domain.sidecar import describe_changes
from imagen.domain.size import Size


class ImageJob(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a backend, with every parameter decided.

    Attributes:
        number: Position of the (first) image in the request, from 1.
        count: Number of images in the call; above 1 only if the backend takes no seed,
            or the workflow has this number of its own.
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


class ParameterReport(DroppedParameters, frozen=True, kw_only=True):
    """The treatment of each requested parameter.

    Attributes:
        applied: Parameters that are sent as requested.
    """

    applied: Mapping[str, object] = {}

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each ignored or adjusted parameter, and the notes."""
        return (*describe_changes(self.ignored, self.adjusted), *self.notes)


class GenerationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All calls of one request, and how they differ from it.

    Attributes:
        request: The request, with the number of images that was decided.
        size: The requested size; the jobs have the size that the backend makes.
        negative: The requested negative prompt, even if the backend ignores it.
        at: Local time of planning.
        jobs: In the order of their images.
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

    @property
    def count(self) -> int:
        """The number of images of the whole request."""
        return self.request.count or 1
