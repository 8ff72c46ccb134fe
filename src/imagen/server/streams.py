"""A request told while it goes on, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
from litestar.response import Stream as StreamResponse

from imagen.domain.events import Progressed
from imagen.domain.result import FailedImage
from imagen.server.answers import (
    How,
    Link,
    Made,
    format_of,
    image_data,
    made,
    moment_of,
)
from imagen.server.desk import Desk, Job
from imagen.server.failures import ErrorBody, failure_of

KEEP_ALIVE = 15.0
"""Seconds of silence, after which a comment keeps proxies from hanging up."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an image is; ours, for backends without previews."""

    type: str
    index: int
    fraction: float | None
    note: str


class Completed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image that is done, with OpenAI's fields and ours."""

    type: str
    created_at: int
    size: str
    output_format: str
    b64_json: bytes | None = None
    url: str | None = None
    id: str
    index: int
    seed: int | None = None
    revised_prompt: str | None = None
    cost_usd: float | None = None
    warnings: tuple[str, ...] = ()


class Teller(msgspec.Struct, frozen=True):
    """What events are called: `image_generation`, or `image_edit`."""

    kind: str

    def telling(self, *, how: How, link: Link) -> "Telling":
        """Return what tells one request."""
        return Telling(kind=self.kind, how=how, link=link)


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """What events of one request say.

    Attributes:
        kind: What they are called.
        how: As what images are sent.
        link: Makes URLs.
    """

    kind: str
    how: How
    link: Link

    def progress(self, step: Progressed) -> bytes:
        """Say how far an image is."""
        return _event(
            Progress(
                type=f"{self.kind}.progress",
                index=step.number - 1,
                fraction=step.fraction,
                note=step.note,
            )
        )

    def completed(self, image: Made, index: int) -> bytes:
        """Say that an image is done."""
        data = image_data(image, how=self.how, link=self.link)
        sidecar = image.sidecar
        return _event(
            Completed(
                type=f"{self.kind}.completed",
                created_at=moment_of(sidecar),
                size=data.size,
                output_format=format_of(sidecar),
                b64_json=data.b64_json,
                url=data.url,
                id=data.id,
                index=index,
                seed=data.seed,
                revised_prompt=data.revised_prompt,
                cost_usd=data.cost_usd,
                warnings=sidecar.warnings,
            )
        )

    def failed(self, error: BaseException) -> bytes:
        """Say that no more comes."""
        body = ErrorBody(error=failure_of(error).problem)
        return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"


async def streamed(
    job: Job, desk: Desk, telling: Telling, *, partial: bool
) -> StreamResponse:
    """Return the events of a job; what fails before anything is sent has a status.

    Raises:
        Failure, ImagenError: why nothing is sent.
    """
    del partial  # no backend tells previews yet: steps are told instead
    desk.join(job)
    try:
        while not (job.feed.planned or job.work.done()):
            await job.feed.change(job.feed.version)
        if job.work.done():
            job.work.result()
    except BaseException:
        desk.leave(job)
        raise
    return StreamResponse(
        _events(job, desk, telling),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(job: Job, desk: Desk, telling: Telling) -> AsyncGenerator[bytes]:
    told: set[int] = set()
    steps: dict[int, Progressed] = {}
    try:
        while True:
            version, over = job.feed.version, job.work.done()
            for number, step in list(job.feed.steps.items()):
                if steps.get(number) is not step and number not in told:
                    steps[number] = step
                    yield telling.progress(step)
            for outcome in list(job.feed.outcomes):
                image = outcome.rescued if isinstance(outcome, FailedImage) else outcome
                if image is not None and image.number not in told:
                    told.add(image.number)
                    yield telling.completed(made(image), image.number - 1)
            if over:
                break
            try:
                await asyncio.wait_for(job.feed.change(version), KEEP_ALIVE)
            except TimeoutError:
                yield b": still at it\n\n"
        error = job.work.exception()
        if error is not None:
            yield telling.failed(error)
        elif not told:  # it was made for an earlier request with the same key
            for index, kept in enumerate(job.work.result().images):
                yield telling.completed(kept, index)
    finally:
        desk.leave(job)
    yield b"data: [DONE]\n\n"


def _event(said: Progress | Completed) -> bytes:
    words = msgspec.json.encode(said)
    return b"event: " + said.type.encode() + b"\ndata: " + words + b"\n\n"
