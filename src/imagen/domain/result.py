"""What comes back from a backend, and what becomes of it."""

from collections.abc import Mapping

import msgspec

from imagen.domain.consumption import Used
from imagen.domain.money.cost import Cost
from imagen.domain.sidecar import Sidecar
from imagen.formats.container import ImageFacts


class GeneratedImage(msgspec.Struct, frozen=True, kw_only=True):
    """One image as the backend sent it, bytes unchanged.

    Attributes:
        content: The whole file.
        media_type: What the backend says it is.
        seed: The seed that the backend says it used; None when it does not say.
    """

    content: bytes
    media_type: str
    seed: int | None = None


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one call.

    Attributes:
        images: One, or the batch that was asked for.
        model: The model that the backend says it used; "" when it does not say.
        steps: The steps that it says it took; None when it does not say.
        cost: What the call cost, if the backend tells.
        used: What it used, as far as the backend tells; without it the images are
            counted and measured.
        parameters: What else the backend reports; ends in the sidecar.
    """

    images: tuple[GeneratedImage, ...]
    model: str = ""
    steps: int | None = None
    cost: Cost = Cost()
    used: Used = Used()
    parameters: Mapping[str, object] = {}


class StoredImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is where it belongs.

    Attributes:
        number: Which of the request's images it is, from 1.
        location: Where it is, as its storage calls the place.
        content: The bytes that were stored.
        facts: What those bytes are.
        sidecar: How it was made.
    """

    number: int
    location: str
    content: bytes
    facts: ImageFacts
    sidecar: Sidecar


class FailedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that will not come, or is not where it belongs, and why.

    Attributes:
        number: Which of the request's images it is, from 1.
        error: Why; an `ImagenError`, unless it is a fault of ours or the adapter's.
        rescued: The image, when it was made and lies elsewhere.
    """

    number: int
    error: BaseException
    rescued: StoredImage | None = None


class GenerationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole story of one request, in the order of its images."""

    stored: tuple[StoredImage, ...] = ()
    failed: tuple[FailedImage, ...] = ()
