"""A request told while it goes on, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime

import msgspec
from litestar.response import Stream as StreamResponse

from imagen.domain.events import Previewed, Progressed
from imagen.domain.result import FailedImage
from imagen.server.errors import ErrorBody, to_error_response
from imagen.server.http.responses import (
    How,
    Link,
    build_image_data,
    created_timestamp,
    openai_format,
)
from imagen.server.jobs.dispatcher import Job, RequestDispatcher
from imagen.server.jobs.results import StoredOutput, load_stored_output

KEEP_ALIVE = 15.0
"""Seconds of silence, after which a comment keeps proxies from hanging up."""


class ProgressEvent(msgspec.Struct, frozen=True, kw_only=True):
    """How far an image is; ours, for backends without previews."""

    type: str
    index: int
    fraction: float | None
    note: str


class PartialImageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An image so far, with OpenAI's fields and ours."""

    type: str
    b64_json: bytes
    created_at: int
    output_format: str
    partial_image_index: int
    index: int


class CompletedEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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


class EventNames(msgspec.Struct, frozen=True):
    """What events are called: `image_generation`, or `image_edit`."""

    kind: str

    def telling(
        self, *, how: How, link: Link, began: datetime, partial: int = 0
    ) -> "EventBuilder":
        """Return what tells one request."""
        return EventBuilder(
            kind=self.kind, how=how, link=link, began=began, partial=partial
        )


class EventBuilder(msgspec.Struct, frozen=True, kw_only=True):
    """What events of one request say.

    Attributes:
        kind: What they are called.
        how: As what images are sent.
        link: Makes URLs.
        began: When it was asked for.
        partial: Previews of each image, at most.
    """

    kind: str
    how: How
    link: Link
    began: datetime
    partial: int = 0

    def progress(self, step: Progressed) -> bytes:
        """Say how far an image is."""
        return _event(
            ProgressEvent(
                type=f"{self.kind}.progress",
                index=step.number - 1,
                fraction=step.fraction,
                note=step.note,
            )
        )

    def so_far(self, preview: Previewed, *, shown: int) -> bytes:
        """Show an image so far; so many were shown of it before."""
        return _event(
            PartialImageEvent(
                type=f"{self.kind}.partial_image",
                b64_json=preview.content,
                created_at=int(self.began.timestamp()),
                output_format=preview.media_type.removeprefix("image/"),
                partial_image_index=shown,
                index=preview.number - 1,
            )
        )

    def completed(self, image: StoredOutput, index: int) -> bytes:
        """Say that an image is done."""
        data = build_image_data(image, how=self.how, link=self.link)
        sidecar = image.sidecar
        return _event(
            CompletedEvent(
                type=f"{self.kind}.completed",
                created_at=created_timestamp(sidecar),
                size=data.size,
                output_format=openai_format(sidecar),
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
        body = ErrorBody(error=to_error_response(error).problem)
        return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"


async def stream_events(
    job: Job, desk: RequestDispatcher, telling: EventBuilder
) -> StreamResponse:
    """Return the events of a job; what fails before anything is sent has a status.

    Raises:
        Failure, ImagenError: why nothing is sent.
    """
    desk.join(job)
    try:
        while not (job.feed.planned or job.result.done()):
            await job.feed.change(job.feed.version)
        if job.result.done():
            job.result.result()
    except BaseException:
        desk.leave(job)
        raise
    return StreamResponse(
        _events(job, desk, telling),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class PreviewSelector:
    """Chooses the previews that a client sees: so many, evenly over the work.

    Args:
        telling: What the client asked for.
    """

    def __init__(self, telling: EventBuilder) -> None:
        self._telling = telling
        self._shown: dict[int, list[Previewed]] = {}

    def say(self, preview: Previewed, step: Progressed | None) -> bytes:
        """Return the event that shows it; empty if it is not one of those."""
        shown = self._shown.setdefault(preview.number, [])
        done = 1.0 if step is None or step.fraction is None else step.fraction
        most = self._telling.partial
        if len(shown) >= most or (shown and shown[-1] is preview):
            return b""
        if done < (len(shown) + 1) / (most + 1):
            return b""
        shown.append(preview)
        return self._telling.so_far(preview, shown=len(shown) - 1)


async def _events(
    job: Job, desk: RequestDispatcher, telling: EventBuilder
) -> AsyncGenerator[bytes]:
    told: set[int] = set()
    steps: dict[int, Progressed] = {}
    previews = PreviewSelector(telling)
    try:
        while True:
            version, over = job.feed.version, job.result.done()
            for number, step in list(job.feed.steps.items()):
                if steps.get(number) is not step and number not in told:
                    steps[number] = step
                    yield telling.progress(step)
            for number, preview in list(job.feed.previews.items()):
                if number not in told:
                    said = previews.say(preview, job.feed.steps.get(number))
                    if said:
                        yield said
            for outcome in list(job.feed.outcomes):
                image = outcome.rescued if isinstance(outcome, FailedImage) else outcome
                if image is not None and image.number not in told:
                    told.add(image.number)
                    yield telling.completed(load_stored_output(image), image.number - 1)
            if over:
                break
            try:
                await asyncio.wait_for(job.feed.change(version), KEEP_ALIVE)
            except TimeoutError:
                yield b": still at it\n\n"
        error = job.result.exception()
        if error is not None:
            yield telling.failed(error)
        elif not told:  # it was made for an earlier request with the same key
            for index, kept in enumerate(job.result.result().images):
                yield telling.completed(kept, index)
    finally:
        desk.leave(job)
    yield b"data: [DONE]\n\n"


def _event(said: ProgressEvent | PartialImageEvent | CompletedEvent) -> bytes:
    words = msgspec.json.encode(said)
    return b"event: " + said.type.encode() + b"\ndata: " + words + b"\n\n"
