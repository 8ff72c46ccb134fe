"""The `JobContext` of a running job: events, journal entries and cancellation."""

from collections.abc import Callable, Sequence

from imagen.domain import events
from imagen.domain.errors import Cancelled
from imagen.engine.cancellation import Cancellation
from imagen.engine.recorder import CallRecorder
from imagen.ports.clock import Clock


class RunningJobContext:
    """Turns the reports of a backend into events and journal entries.

    Attributes:
        number: The number of the first image of the job.
        reference: The id of the remote job, once the backend has accepted it.
        sent: Whether the job may have been sent.
        previews: The number of previews that the backend sent.
    """

    def __init__(
        self,
        *,
        number: int,
        clock: Clock,
        listen: events.Listener,
        record: CallRecorder | None = None,
        reference: str | None = None,
    ) -> None:
        self.number = number
        self.reference = reference
        self.sent = False
        self.previews = 0
        self.timed_out = False
        self._clock = clock
        self._listen = listen
        self._record = record
        self._cancellation = Cancellation()

    @property
    def stopped(self) -> bool:
        """True once the job was cancelled or has timed out."""
        return self._cancellation.event.is_set()

    def set_sending(self, *, active: bool) -> None:
        """Record that the job is about to be sent, or that it failed at no cost."""
        if self._record is not None:
            self._record.set_sending(active=active, at=self._clock.now())
        self.sent = active

    def accepted(self, reference: str) -> None:
        """Record the id of the remote job, then report it.

        Raises:
            ReferenceTaken: another call has the remote job.
        """
        # Recorded before anything else happens: if this process dies now, `resume`
        # needs the id to find the job.
        if self._record is not None:
            self._record.mark_accepted(reference)
        self.reference = reference
        self._listen(events.Accepted(number=self.number, reference=reference))

    def claimable_references(self, references: Sequence[str]) -> tuple[str, ...]:
        """Return the ids of remote jobs that may be this call's, in the same order."""
        if self._record is None:
            return tuple(references)
        return self._record.claimable_references(references)

    def progress(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None:
        """Report the progress as an event."""
        self._listen(
            events.Progressed(
                number=self.number, fraction=fraction, note=note, steps=steps
            )
        )

    def sleep(self, seconds: float) -> None:
        """Wait, unless the job is stopped.

        Raises:
            Cancelled: the job is stopped.
        """
        if self._clock.wait(self._cancellation.event, seconds):
            raise Cancelled("The job was cancelled.")

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Call `close` when the job is stopped, to interrupt a blocking read."""
        self._cancellation.on_cancel(close)

    def stop(self) -> None:
        """Stop the job."""
        self._cancellation.cancel()

    def expire(self) -> None:
        """Stop the job because of its timeout."""
        if not self.stopped:
            self.timed_out = True
            self.stop()


class LiveRunningJobContext(RunningJobContext):
    """The same for a caller that wants previews of the unfinished image."""

    def show(self, content: bytes, *, media_type: str) -> None:
        """Report the preview as an event."""
        self.previews += 1
        self._listen(
            events.Previewed(number=self.number, content=content, media_type=media_type)
        )
