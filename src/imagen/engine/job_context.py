"""The `JobContext` of one running job: events, journal notes and cancellation."""

from collections.abc import Callable, Sequence

from imagen.domain import events
from imagen.domain.errors import Cancelled
from imagen.engine.cancellation import Cancellation
from imagen.engine.recorder import CallRecorder
from imagen.ports.clock import Clock


class RunningJobContext:
    """Turns a backend's words into events and notes, and ends its waits.

    Attributes:
        reference: What the remote job is called, once the backend took it.
        sent: Whether the backend may have heard of the job.
        timed_out: Whether it was the deadline that stopped the job.
    """

    def __init__(
        self,
        *,
        number: int,
        clock: Clock,
        listen: events.Listener,
        record: CallRecorder | None = None,
    ) -> None:
        self.number = number
        self.reference: str | None = None
        self.sent = False
        self.timed_out = False
        self._clock = clock
        self._listen = listen
        self._record = record
        self._stopped = Cancellation()

    @property
    def stopped(self) -> bool:
        """Whether the job was cancelled, or its time is over."""
        return self._stopped.event.is_set()

    def set_sending(self, *, active: bool) -> None:
        """Remember that it is about to be sent; or that it cost nothing, and is not.

        Raises:
            JournalError: passed through from the record.
        """
        if self._record is not None:
            self._record.set_sending(active=active)
        self.sent = active

    def accepted(self, reference: str) -> None:
        """Write the name down before anything else, and pass it on.

        Raises:
            ReferenceTaken: it is the name of another call's job.
        """
        if self._record is not None:
            self._record.mark_accepted(reference)
        self.reference = reference
        self._listen(events.Accepted(number=self.number, reference=reference))

    def unclaimed_references(self, references: Sequence[str]) -> tuple[str, ...]:
        """Return those of the names that no other call's job has."""
        if self._record is None:
            return tuple(references)
        return self._record.unclaimed_references(references)

    def progress(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None:
        """Pass the word on."""
        self._listen(
            events.Progressed(
                number=self.number, fraction=fraction, note=note, steps=steps
            )
        )

    def sleep(self, seconds: float) -> None:
        """Let time pass, unless the job was stopped."""
        if self._clock.wait(self._stopped.event, seconds):
            raise Cancelled("The job was cancelled.")

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Have the backend's reading broken off when the job is stopped."""
        self._stopped.on_cancel(close)

    def stop(self) -> None:
        """Stop the job."""
        self._stopped.cancel()

    def expire(self) -> None:
        """Stop the job because its time is over."""
        if not self.stopped:
            self.timed_out = True
            self.stop()


class LiveRunningJobContext(RunningJobContext):
    """The same, for somebody who wants to see the image while it is made.

    Attributes:
        shown: How many pictures there were.
    """

    previews = 0

    def show(self, content: bytes, *, media_type: str) -> None:
        """Pass the picture on."""
        self.previews += 1
        self._listen(
            events.Previewed(number=self.number, content=content, media_type=media_type)
        )
