"""Results: of a call to a backend, of an image, and of a request."""

from collections.abc import Mapping
from datetime import datetime
from itertools import count

import msgspec

from imagen.domain.consumption import Used
from imagen.domain.errors import NotAsRequested
from imagen.domain.money.cost import Cost
from imagen.domain.sidecar import Sidecar
from imagen.formats.container import ImageFacts

FINAL_TIMES, FINAL_SECONDS = 3, 120.0
"""The number of equal responses without an image, and the seconds between the first and
the last, after which imagen keeps the body as the only output."""

AI_GENERATED = "trainedAlgorithmicMedia"
"""IPTC's term for an image made by a trained model."""


class GeneratedImage(msgspec.Struct, frozen=True, kw_only=True):
    """One image as the backend sent it.

    Attributes:
        content: The file, unchanged.
        media_type: Media type according to the backend.
        seed: Seed that was used, as reported by the backend; None if unknown.
        warnings: What the user should know about the image; stored in the sidecar.
    """

    content: bytes
    media_type: str
    seed: int | None = None
    warnings: tuple[str, ...] = ()


class ReceivedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A complete body that a server sent in place of an image.

    Attributes:
        times: How often the same bytes came.
        first_at: When they came first.
        last_at: When they came last.
    """

    content: bytes
    times: int = 1
    first_at: datetime
    last_at: datetime

    @property
    def is_final(self) -> bool:
        """True if they came so often that no image will come in their place."""
        lasted = (self.last_at - self.first_at).total_seconds()
        return self.times >= FINAL_TIMES and lasted >= FINAL_SECONDS

    def after(self, earlier: "ReceivedBody | None") -> "ReceivedBody":
        """Return the body with the number and time of the same bytes before."""
        if earlier is None or earlier.content != self.content:
            return self
        return msgspec.structs.replace(
            self, times=self.times + earlier.times, first_at=earlier.first_at
        )


class DelayedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """An output of a call that exists and cannot be had now.

    Attributes:
        reason: Why not, in a sentence.
        received: What came in its place; None if nothing complete did.
    """

    reason: str
    received: ReceivedBody | None = None

    def after(self, earlier: "DelayedOutput | None") -> "DelayedOutput":
        """Return the output with what came in its place before."""
        before = None if earlier is None else earlier.received
        received = before if self.received is None else self.received.after(before)
        return msgspec.structs.replace(self, received=received)


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one call.

    Attributes:
        images: The requested images first, then any others that the call made.
        model: Model that was used, as reported by the backend; "" if unknown.
        steps: Number of steps, as reported by the backend; None if unknown.
        cost: Cost of the call, if the backend reports it.
        used: Consumption, as far as the backend reports it; missing numbers of images
            and megapixels are measured.
        parameters: Other values that the backend reports; stored in the sidecar.
        source_type: How the images were made, a term of IPTC's DigitalSourceType
            vocabulary, which is embedded in the files: "trainedAlgorithmicMedia" for a
            trained model, "algorithmicMedia" for a program that draws by itself.
        delayed: Outputs that exist and cannot be had now, by their position among all
            outputs, from 0: `resume` is asked for them later. Not part of `images`.
        deleted: Why an output can never be had, by its position. Not part of `images`.
    """

    images: tuple[GeneratedImage, ...]
    model: str = ""
    steps: int | None = None
    cost: Cost = Cost()
    used: Used = Used()
    parameters: Mapping[str, object] = {}
    source_type: str = AI_GENERATED
    delayed: Mapping[int, DelayedOutput] = {}
    deleted: Mapping[int, str] = {}

    @property
    def outputs(self) -> dict[int, GeneratedImage]:
        """The images, by their position among all outputs."""
        missing = {*self.delayed, *self.deleted}
        free = (position for position in count() if position not in missing)
        return dict(zip(free, self.images, strict=False))

    def settle(self) -> "Generated":
        """Return the result with what came in place of an image for the last time."""
        bodies = {
            position: GeneratedImage(
                content=output.received.content, media_type="application/octet-stream"
            )
            for position, output in self.delayed.items()
            if output.received is not None and output.received.is_final
        }
        images = {**self.outputs, **bodies}
        return msgspec.structs.replace(
            self,
            images=tuple(images[position] for position in sorted(images)),
            delayed={
                position: output
                for position, output in self.delayed.items()
                if position not in bodies
            },
        )


class StoredImage(msgspec.Struct, frozen=True, kw_only=True):
    """A stored image.

    Attributes:
        number: Position of the image in the request, from 1.
        extras: Images that the same call made beyond the requested ones.
        strict: Whether the request was strict: no parameter may be ignored or adjusted.
    """

    number: int
    location: str
    content: bytes
    facts: ImageFacts
    sidecar: Sidecar
    extras: "tuple[StoredImage, ...]" = ()
    strict: bool = False

    def check_strict(self, image: object) -> NotAsRequested | None:
        """Return the error of an image that differs from a strict request, else None.

        Args:
            image: The image in the form in which the error has it.
        """
        if not (self.strict and self.sidecar.difference):
            return None
        return NotAsRequested(
            f"{self.location} is not as requested: {self.sidecar.difference}.",
            image=image,
        )


class FailedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that was not made, or could not be stored at its location.

    Attributes:
        number: Position of the image in the request, from 1.
        error: The reason: an `ImagenError`, or another exception for a bug in imagen or
            in the adapter.
        rescued: The image, if it was made and stored at another location.
    """

    number: int
    error: BaseException
    rescued: StoredImage | None = None


class GenerationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one request, in the order of its images."""

    stored: tuple[StoredImage, ...] = ()
    failed: tuple[FailedImage, ...] = ()


def mark_strict(outcome: StoredImage | FailedImage) -> StoredImage | FailedImage:
    """Return the outcome of a strict request."""
    if isinstance(outcome, FailedImage):
        return outcome
    return msgspec.structs.replace(outcome, strict=True)
