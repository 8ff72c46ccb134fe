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
    Link,
    ResponseFormat,
    build_image_data,
    created_timestamp,
    openai_format,
)
from imagen.server.jobs.dispatcher import Job, RequestDispatcher
from imagen.server.jobs.results import StoredOutput, load_stored_output

KEEP_ALIVE_INTERVAL = 15.0
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

    def builder(
        self,
        *,
        response_format: ResponseFormat,
        link: Link,
        started_at: datetime,
        partial: int = 0,
    ) -> "EventBuilder":
        """Return what tells one request."""
        return EventBuilder(
            kind=self.kind,
            response_format=response_format,
            link=link,
            started_at=started_at,
            partial=partial,
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
    response_format: ResponseFormat
    link: Link
    started_at: datetime
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

    def partial_image(self, preview: Previewed, *, sent: int) -> bytes:
        """Show an image so far; so many were shown of it before."""
        return _event(
            PartialImageEvent(
                type=f"{self.kind}.partial_image",
                b64_json=preview.content,
                created_at=int(self.started_at.timestamp()),
                output_format=preview.media_type.removeprefix("image/"),
                partial_image_index=sent,
                index=preview.number - 1,
            )
        )

    def completed(self, image: StoredOutput, index: int) -> bytes:
        """Say that an image is done."""
        data = build_image_data(
            image, response_format=self.response_format, link=self.link
        )
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
        body = ErrorBody(error=to_error_response(error).details)
        return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"


async def stream_events(
    job: Job, dispatcher: RequestDispatcher, builder: EventBuilder
) -> StreamResponse:
    """Return the events of a job; what fails before anything is sent has a status.

    Raises:
        Failure, ImagenError: why nothing is sent.
    """
    dispatcher.join(job)
    try:
        while not (job.progress.planned or job.result.done()):
            await job.progress.wait_for_change(job.progress.version)
        if job.result.done():
            job.result.result()
    except BaseException:
        dispatcher.leave(job)
        raise
    return StreamResponse(
        _events(job, dispatcher, builder),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class PreviewSelector:
    """Chooses the previews that a client sees: so many, evenly over the work.

    Args:
        telling: What the client asked for.
    """

    def __init__(self, builder: EventBuilder) -> None:
        self._builder = builder
        self._sent: dict[int, list[Previewed]] = {}

    def select(self, preview: Previewed, step: Progressed | None) -> bytes:
        """Return the event that shows it; empty if it is not one of those."""
        sent = self._sent.setdefault(preview.number, [])
        done = 1.0 if step is None or step.fraction is None else step.fraction
        limit = self._builder.partial
        if len(sent) >= limit or (sent and sent[-1] is preview):
            return b""
        if done < (len(sent) + 1) / (limit + 1):
            return b""
        sent.append(preview)
        return self._builder.partial_image(preview, sent=len(sent) - 1)


async def _events(
    job: Job, dispatcher: RequestDispatcher, builder: EventBuilder
) -> AsyncGenerator[bytes]:
    completed: set[int] = set()
    steps: dict[int, Progressed] = {}
    previews = PreviewSelector(builder)
    try:
        while True:
            version, finished = job.progress.version, job.result.done()
            for number, step in list(job.progress.steps.items()):
                if steps.get(number) is not step and number not in completed:
                    steps[number] = step
                    yield builder.progress(step)
            for number, preview in list(job.progress.previews.items()):
                if number not in completed:
                    event = previews.select(preview, job.progress.steps.get(number))
                    if event:
                        yield event
            for outcome in list(job.progress.outcomes):
                image = outcome.rescued if isinstance(outcome, FailedImage) else outcome
                if image is not None and image.number not in completed:
                    completed.add(image.number)
                    yield builder.completed(load_stored_output(image), image.number - 1)
            if finished:
                break
            try:
                await asyncio.wait_for(
                    job.progress.wait_for_change(version), KEEP_ALIVE_INTERVAL
                )
            except TimeoutError:
                yield b": still at it\n\n"
        error = job.result.exception()
        if error is not None:
            yield builder.failed(error)
        elif not completed:  # it was made for an earlier request with the same key
            for index, stored in enumerate(job.result.result().images):
                yield builder.completed(stored, index)
    finally:
        dispatcher.leave(job)
    yield b"data: [DONE]\n\n"


def _event(event: ProgressEvent | PartialImageEvent | CompletedEvent) -> bytes:
    data = msgspec.json.encode(event)
    return b"event: " + event.type.encode() + b"\ndata: " + data + b"\n\n"
