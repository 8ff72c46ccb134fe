"""The jobs of each caller, running or ended recently, for all of its devices."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal, TypeAlias
from zlib import crc32

import msgspec

from imagen.domain.events import Previewed
from imagen.domain.idempotency import RequestKey
from imagen.domain.result import FailedImage, StoredImage
from imagen.server.errors import to_error_response
from imagen.server.jobs.job import Job, Output
from imagen.server.jobs.recorded import key_id, key_reused

MAX_ENDED = 20
"""Ended jobs of one caller that are listed."""
LISTED_FOR = timedelta(days=1)
"""Time for which an ended job is listed."""

JobStatus: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
_LONGEST_PROMPT = 200


class JobImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image of a job.

    Attributes:
        number: 1 for the first image.
        fraction: The part that is done, from 0 to 1; None if it is unknown.
        note: What the backend says about its progress.
        preview: Changes with each preview; "" without one.
        id: The id of the stored image; "" until then.
    """

    number: int
    fraction: float | None = None
    note: str = ""
    preview: str = ""
    id: str = ""
    cost_usd: float | None = None


class JobView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job, as its caller sees it.

    Attributes:
        prompt: The beginning of the prompt.
        place: The place in the queue of the backend; 1 is the first.
        images: While it runs, one for each image that was requested; then the stored
            ones.
        warnings: Differences from the request, such as an image that failed.
        error: Why it has failed.
    """

    id: str
    created_at: datetime
    prompt: str
    backend: str
    status: JobStatus
    place: int | None = None
    images: tuple[JobImage, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""


class _Entry(msgspec.Struct):
    """A job on the board; an ended one keeps only its final view.

    Attributes:
        job: The job while it runs; its images would need much memory afterwards.
    """

    key: RequestKey | None
    job: Job | None
    view: JobView
    ended_at: datetime | None = None


class JobBoard:
    """Lists the jobs of each caller, and tells listeners of changes.

    It belongs to one event loop, and is empty after a restart.
    """

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, _Entry]] = {}
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self.closed = False

    def add(self, job: Job) -> None:
        """List a job that starts; one that is listed as ended stays as it is."""
        entries = self._entries.setdefault(job.caller, {})
        if job.id not in entries:
            entries[job.id] = _Entry(key=job.key, job=job, view=describe_job(job))
        job.on_change = lambda: self._wake(job.caller)
        self._wake_all()

    def end(self, job: Job) -> None:
        """Keep the final view of a job, before it forgets its images."""
        entries = self._entries[job.caller]
        entry = entries.get(job.id)
        if entry is not None and entry.job is job:
            entry.view, entry.job, entry.ended_at = (
                describe_job(job),
                None,
                job.ended_at,
            )
            ended = [id_ for id_, each in entries.items() if each.job is None]
            for id_ in ended[:-MAX_ENDED]:
                del entries[id_]
        # The places of the jobs behind it change, whosever they are.
        self._wake_all()

    def list_jobs(self, caller: str, *, now: datetime) -> tuple[JobView, ...]:
        """Return the jobs of a caller, the oldest first."""
        return tuple(
            entry.view if entry.job is None else describe_job(entry.job)
            for entry in self._entries.get(caller, {}).values()
            if entry.ended_at is None or now - entry.ended_at < LISTED_FOR
        )

    def find(self, key: RequestKey) -> JobView | None:
        """Return the job that was started with this key, if it is listed.

        Raises:
            ErrorResponse: it is a different request (422).
        """
        for entry in self._entries.get(key.caller, {}).values():
            if entry.key == key:
                return entry.view if entry.job is None else describe_job(entry.job)
            if entry.key is not None and key_id(entry.key) == key_id(key):
                raise key_reused()
        return None

    def find_preview(self, caller: str, job_id: str, number: int) -> Previewed | None:
        """Return the latest preview of an image of a running job."""
        entry = self._entries.get(caller, {}).get(job_id)
        if entry is None or entry.job is None:
            return None
        return entry.job.previews.get(number)

    def forget_ended(self, caller: str) -> None:
        """List no ended job of a caller any more."""
        entries = self._entries.get(caller, {})
        for id_ in [id_ for id_, entry in entries.items() if entry.job is None]:
            del entries[id_]
        self._wake(caller)

    @contextmanager
    def listen(self, caller: str) -> Generator[asyncio.Event]:
        """Lend an event that is set when the jobs of a caller may have changed.

        It is also set when the server shuts down.
        """
        event = asyncio.Event()
        listeners = self._listeners.setdefault(caller, set())
        listeners.add(event)
        try:
            yield event
        finally:
            listeners.discard(event)

    def close(self) -> None:
        """Let the listeners end."""
        self.closed = True
        self._wake_all()

    def _wake(self, caller: str) -> None:
        for event in self._listeners.get(caller, ()):
            event.set()

    def _wake_all(self) -> None:
        for caller in self._listeners:
            self._wake(caller)


def shorten_prompt(prompt: str) -> str:
    """Return the beginning of a prompt, for a list."""
    cut = prompt[:_LONGEST_PROMPT]
    return prompt if cut == prompt else f"{cut}…"


def describe_job(job: Job) -> JobView:
    """Return a job as its caller sees it."""
    view = JobView(
        id=job.id,
        created_at=job.created_at,
        prompt=shorten_prompt(job.prompt),
        backend=job.backend,
        status="queued" if job.position else "running",
        place=job.position or None,
    )
    if not job.result.done():
        return msgspec.structs.replace(view, images=_describe_images(job))
    if (error := job.result.exception()) is not None:
        details = to_error_response(error).details
        status: JobStatus = "cancelled" if details.code == "cancelled" else "failed"
        return msgspec.structs.replace(
            view, status=status, place=None, error=details.message
        )
    result = job.result.result()
    return msgspec.structs.replace(
        view,
        status="done",
        place=None,
        images=tuple(
            _describe_stored(image, number)
            for number, image in enumerate(result.images, start=1)
        ),
        warnings=result.warnings,
    )


def _describe_images(job: Job) -> tuple[JobImage, ...]:
    found = {
        number: JobImage(number=number) for number in range(1, job.image_count + 1)
    }
    for number, step in job.steps.items():
        preview = job.previews.get(number)
        found[number] = JobImage(
            number=number,
            fraction=step.fraction,
            note=step.note,
            preview="" if preview is None else f"{crc32(preview.content):08x}",
        )
    for outcome in job.outcomes:
        image = outcome.rescued if isinstance(outcome, FailedImage) else outcome
        if isinstance(image, StoredImage):
            found[image.number] = _describe_stored(image, image.number)
    return tuple(found[number] for number in sorted(found))


def _describe_stored(image: Output, number: int) -> JobImage:
    sidecar = image.sidecar
    return JobImage(number=number, id=sidecar.id, cost_usd=sidecar.cost_usd)
