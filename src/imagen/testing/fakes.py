"""Fakes of the clock, the job context, a backend, a storage and an image editor."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread
from typing import TypeAlias

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    InvalidRequest,
    NameTaken,
)
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import FREE
from imagen.domain.naming import SIDECAR_SUFFIX
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.size import SizeRule
from imagen.formats.container import rgb_png
from imagen.ports.job_context import JobContext

Colour: TypeAlias = tuple[int, int, int]

NEW_YEAR = datetime(2030, 1, 1, 12, tzinfo=UTC)


def tiny_png(
    width: int = 64, height: int = 64, colour: Colour = (200, 30, 30)
) -> bytes:
    """Return a valid PNG of one colour, which takes few bytes at any size."""
    rows = (b"\0" + bytes(colour) * width) * height
    return rgb_png(width, height, [rows])


class RecordingContext:
    """A job context whose waits take no time, and which records all calls.

    Attributes:
        references: The reported references of the remote job.
        fractions: Each reported fraction, or None.
        notes: The note of each report.
        steps: The number of steps of each report, or None.
        waits: The seconds of each wait.
    """

    def __init__(self) -> None:
        self.references: list[str] = []
        self.fractions: list[float | None] = []
        self.notes: list[str] = []
        self.steps: list[int | None] = []
        self.waits: list[float] = []

    def accepted(self, reference: str) -> None:
        self.references.append(reference)

    def progress(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None:
        self.fractions.append(fraction)
        self.notes.append(note)
        self.steps.append(steps)

    def sleep(self, seconds: float) -> None:
        """Record the wait and return at once."""
        self.waits.append(seconds)

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Ignore the function: this job is never cancelled."""


class CancelledContext(RecordingContext):
    """The context of a job that was cancelled before it began: every wait raises."""

    def sleep(self, seconds: float) -> None:
        """Record the wait and raise Cancelled."""
        super().sleep(seconds)
        raise Cancelled("The job was cancelled.")

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Call the function at once."""
        close()


class StoppableContext(RecordingContext):
    """A context whose waits take real time, until `stop` cancels the job."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped = Event()
        self._close: list[Callable[[], None]] = []
        self._lock = Lock()

    def sleep(self, seconds: float) -> None:
        """Wait; raise Cancelled once the job is stopped."""
        super().sleep(seconds)
        if self._stopped.wait(max(0.0, seconds)):
            raise Cancelled("The job was cancelled.")

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Call the function when the job is stopped; at once if it was."""
        with self._lock:
            if not self._stopped.is_set():
                self._close.append(close)
                return
        close()

    def stop(self) -> None:
        """Cancel the job; to be called from another thread."""
        with self._lock:
            self._stopped.set()
            closing, self._close = self._close, []
        for close in closing:
            close()


class _PendingCall(msgspec.Struct, eq=False):
    moment: float
    call: Callable[[], None]


class FakeClock:
    """A clock whose time advances only when a thread waits, and then at once.

    A call that was scheduled with `after` is made while a thread waits past its time.

    Attributes:
        waits: The seconds of each wait.
    """

    def __init__(self, start: datetime = NEW_YEAR) -> None:
        self.waits: list[float] = []
        self._start = start
        self._elapsed = 0.0
        self._due: list[_PendingCall] = []
        self._lock = Lock()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def wait(self, until: Event, seconds: float) -> bool:
        """Advance the time until the event is set or the seconds are over."""
        self.waits.append(seconds)
        end = self._elapsed + max(0.0, seconds)
        while not until.is_set() and (due := self._next(end)) is not None:
            # In another thread, as with the real clock: a call that takes a lock of the
            # waiting thread would pass a test in the same thread, and deadlock later.
            thread = Thread(target=due.call)
            thread.start()
            thread.join()
        if not until.is_set():
            with self._lock:
                self._elapsed = max(self._elapsed, end)
        return until.is_set()

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Schedule a call; return a function that cancels it."""
        due = _PendingCall(self._elapsed + seconds, call)
        with self._lock:
            self._due.append(due)

        def cancel() -> None:
            with self._lock:
                if due in self._due:
                    self._due.remove(due)

        return cancel

    def _next(self, end: float) -> _PendingCall | None:
        """Advance to the first call that is due by the given time, and remove it."""
        with self._lock:
            due = min(self._due, key=lambda due: due.moment, default=None)
            if due is None or due.moment > end:
                return None
            self._due.remove(due)
            self._elapsed = max(self._elapsed, due.moment)
            return due


ScriptStep: TypeAlias = (
    Generated | Exception | Callable[[ImageJob, JobContext], Generated]
)
"""One step of a scripted backend: a result to return, an error to raise, or a function
to call with the job."""

ANYTHING = Capabilities(
    model="plain",
    models=("plain", "fancy"),
    sizes=SizeRule(largest=4096),
    largest_seed=2**64 - 1,
    negative=True,
    steps=True,
    formats=("image/png",),
    parameters={"mood": "cheerful or grave"},
    may_cost=False,
)
"""Most capabilities, without cost."""


class ScriptedBackend:
    """A backend that plays one step of a script per job, then makes plain images.

    Attributes:
        jobs: The jobs that were submitted.
    """

    def __init__(
        self, *script: ScriptStep, capabilities: Capabilities = ANYTHING
    ) -> None:
        self.jobs: list[ImageJob] = []
        self._script = list(script)
        self._capabilities = capabilities
        self._lock = Lock()

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        return _play(self._next_step(job), job, context)

    def _next_step(self, job: ImageJob) -> ScriptStep:
        if job.options.get("mood", "cheerful") not in {"cheerful", "grave"}:
            raise InvalidRequest("mood must be cheerful or grave.")
        with self._lock:
            self.jobs.append(job)
            return self._script.pop(0) if self._script else plain_images


class ResumableScriptedBackend(ScriptedBackend):
    """A scripted backend whose jobs have references, and can be resumed and found.

    Attributes:
        taken: The accepted jobs by reference.
        at: The time at which jobs are accepted.
    """

    def __init__(
        self,
        *script: ScriptStep,
        capabilities: Capabilities = ANYTHING,
        at: datetime = NEW_YEAR,
    ) -> None:
        super().__init__(*script, capabilities=capabilities)
        self.taken: dict[str, ImageJob] = {}
        self.at = at

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Accept the job, unless the next step refuses it, and play the step."""
        answer = self._next_step(job)
        if not isinstance(answer, ImagenError) or answer.may_have_cost:
            context.accepted(self.take(job))
        return _play(answer, job, context)

    def take(self, job: ImageJob) -> str:
        """Accept a job without reporting it, as if the response were lost."""
        with self._lock:
            name = f"job-{len(self.taken) + 1}"
            self.taken[name] = job
        return name

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        """Return the plain images of an accepted job."""
        if reference not in self.taken:
            raise BackendError(f"Unknown job {reference}.")
        return plain_images(job, context)

    def find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Return the references of all equal jobs."""
        if since > self.at:
            return ()
        return tuple(name for name, taken in self.taken.items() if taken == job)


def _play(answer: ScriptStep, job: ImageJob, context: JobContext) -> Generated:
    if isinstance(answer, Exception):
        raise answer
    return answer if isinstance(answer, Generated) else answer(job, context)


def plain_images(job: ImageJob, context: JobContext) -> Generated:
    """Return images of one colour without cost, as many as the job counts."""
    context.progress(1.0)
    colour = (job.seed or 0) % 256, job.number % 256, 120
    image = GeneratedImage(
        content=tiny_png(*job.size.sides, colour), media_type="image/png", seed=job.seed
    )
    return Generated(
        images=(image,) * job.count,
        model=job.model,
        steps=job.steps,
        cost=FREE,
        parameters=dict(job.options),
    )


class MemoryStorage:
    """A storage in a dictionary.

    Attributes:
        kept: Images and sidecars, by name.
        media_types: The media type of each image.
    """

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.media_types: dict[str, str] = {}
        self._lock = Lock()

    def save(
        self,
        name: str,
        content: bytes,
        *,
        media_type: str,
        sidecar: bytes | None = None,
        again: bool = False,
    ) -> str:
        """Store both files, unless one of the names is in use."""
        note = name + SIDECAR_SUFFIX
        with self._lock:
            stored = self.kept.get(name), self.kept.get(note)
            same = stored[0] == content or stored == (None, sidecar)
            if stored != (None, None) and not (again and same):
                raise NameTaken(f"{name} exists already.")
            self.kept[name] = content
            self.media_types[name] = media_type
            self.kept.pop(note, None)
            if sidecar is not None:
                self.kept[note] = sidecar
        return f"memory:{name}"

    def read(self, name: str) -> bytes | None:
        """Return the file; None when the name is unknown."""
        with self._lock:
            return self.kept.get(name)
