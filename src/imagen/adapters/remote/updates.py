"""What the vendor pushes about one job: progress, previews, and hints to poll."""

from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

from imagen.adapters.remote.background import CHECK_INTERVAL
from imagen.adapters.remote.events import EventStream, ServerSentEvents
from imagen.adapters.remote.reads import JobReads
from imagen.adapters.remote.vendor import (
    HttpRequest,
    JobPreview,
    JobRunning,
    PollNow,
    PushVendor,
    Vendor,
    WebSocketRequest,
)
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext, LiveJobContext

QUIET_INTERVAL, PUSH_POLL_INTERVAL = 3.0, 10.0
"""Seconds without an event, and seconds in all, after which a vendor that pushes events
is polled: an event may be lost."""

# ComfyUI's messages were up to 0.4 s late (0.3.64).
_TRANSIT_TIME = 0.4


class JobUpdates:
    """Waits for the events of one job."""

    def __init__(
        self,
        vendor: PushVendor,
        client: VendorClient,
        reads: JobReads,
        *,
        key: str,
        context: JobContext,
        clock: Clock,
    ) -> None:
        """Open the stream; wait until it is open, or cannot be opened.

        Args:
            vendor: The vendor file.
            client: The HTTP client of the vendor.
            reads: The reads about the job, which report its progress.
            key: The key of the job.
            context: The context of the job.
            clock: The clock.

        Raises:
            Cancelled: passed through from the context; the stream is closed.
        """
        self._vendor = vendor
        self._stream = stream = _open_stream(client, vendor.events(key))
        self._reads = reads
        self._context = context
        self._clock = clock
        stream.start()
        try:
            while not stream.opened.wait(CHECK_INTERVAL):
                context.sleep(0)
        except BaseException:
            stream.close()
            raise

    @property
    def interrupted(self) -> bool:
        """True once the connection was lost."""
        return self._stream.interrupted

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def wait(self, seconds: float) -> None:
        """Wait for an event that makes a poll worthwhile, or for the time to poll.

        Args:
            seconds: The interval of the polls while events may be lost.
        """
        if not (self._stream.usable or self._stream.has_messages):
            self._context.sleep(seconds)
            return
        interrupted, now = self._stream.interrupted, self._clock.monotonic()
        end = now + (seconds if interrupted else PUSH_POLL_INTERVAL)
        quiet = end if interrupted else now + QUIET_INTERVAL
        while (left := min(quiet, end) - self._clock.monotonic()) > 0:
            message = self._stream.next(min(CHECK_INTERVAL, left))
            self._context.sleep(0)
            if message is None:
                if not self._stream.usable:
                    return
                continue
            event = self._read(message)
            if isinstance(event, PollNow):
                return
            if isinstance(event, JobRunning):
                quiet = end if interrupted else self._clock.monotonic() + QUIET_INTERVAL
            _report(event, self._reads, self._context)

    def catch_up(self) -> bool:
        """Read the messages in transit; return whether one is about the job."""
        found = False
        while (message := self._stream.next(_TRANSIT_TIME)) is not None:
            self._context.sleep(0)
            found = self._read(message) is not None or found
        return found

    def _read(self, message: str | bytes) -> JobRunning | JobPreview | PollNow | None:
        # An event is a hint; one that cannot be read is skipped.
        with suppress(Exception):
            return self._vendor.event(self._reads.reference, message)
        return None


class StreamedEvents:
    """Reports the events of a response to the submit request, while it arrives."""

    def __init__(self, vendor: Vendor, reads: JobReads, context: JobContext) -> None:
        """Prepare for the events of a vendor; for none, if it does not read them."""
        self._streamed = getattr(vendor, "streamed", None)
        self._reads = reads
        self._context = context
        self._messages: SimpleQueue[str] = SimpleQueue()

    @property
    def receive(self) -> Callable[[str], None] | None:
        """Takes an event in any thread; None if the vendor does not read them."""
        return None if self._streamed is None else self._messages.put

    def report(self) -> None:
        """Report what has arrived."""
        while self._streamed is not None and not self._messages.empty():
            message = self._messages.get()
            event = None
            # An event is a hint; one that cannot be read is skipped.
            with suppress(Exception):
                event = self._streamed(message)
            _report(event, self._reads, self._context)


def _report(
    event: JobRunning | JobPreview | None, reads: JobReads, context: JobContext
) -> None:
    if isinstance(event, JobRunning):
        reads.report(event)
    elif event is not None and isinstance(context, LiveJobContext):
        context.show(event.content, media_type=event.media_type)


def _open_stream(
    client: VendorClient, request: HttpRequest | WebSocketRequest
) -> EventStream:
    if isinstance(request, HttpRequest):
        return ServerSentEvents(client, request)
    # Most vendors have no WebSocket.
    from imagen.adapters.remote.websocket import WebSocketEvents  # noqa: PLC0415

    return WebSocketEvents(client, request)
