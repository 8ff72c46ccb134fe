"""Stand-ins for the outside world: in memory, without time, and honest."""

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
    StorageError,
)
from imagen.domain.fit import Fit
from imagen.domain.money.cost import FREE
from imagen.domain.naming import SIDECAR_SUFFIX
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.size import Size, SizeRule
from imagen.formats.container import NotAnImage, read_facts, rgb_png
from imagen.ports.backend import JobContext

Colour: TypeAlias = tuple[int, int, int]

NEW_YEAR = datetime(2030, 1, 1, 12, tzinfo=UTC)


def tiny_png(
    width: int = 64, height: int = 64, colour: Colour = (200, 30, 30)
) -> bytes:
    """Return a whole PNG of one colour; small in bytes, whatever its size."""
    rows = (b"\0" + bytes(colour) * width) * height
    return rgb_png(width, height, [rows])


class RecordingContext:
    """Lets no time pass, and remembers all that it was told.

    Attributes:
        references: What the remote job was called.
        fractions: Each fraction that was reported, or None.
        notes: What was said with them.
        steps: How many steps there were said to be, likewise.
        waits: The seconds of each wait.
    """

    def __init__(self) -> None:
        self.references: list[str] = []
        self.fractions: list[float | None] = []
        self.notes: list[str] = []
        self.steps: list[int | None] = []
        self.waits: list[float] = []

    def accepted(self, reference: str) -> None:
        """Remember the name."""
        self.references.append(reference)

    def progress(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None:
        """Remember the words."""
        self.fractions.append(fraction)
        self.notes.append(note)
        self.steps.append(steps)

    def sleep(self, seconds: float) -> None:
        """Remember the wait, but do not wait."""
        self.waits.append(seconds)

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Never call it: nobody cancels."""


class CancelledContext(RecordingContext):
    """The job was cancelled before it began, so that no wait ends well."""

    def sleep(self, seconds: float) -> None:
        """Remember the wait, and refuse it."""
        super().sleep(seconds)
        raise Cancelled("Nobody wants the image any more.")

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Call it at once."""
        close()


class StoppableContext(RecordingContext):
    """Lets real time pass until the job is stopped, as the real one does."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped = Event()
        self._close: list[Callable[[], None]] = []
        self._lock = Lock()

    def sleep(self, seconds: float) -> None:
        """Wait, unless the job is stopped."""
        super().sleep(seconds)
        if self._stopped.wait(max(0.0, seconds)):
            raise Cancelled("The job was stopped.")

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Call it when the job is stopped, or at once."""
        with self._lock:
            if not self._stopped.is_set():
                self._close.append(close)
                return
        close()

    def stop(self) -> None:
        """Stop the job; to be called from another thread than the job's."""
        with self._lock:
            self._stopped.set()
            closing, self._close = self._close, []
        for close in closing:
            close()


class _PendingCall(msgspec.Struct, eq=False):
    """A call that is to come."""

    moment: float
    call: Callable[[], None]


class FakeClock:
    """A clock whose time passes only when somebody waits, and then at once.

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
        """Return the time that it has become."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return how many seconds were waited."""
        return self._elapsed

    def wait(self, until: Event, seconds: float) -> bool:
        """Move time on, to the moment at which the event is set or to the end."""
        self.waits.append(seconds)
        end = self._elapsed + max(0.0, seconds)
        while not until.is_set() and (due := self._next(end)) is not None:
            _call_in_thread(due.call)
        if not until.is_set():
            with self._lock:
                self._elapsed = max(self._elapsed, end)
        return until.is_set()

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Have it called by whoever waits past that moment, in another thread."""
        due = _PendingCall(self._elapsed + seconds, call)
        with self._lock:
            self._due.append(due)

        def call_off() -> None:
            with self._lock:
                if due in self._due:
                    self._due.remove(due)

        return call_off

    def _next(self, end: float) -> _PendingCall | None:
        """Move on to the first call that is due by then, and take it off the list."""
        with self._lock:
            due = min(self._due, key=lambda due: due.moment, default=None)
            if due is None or due.moment > end:
                return None
            self._due.remove(due)
            self._elapsed = max(self._elapsed, due.moment)
            return due


def _call_in_thread(call: Callable[[], None]) -> None:
    thread = Thread(target=call)
    thread.start()
    thread.join()


ScriptStep: TypeAlias = (
    Generated | Exception | Callable[[ImageJob, JobContext], Generated]
)
"""What a scripted backend does with one job: hand it over, raise it, or call it."""

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
"""Can do most things, for nothing."""


class ScriptedBackend:
    """Does with each job what the script says next; then makes plain images.

    Attributes:
        jobs: The jobs that it was given.
    """

    def __init__(
        self, *script: ScriptStep, capabilities: Capabilities = ANYTHING
    ) -> None:
        self.jobs: list[ImageJob] = []
        self._script = list(script)
        self._capabilities = capabilities
        self._lock = Lock()

    def capabilities(self) -> Capabilities:
        """Return what it was told that it can."""
        return self._capabilities

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Follow the script."""
        return _play(self._next_step(job), job, context)

    def _next_step(self, job: ImageJob) -> ScriptStep:
        """Return what the script says of the job."""
        if job.options.get("mood", "cheerful") not in {"cheerful", "grave"}:
            raise InvalidRequest("mood is cheerful or grave.")
        with self._lock:
            self.jobs.append(job)
            return self._script.pop(0) if self._script else plain_images


class ResumableScriptedBackend(ScriptedBackend):
    """Names the jobs that it takes, and can be asked for them later.

    Attributes:
        taken: Every job that it took, by its name.
        at: When it takes them.
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
        """Take the job, unless the script refuses it, and then follow the script."""
        answer = self._next_step(job)
        if not isinstance(answer, ImagenError) or answer.may_have_cost:
            context.accepted(self.take(job))
        return _play(answer, job, context)

    def take(self, job: ImageJob) -> str:
        """Take a job as if its answer had been lost, and return what it is called."""
        with self._lock:
            name = f"job-{len(self.taken) + 1}"
            self.taken[name] = job
        return name

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        """Make the plain images of a job that it took."""
        if reference not in self.taken:
            raise BackendError(f"There is no job {reference}.")
        return plain_images(job, context)

    def find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Return the names of all jobs that are like it."""
        if since > self.at:
            return ()
        return tuple(name for name, taken in self.taken.items() if taken == job)


def _play(answer: ScriptStep, job: ImageJob, context: JobContext) -> Generated:
    if isinstance(answer, Exception):
        raise answer
    return answer if isinstance(answer, Generated) else answer(job, context)


def plain_images(job: ImageJob, context: JobContext) -> Generated:
    """Return as many images of one colour as the job counts, which cost nothing."""
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
    """A dictionary with manners.

    Attributes:
        kept: Images and sidecars, by name.
        media_types: What each image was said to be.
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
        replace: bool = False,
        again: bool = False,
    ) -> str:
        """Keep both, unless something has the name of either."""
        note = name + SIDECAR_SUFFIX
        with self._lock:
            there = self.kept.get(name), self.kept.get(note)
            same = there[0] == content or there == (None, sidecar)
            if there != (None, None) and not replace and not (again and same):
                raise NameTaken(f"{name} is taken.")
            self.kept[name] = content
            self.media_types[name] = media_type
            self.kept.pop(note, None)
            if sidecar is not None:
                self.kept[note] = sidecar
        return f"memory:{name}"

    def read(self, name: str) -> bytes | None:
        """Look it up."""
        with self._lock:
            return self.kept.get(name)


class PlainEditor:
    """Redraws every image as a PNG of one colour; writes no other format.

    Attributes:
        asked: The media type and the fit of each call.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Fit | None]] = []

    def redraw(
        self, content: bytes, *, media_type: str, fit: Fit | None, size: Size | None
    ) -> bytes:
        """Return the plain image, at the size if it is to be fitted."""
        self.asked.append((media_type, fit))
        try:
            facts = read_facts(content)
        except NotAnImage as why:
            raise StorageError(f"The image cannot be redrawn: {why}.") from why
        if media_type != "image/png":
            raise StorageError(f"A plain editor writes no {media_type}.")
        if fit is None or size is None:
            return tiny_png(facts.width, facts.height)
        return tiny_png(*size.sides)
