"""The port to whatever makes images."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Generic, Protocol, TypeVar, runtime_checkable

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated
from imagen.ports.clock import Clock

OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


class JobContext(Protocol):
    """Held by a backend while it works: the only way in which it may wait or speak."""

    def accepted(self, reference: str) -> None:
        """Say what the remote job is called, as soon as that is known.

        Once for a job, and never with an empty name.
        """
        ...

    def progress(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None:
        """Say how far the image is, from 0 to 1; None when that cannot be known.

        Args:
            fraction: How much of the work is done; never less than before.
            note: What is being done, in a word or two.
            steps: How many steps the whole work has, if it goes in steps; at least 1.
        """
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            Cancelled: nobody wants the image any more, or its time is over.
        """
        ...

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Have `close` called, once, from another thread, when the job is cancelled.

        For breaking a read that blocks: a socket's `shutdown` does, closing an HTTP
        client from outside does not on Linux, so read in slices of a second at most.
        When it has been cancelled already, `close` is called at once, by the caller.
        """
        ...


@runtime_checkable
class LiveJobContext(JobContext, Protocol):
    """The context of somebody who wants to see the image while it is made.

    A backend that cannot send pictures on the way need not know of it; one that can
    asks its vendor for them only for such a context.
    """

    def show(self, content: bytes, *, media_type: str) -> None:
        """Show what there is of the image so far: a small picture, as a whole file."""
        ...


class ImageBackend(Protocol):
    """Makes images.

    Building one costs no network and no money. One instance may be used from several
    threads at once, and keeps nothing from one job to the next. Neither its `repr` nor
    any error (or its cause), parameter, note or reference that it hands out contains a
    secret.

    Prove an implementation with `imagen.testing.BackendContract`.
    """

    def capabilities(self) -> Capabilities:
        """Return what it can do. Quick, without network, the same every time."""
        ...

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Make the images of one call and return their bytes, unchanged.

        Every parameter of the job is one that `capabilities` allows; its prompt is any
        text. The job and its options are not changed. Tries once: asking again is the
        caller's decision. Tells the context what the remote job is called before it
        does anything else with it. Waits only through the context, and stops within 2 s
        of its being cancelled, after cancelling the remote job. Returns as many images
        as the job counts, fewer only if the vendor withheld some; each has the job's
        size, the format that was asked for, and is an image of the media type that it
        says. Claims no seed but the one it used. Reports fractions from 0 to 1 only.

        Raises:
            InvalidRequest: a value in `job.options` makes no sense; nothing was sent.
            Refused: the vendor will not make this.
            Throttled: too many requests, with `retry_after` if the vendor says.
            Unavailable: not reached, or down before it took the job.
            Unauthorized, OutOfCredit: as they say.
            Unfinished: the vendor may have taken the job, and its fate is unknown.
            BackendError: any other failure on the vendor's side.
            Cancelled: passed through from the context; `settled` only if the vendor
                confirmed that the job has ended, or was never sent one.

        Every error that ends a job says what was `used` all the same, if that is known;
        `UNTOUCHED` when it certainly cost nothing.
        """
        ...


@runtime_checkable
class WarmupBackend(Protocol):
    """A backend that takes a moment before it can send its first job."""

    def prepare(self) -> None:
        """Load and build what a job needs; send nothing.

        Called before it is written down that a job is about to be sent, so that little
        time is left in which a process can die and nobody knows whether it was.

        Raises:
            Unauthorized, Misconfigured: it could send nothing.
        """
        ...


@runtime_checkable
class PerModelBackend(Protocol):
    """A backend that has to look up what one of its models can do."""

    def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
        """Return what it can do with the model; "" is its own.

        May ask the network, and remembers what it learns; spends nothing. What it
        returns holds for the next job, and is the same every time.

        Raises:
            InvalidRequest: there is no such model.
            Throttled, Unavailable, Unauthorized, BackendError: as with a job.
            Cancelled: passed through from the context.
        """
        ...


@runtime_checkable
class ResumableBackend(Protocol):
    """A backend that can be asked for a job that another process handed in."""

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        """Stay with the job of that name to its end, and return its images.

        Creates nothing and costs nothing more, so it can be asked any number of times.
        Returns what `generate` would have returned, and raises what it would have
        raised once the job was taken. Whoever cancels the context cancels the job.

        Raises:
            BackendError: the job failed, or the backend does not have it any more.
            Unfinished: it is not there, and may be in another account.
            Unavailable, Throttled, Unauthorized: it cannot be asked now.
        """
        ...


@runtime_checkable
class LookupBackend(Protocol):
    """A backend that can be asked whether it took a job whose fate is unknown."""

    def find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Return the names of all its jobs since then that are just like this one.

        Creates nothing and costs nothing. One that is not listed yet may be missing.

        Args:
            job: What was sent; the contents of its reference images may be missing.
            since: When it was sent, at the earliest; with leave for clocks that differ.
            context: As with a job.

        Raises:
            Unavailable, Throttled, Unauthorized: it cannot be asked now.
        """
        ...


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must be in order before a backend can work.

    Attributes:
        name: What was looked at, in a few words.
        ready: Whether it is in order.
        note: The version that was found; or what is missing and what to do about it.
    """

    name: str = msgspec.field(name="what")
    ready: bool
    note: str = ""


@runtime_checkable
class CheckableBackend(Protocol):
    """A backend that can be asked whether it would work, without spending anything."""

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Look at everything that a job would need; spend nothing, raise nothing.

        Cancelled is passed through from the context.
        """
        ...


@runtime_checkable
class CloseableBackend(Protocol):
    """A backend that holds something open, such as connections."""

    def close(self) -> None:
        """Let go of it; nothing is asked of the backend afterwards."""
        ...


class Secrets:
    """The secrets of one instance, by the config key that names their variable.

    Never shown: its `repr` counts them.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __repr__(self) -> str:
        return f"<{len(self._values)} secrets>"

    def get(self, key: str) -> str | None:
        """Return the secret whose variable the key names, or None if it is not set."""
        return self._values.get(key)


class BackendContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend is built with, beside its own options.

    Attributes:
        name: The instance's name, for messages.
        secrets: What the environment variables hold that its `*_env` options name.
        clock: The time, for those who need to measure it.
        cache: A folder for what can be asked again, which may not be there yet; None
            when nothing is to be kept.
    """

    name: str
    clock: Clock
    secrets: Secrets = Secrets()
    cache: PurePosixPath | None = None


class Adapter(msgspec.Struct, Generic[OptionsT], frozen=True, kw_only=True):
    """How a kind of backend is built; what an entry point in `imagen.backends` names.

    Attributes:
        summary: What it is for, in half a line.
        options: Its own block of the config, a Struct; unknown keys are refused,
            each field's `msgspec.Meta` description becomes a comment in the sample.
        create: Builds one instance; its return type is the port.
        multiprocess: Whether a server may have it at work in several processes at once;
            not one that holds a model in memory.
    """

    summary: str
    options: type[OptionsT]
    create: Callable[[OptionsT, BackendContext], ImageBackend]
    multiprocess: bool = False
