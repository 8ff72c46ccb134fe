"""Commands that are paid once: the identity of what a user has asked for."""

from collections.abc import Iterable
from datetime import timedelta
from hashlib import sha256
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.call import OutputTarget
from imagen.domain.job import GenerationPlan
from imagen.domain.naming import Destination
from imagen.domain.request import GenerationRequest

CommandName: TypeAlias = Literal["generate", "rerun", "sweep"]

CONTINUED_FOR: dict[str, timedelta] = {
    "generate": timedelta(hours=24),
    "rerun": timedelta(hours=24),
    "sweep": timedelta(days=30),
}
"""The time after its last activity for which the same command continues a plan."""

WAITING_COMMANDS = frozenset({"sweep"})
"""The commands that wait for the same one in another process, and return its images."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The request of a user, as a command.

    Attributes:
        fingerprint: SHA-256 of everything that the user has asked for.
        key: The idempotency key; None for none.
        fresh: Whether an interrupted command is left alone.
    """

    name: CommandName
    fingerprint: str
    key: str | None = None
    fresh: bool = False

    @property
    def waits(self) -> bool:
        """True if the command waits for the same one in another process."""
        is_waiting = self.name in WAITING_COMMANDS and not self.fresh
        return self.key is not None or is_waiting


def identify_command(
    name: CommandName,
    requests: Iterable[tuple[GenerationRequest, GenerationPlan, str]],
    target: OutputTarget,
) -> str:
    """Return the SHA-256 of everything that the user has asked for.

    It does not depend on what is drawn at random, nor on time limits, budgets and
    prices.

    Args:
        requests: The requests, before a seed was drawn; their plans; and what the
            config has for their backends.
        target: The destination of the images.
    """
    described = (
        name,
        [_encode(text) for text in (target.folder, *_parts(target.destination))],
        [_describe(*each) for each in requests],
    )
    encoded = msgspec.json.encode(described, order="deterministic")
    return sha256(encoded).hexdigest()


def _parts(destination: Destination) -> tuple[str | None, ...]:
    return (destination.template, destination.name, destination.format)


def _encode(text: str | None) -> bytes | None:
    # A file name may have bytes that are not UTF-8.
    return None if text is None else text.encode(errors="surrogateescape")


def _describe(
    request: GenerationRequest, plan: GenerationPlan, config: str
) -> dict[str, object]:
    job, style = plan.jobs[0], request.style
    return {
        "backend": plan.instance.name,
        "adapter": plan.instance.adapter,
        "config": config,
        "prompt": request.prompt,
        "prompt_sent": job.prompt,
        "negative": plan.negative,
        "style": style and style.name,
        "model": job.model,
        "size": plan.size,
        "steps": job.steps,
        "count": request.count,
        "seed": request.seed or (style and style.seed) or 0,
        "options": job.options,
        "fit": request.fit,
        "fit_upscale": request.fit_upscale,
        "images": [image.sha256 for image in request.images],
        "mask": request.mask and request.mask.sha256,
    }
