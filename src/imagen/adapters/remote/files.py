"""The files of a job that has ended: downloaded, delayed or deleted."""

from collections.abc import Mapping, Sequence
from threading import Event
from types import MappingProxyType

import msgspec

from imagen.adapters.remote.cancellation import Canceller
from imagen.adapters.remote.fetch import (
    FileDownloader,
    NoImageReceived,
    OutputDeleted,
    TextReceived,
)
from imagen.adapters.remote.reads import (
    FIRST_POLL_INTERVAL,
    MAX_OUTAGE,
    JobReads,
    retry_after,
)
from imagen.adapters.remote.vendor import JobOutput, JobSucceeded
from imagen.domain.errors import BackendError, ImagenError, Refused, Unfinished
from imagen.domain.result import (
    DelayedOutput,
    Generated,
    GeneratedImage,
    ReceivedBody,
)
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext

MAX_PAGE_OUTAGE = 5.0
"""Seconds for which a text beside the requested images is requested again: it is seldom
meant to be one."""

BLACK_IMAGE = (
    "the image is all black, and the log of the model mentions unsafe content: the"
    " model probably withheld the image"
)

OPAQUE_IMAGE = (
    "a transparent background was requested, and the image has no transparent pixels"
)


class JobFiles:
    """Downloads the files of one job.

    Attributes:
        repeatable: Whether the job can be made again if a file was deleted.
    """

    def __init__(
        self,
        downloader: FileDownloader,
        reads: JobReads,
        *,
        name: str,
        count: int,
        context: JobContext,
        clock: Clock,
    ) -> None:
        """Prepare the downloads.

        Args:
            downloader: Downloads one file.
            reads: Repeats the downloads.
            name: The name of the vendor.
            count: The number of requested images.
            context: The context of the job.
            clock: The clock.
        """
        self.repeatable = False
        self._downloader = downloader
        self._reads = reads
        self._name = name
        self._count = count
        self._context = context
        self._clock = clock
        self._bodies: dict[int, ReceivedBody] = {}

    def collect(self, status: JobSucceeded) -> Generated:
        """Return all files that can be downloaded now.

        Raises:
            Unfinished: files exist, and none can be downloaded now.
            OutputDeleted: a file was deleted, and the job is repeatable.
            BackendError: the files were deleted.
        """
        if self._reads.fraction is not None:
            self._reads.fraction = 1.0
        images: dict[int, GeneratedImage] = {}
        deleted: dict[int, OutputDeleted] = {}
        delayed: dict[int, Unfinished] = {}
        # First each file once, so that one that is delayed does not hold up the others.
        for limit in (0.0, MAX_OUTAGE):
            if delayed:
                self._context.sleep(max(map(_first_pause, delayed.values())))
            for number in tuple(delayed) if limit else range(len(status.outputs)):
                before = delayed.pop(number, None)
                # Some models name a page beside the images.
                page = (
                    before is not None
                    and isinstance(before.__cause__, TextReceived)
                    and len(images) >= self._count
                )
                try:
                    images[number] = self._download(
                        status.outputs[number],
                        number,
                        limit=MAX_PAGE_OUTAGE if page else limit,
                    )
                except OutputDeleted as error:
                    if self.repeatable:
                        raise
                    deleted[number] = error
                except Unfinished as error:
                    delayed[number] = error
        if delayed and not images and not self._bodies:
            late = delayed[min(delayed)]
            raise Unfinished(
                f"{self._name} made the image, but the download failed: {late.message}",
                hint=late.hint,
            ) from late
        if deleted and not (images or delayed):
            first = deleted[min(deleted)]
            raise BackendError(
                first.message, hint=first.hint, used=status.used
            ) from first
        return self._build(
            status,
            [images[number] for number in sorted(images)],
            delayed={
                number: DelayedOutput(
                    reason=error.message, received=self._bodies.get(number)
                )
                for number, error in delayed.items()
            },
            deleted={number: error.message for number, error in deleted.items()},
        )

    def _download(
        self, output: JobOutput, number: int, *, limit: float
    ) -> GeneratedImage:
        self._context.progress(self._reads.fraction, "downloading")
        stopped = Event()

        def fetch() -> bytes:
            try:
                return self._downloader.fetch(output, stopped)
            except NoImageReceived as error:
                # An empty body is nothing that could be kept.
                if error.content:
                    now, before = self._clock.now(), self._bodies.get(number)
                    body = ReceivedBody(
                        content=error.content, first_at=now, last_at=now
                    )
                    self._bodies[number] = body.after(before)
                raise

        try:
            server = "The server of the image"
            return _build_image(output, self._reads.repeat(fetch, server, limit=limit))
        finally:
            stopped.set()

    def collect_cancelled(
        self, status: JobSucceeded, canceller: Canceller
    ) -> Generated | None:
        """Return all files of a cancelled job; None if they do not arrive in time."""
        unwanted = Event()

        def fetch() -> list[GeneratedImage]:
            return [
                _build_image(output, self._downloader.fetch(output, unwanted))
                for output in status.outputs
            ]

        images = canceller.attempt(fetch)
        unwanted.set()
        return None if images is None else self._build(status, images)

    def _build(
        self,
        status: JobSucceeded,
        images: Sequence[GeneratedImage],
        *,
        delayed: Mapping[int, DelayedOutput] = MappingProxyType({}),
        deleted: Mapping[int, str] = MappingProxyType({}),
    ) -> Generated:
        if not (images or delayed):
            raise Refused(
                f"{self._name} returned no image; it may have withheld it.",
                used=status.used,
            )
        return Generated(
            images=tuple(_add_warnings(status, image) for image in images),
            model=status.model,
            steps=status.steps,
            cost=status.cost,
            used=status.used,
            parameters=dict(status.parameters),
            delayed=delayed,
            deleted=deleted,
        )


def _first_pause(error: Unfinished) -> float:
    """Return the seconds to wait before a file is requested again."""
    reason = error.__cause__
    stated = retry_after(reason) if isinstance(reason, ImagenError) else None
    return min(MAX_OUTAGE, max(FIRST_POLL_INTERVAL, stated or 0.0))


def _add_warnings(status: JobSucceeded, image: GeneratedImage) -> GeneratedImage:
    warnings = status.warnings
    if status.flagged or status.transparent:
        from imagen.adapters.imaging.pixels import (  # noqa: PLC0415 - Pillow
            is_black,
            is_opaque,
        )

        if status.flagged and is_black(image.content):
            warnings = (*warnings, BLACK_IMAGE)
        if status.transparent and is_opaque(image.content):
            warnings = (*warnings, OPAQUE_IMAGE)
    return msgspec.structs.replace(image, warnings=warnings) if warnings else image


def _build_image(output: JobOutput, content: bytes) -> GeneratedImage:
    try:
        media_type = read_facts(content).media_type
    except NotAnImage:
        media_type = "application/octet-stream"
    return GeneratedImage(content=content, media_type=media_type, seed=output.seed)
