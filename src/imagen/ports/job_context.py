"""The port through which a running job reports, waits and is cancelled."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable


class JobContext(Protocol):
    """The services that a running job may use: reports, waiting and cancellation."""

    def accepted(self, reference: str) -> None:
        """Report the remote job's id as soon as it is known.

        Call this once for a job, never with an empty id.
        """
        ...

    def progress(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None:
        """Report the progress of the job.

        Args:
            fraction: From 0 to 1, never decreasing; None if unknown.
            note: The current activity, in one or two words.
            steps: The total number of steps, at least 1; None for a job without steps.
        """
        ...

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            Cancelled: the user cancelled the job, or its deadline passed.
        """
        ...

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Register a function that is called once, in another thread, on cancellation.

        Use it to interrupt a blocking read. A socket's `shutdown` does that; on Linux
        closing an HTTP client from another thread does not, so read in slices of one
        second at most. If the job is cancelled already, call `close` at once, in the
        thread of the caller.
        """
        ...


@runtime_checkable
class LiveJobContext(JobContext, Protocol):
    """A job context that also accepts previews of the unfinished image.

    A backend that sends no previews may ignore this protocol. Other backends request
    previews from their vendor only for such a context.
    """

    def show(self, content: bytes, *, media_type: str) -> None:
        """Show a preview: a complete, small image file."""
        ...
