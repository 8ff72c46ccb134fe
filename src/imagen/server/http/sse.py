"""Server-sent events of a running job, in the format of OpenAI's images API."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime

import msgspec
from litestar.response import Stream as StreamResponse

from imagen.domain.events import Previewed, Progressed
from imagen.domain.printable import encode_json
from imagen.domain.result import FailedImage
from imagen.server.errors import ErrorBody, to_error_response
from imagen.server.http.responses import (
    Describe,
    created_timestamp,
    openai_format,
)
from imagen.server.jobs.job import Job, Output

# Seconds without an event after which a comment is sent: proxies close connections that
# are silent for long, nginx by default after 60 s.
KEEP_ALIVE_INTERVAL = 15.0
# nginx buffers responses unless X-Accel-Buffering forbids it.
EVENT_STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class ProgressEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of an image; an extension, for backends without previews."""

    type: str
    index: int
    fraction: float | None
    note: str


class PartialImageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A preview of an image; `index` is an extension."""

    type: str
    b64_json: bytes
    created_at: int
    output_format: str
    partial_image_index: int
    index: int


class CompletedEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored image, with OpenAI's fields and the extensions of `ImageData`."""

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


class EventBuilder(msgspec.Struct, kw_only=True):
    """Builds the events of one stream.

    Attributes:
        kind: `image_generation` or `image_edit`; the prefix of event types.
        partial: The maximum number of previews for each image.
        sent: The previews that were sent, by the number of the image.
    """

    kind: str
    describe: Describe
    started_at: datetime
    partial: int = 0
    sent: dict[int, list[Previewed]] = {}

    def progress(self, step: Progressed) -> bytes:
        """Return a progress event."""
        return _encode(
            ProgressEvent(
                type=f"{self.kind}.progress",
                index=step.number - 1,
                fraction=step.fraction,
                note=step.note,
            )
        )

    def partial_image(self, preview: Previewed, step: Progressed | None) -> bytes:
        """Return a preview event; empty if it is skipped.

        Up to `partial` previews are sent, evenly spread over the run.
        """
        sent = self.sent.setdefault(preview.number, [])
        fraction = 1.0 if step is None or step.fraction is None else step.fraction
        if len(sent) >= self.partial or (sent and sent[-1] is preview):
            return b""
        if fraction < (len(sent) + 1) / (self.partial + 1):
            return b""
        sent.append(preview)
        return _encode(
            PartialImageEvent(
                type=f"{self.kind}.partial_image",
                b64_json=preview.content,
                created_at=int(self.started_at.timestamp()),
                output_format=preview.media_type.removeprefix("image/"),
                partial_image_index=len(sent) - 1,
                index=preview.number - 1,
            )
        )

    def completed(self, image: Output, index: int) -> bytes:
        """Return the event of a stored image; reads the history."""
        sidecar = image.sidecar
        data = msgspec.structs.asdict(self.describe(image))
        del data["mime_type"]
        return _encode(
            CompletedEvent(
                type=f"{self.kind}.completed",
                created_at=created_timestamp(sidecar),
                output_format=openai_format(sidecar),
                index=index,
                warnings=(*sidecar.warnings, *data.pop("warnings")),
                **data,
            )
        )

    def failed(self, error: BaseException) -> bytes:
        """Return the error event that ends a stream."""
        body = ErrorBody(error=to_error_response(error).details)
        return b"event: error\ndata: " + encode_json(body) + b"\n\n"


def stream_events(job: Job, builder: EventBuilder) -> StreamResponse:
    """Return the events of a job as a streaming response."""
    return StreamResponse(
        _events(job, builder),
        media_type="text/event-stream",
        headers=EVENT_STREAM,
    )


async def _events(job: Job, builder: EventBuilder) -> AsyncGenerator[bytes]:
    completed: set[int] = set()
    steps: dict[int, Progressed] = {}
    if job.position:
        yield _comment(job)
    while True:
        # Read before the state: a change during the loop then causes another round.
        changed, finished = job.changed, job.result.done()
        for number, step in list(job.steps.items()):
            if steps.get(number) is not step and number not in completed:
                steps[number] = step
                yield builder.progress(step)
        for number, preview in list(job.previews.items()):
            latest = job.steps.get(number)
            if number not in completed and (
                event := builder.partial_image(preview, latest)
            ):
                yield event
        for outcome in list(job.outcomes):
            image = outcome.rescued if isinstance(outcome, FailedImage) else outcome
            if image is not None and image.number not in completed:
                completed.add(image.number)
                yield await asyncio.to_thread(
                    builder.completed, image, image.number - 1
                )
        if finished:
            break
        try:
            await asyncio.wait_for(changed.wait(), KEEP_ALIVE_INTERVAL)
        except TimeoutError:
            yield _comment(job)
    error = job.result.exception()
    if error is not None:
        yield builder.failed(error)
    elif not completed:
        # The images are from an earlier request: no outcomes.
        for index, stored in enumerate(job.result.result().images):
            yield await asyncio.to_thread(builder.completed, stored, index)
    yield b"data: [DONE]\n\n"


def _comment(job: Job) -> bytes:
    """Return a line that keeps the connection open, and that clients ignore."""
    if place := job.position:
        return b": place %d in the queue\n\n" % place
    return b": keep-alive\n\n"


def _encode(event: ProgressEvent | PartialImageEvent | CompletedEvent) -> bytes:
    data = encode_json(event)
    return b"event: " + event.type.encode() + b"\ndata: " + data + b"\n\n"
