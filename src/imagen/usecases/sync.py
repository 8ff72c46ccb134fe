"""Upload pending usage rows and images to the cloud, each exactly once."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from threading import Event, Thread
from typing import ClassVar, TypeAlias

import msgspec

from imagen.domain import events
from imagen.domain.cloud import build_cloud_image
from imagen.domain.delivery import Channel, DeliveryStatus, FailedDelivery, next_pause
from imagen.domain.errors import (
    ImagenError,
    Misconfigured,
    Refused,
    Unauthorized,
    UnknownOwner,
)
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import UsageRow
from imagen.engine.cancellation import Cancellation
from imagen.engine.thread_pool import GRACE, run_tasks
from imagen.ports.clock import Clock
from imagen.ports.cloud import Cloud
from imagen.ports.delivery_queue import DeliveryQueue
from imagen.ports.files import ReadFile
from imagen.ports.history import History
from imagen.ports.ledger import SharedLedger
from imagen.ports.spool import Spool

ROWS_AT_ONCE = 500
"""Usage rows in one request."""
IMAGES_AT_ONCE = 4
"""Parallel uploads of images."""
FAILURES_IN_A_ROW = 3
"""Consecutive failed uploads after which the connection is assumed to be down."""

INTERRUPTED = "The upload was interrupted."
LONG = 3600.0
"""Seconds between two checks of whether an attempt without a time limit is over."""


class UsageUploader(msgspec.Struct, frozen=True, kw_only=True):
    """Uploads usage rows to the shared ledger.

    Attributes:
        prepare: Called before the first request, outside of the time limit.
    """

    channel: ClassVar[Channel] = "usage"

    queue: DeliveryQueue[UsageRow]
    ledger: SharedLedger
    prepare: Callable[[], None] = lambda: None

    def upload(self) -> Generator[int]:
        """Upload rows, the oldest first, many in one request."""
        while rows := self.queue.pending(ROWS_AT_ONCE):
            refused = self.ledger.deliver(rows)
            accepted = [row.id for row in rows if row.id not in refused]
            self.queue.mark_delivered(accepted)
            if refused:
                self.queue.mark_failed(refused)
            yield len(accepted)

    def close(self) -> None:
        """Close the connections of the ledger."""
        self.ledger.close()


class ImageUploader(msgspec.Struct, frozen=True, kw_only=True):
    """Uploads copies of images to the cloud.

    Attributes:
        owner: The user id from the config. It replaces the owner of an image whose
            owner does not exist: then the id in the config was corrected since.
        prepare: Called before the first request, outside of the time limit.
    """

    channel: ClassVar[Channel] = "images"

    queue: DeliveryQueue[HistoryEntry]
    spool: Spool
    cloud: Cloud
    history: History
    owner: str
    clock: Clock
    read: ReadFile
    prepare: Callable[[], None] = lambda: None

    def upload(self) -> Generator[int]:
        """Upload images, the newest first, a few in parallel.

        A failed upload does not stop the others, unless several fail in a row.
        """
        # What processes that died have left, also those that a user or a time limit
        # ended between `mark_delivered` and `discard`.
        self.spool.sweep()
        failed: dict[str, ImagenError] = {}
        in_a_row = 0
        while entries := self.queue.pending(IMAGES_AT_ONCE, excluding=failed):
            cancellation = Cancellation()
            tasks = [partial(self._deliver, entry) for entry in entries]
            with closing(
                run_tasks(
                    [(tasks, IMAGES_AT_ONCE)],
                    cancellation=cancellation,
                    clock=self.clock,
                )
            ) as outcomes:
                for image_id, error in outcomes:
                    if error is None:
                        in_a_row = 0
                        yield 1
                        continue
                    # These errors concern the whole project, not this one image.
                    if isinstance(error, Misconfigured | Unauthorized):
                        raise error
                    failed[image_id] = error
                    in_a_row += 1
            if in_a_row >= FAILURES_IN_A_ROW:
                break
        for error in failed.values():
            raise error

    def close(self) -> None:
        """Close the connections of the cloud."""
        self.cloud.close()

    def _deliver(self, entry: HistoryEntry) -> tuple[str, ImagenError | None]:
        image_id = entry.sidecar.id
        try:
            try:
                self._upload(entry, self._read_content(entry))
            except Refused as error:
                self.queue.mark_failed({image_id: error.explanation})
                return image_id, None
            # In this order: a crash in between leaves bytes that `sweep` deletes, never
            # a pending image without bytes. One that was printed on stdout would be
            # lost, because its bytes are nowhere else.
            self.queue.mark_delivered([image_id])
            self.spool.discard([image_id])
        except ImagenError as error:
            return image_id, error
        return image_id, None

    def _upload(self, entry: HistoryEntry, content: bytes) -> None:
        try:
            image = build_cloud_image(entry.sidecar, owner=entry.owner)
            self.cloud.upload(image, content)
        except UnknownOwner:
            if self.owner in {"", entry.owner}:
                raise
            self.history.add([msgspec.structs.replace(entry, owner=self.owner)])
            image = build_cloud_image(entry.sidecar, owner=self.owner)
            self.cloud.upload(image, content)

    def _read_content(self, entry: HistoryEntry) -> bytes:
        for content in (self.spool.read(entry.sidecar.id), self.read(entry.location)):
            if content and sha256(content).hexdigest() == entry.sidecar.sha256:
                return content
        raise Refused(
            f"{entry.location} is missing, or contains a different image by now."
        )


Uploader: TypeAlias = UsageUploader | ImageUploader
"""Uploads the pending records of one channel.

`upload` yields the number of records after each step, and raises an `ImagenError` if it
cannot continue. Records that were not delivered stay pending. `close` closes the
connections, which are opened again when needed.
"""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one attempt to deliver the records of a channel.

    Attributes:
        newly_failed: The records that failed in this attempt and will not be retried
            automatically.
        reason: Why the attempt ended early, in a sentence; "" when all records were
            tried.
    """

    channel: Channel
    delivered: int
    newly_failed: tuple[FailedDelivery, ...]
    reason: str
    status: DeliveryStatus


class DeliverPending(msgspec.Struct, frozen=True, kw_only=True):
    """Delivers the pending records of all channels in parallel.

    Any number of processes may do this at any time, and be killed while they do: every
    record has an id that was made before the first attempt, so a record that is sent
    twice is stored once.
    """

    uploaders: Sequence[Uploader]
    clock: Clock
    listen: events.Listener = events.ignore_event

    def run(self, cancellation: Cancellation) -> tuple[Delivery, ...]:
        """Deliver all pending records, without a time limit.

        Raises:
            JournalError: the pending records cannot be read.
        """
        return self._run(self.uploaders, cancellation, patience=None)

    def retry_failed(self) -> None:
        """Make the failed records of all channels pending again.

        Raises:
            JournalError: the state cannot be written.
        """
        for uploader in self.uploaders:
            uploader.queue.retry_failed()

    def run_briefly(self, cancellation: Cancellation, *, patience: float) -> None:
        """Deliver what can be delivered in `patience` seconds; report the rest.

        The seconds count from the first request, not from the start: importing the
        libraries may take longer on a busy machine.

        After an attempt that delivered nothing, the channel is paused, so that the next
        command does not wait for a cloud that is down.
        """
        try:
            due = [each for each in self.uploaders if self._is_due(each)]
            for delivery in self._run(due, cancellation, patience=patience):
                self._report(delivery)
        except ImagenError:
            # The database cannot be read. The user was warned of that when the call
            # was recorded.
            pass

    def _run(
        self,
        uploaders: Sequence[Uploader],
        cancellation: Cancellation,
        *,
        patience: float | None,
    ) -> tuple[Delivery, ...]:
        wake = Event()
        cancellation.on_cancel(wake.set)
        before = [each.queue.status() for each in uploaders]
        attempts = [_Attempt(each, self.listen, wake) for each in uploaders]
        for attempt in attempts:
            attempt.start(cancellation)
        deadline = None
        while not all(attempt.is_over for attempt in attempts):
            wake.clear()
            if deadline is None and cancellation.event.is_set():
                deadline = self.clock.monotonic() + GRACE
            elif (
                deadline is None
                and patience is not None
                and all(attempt.is_prepared or attempt.is_over for attempt in attempts)
            ):
                deadline = self.clock.monotonic() + patience
            left = LONG if deadline is None else deadline - self.clock.monotonic()
            if left <= 0 or (patience is not None and cancellation.event.is_set()):
                break
            # Checked again after `wake` was cleared: an attempt that ended in between
            # has set an event that is lost.
            if not all(attempt.is_over for attempt in attempts):
                self.clock.wait(wake, left)
        stopped = cancellation.event.is_set()
        timed_out = f"The upload took longer than {patience or 0:g} s."
        return tuple(
            self._conclude(attempt, INTERRUPTED if stopped else timed_out, status)
            for attempt, status in zip(attempts, before, strict=True)
        )

    def _conclude(
        self, attempt: "_Attempt", late: str, before: DeliveryStatus
    ) -> Delivery:
        """Store or end the pause of a channel; `late` is why an attempt still runs."""
        queue, delivered = attempt.uploader.queue, attempt.delivered
        reason = attempt.reason if attempt.is_over else late
        if not reason and before.pause is not None:
            queue.pause(None)
        elif reason not in {"", INTERRUPTED} and not delivered:
            queue.pause(next_pause(before.pause, reason, now=self._now))
        status = queue.status()
        known = {each.id for each in before.failed}
        return Delivery(
            channel=attempt.uploader.channel,
            delivered=delivered,
            newly_failed=tuple(each for each in status.failed if each.id not in known),
            reason=reason,
            status=status,
        )

    def _is_due(self, uploader: Uploader) -> bool:
        """Return whether to try the channel now; report a pause."""
        status = uploader.queue.status()
        pause = status.pause
        if not status.pending or pause is None or not pause.holds(self._now):
            return status.pending > 0
        until = pause.until.astimezone(self.clock.now().tzinfo)
        self._say(
            uploader.channel,
            f"{pause.trouble} {describe_pending(uploader.channel, status.pending)}. "
            f"The next automatic attempt is after {until:%H:%M:%S}; `imagen sync` "
            "retries now.",
        )
        return False

    def _report(self, delivery: Delivery) -> None:
        status, channel = delivery.status, delivery.channel
        if delivery.reason and status.pending:
            pending = describe_pending(channel, status.pending)
            self._say(channel, f"{delivery.reason} {pending}: run `imagen sync`.")
        for each in delivery.newly_failed:
            self._say(channel, f"{each.id} cannot be delivered: {each.trouble}")

    def _say(self, channel: Channel, message: str) -> None:
        self.listen(events.Undelivered(channel=channel, message=message))

    @property
    def _now(self) -> datetime:
        return self.clock.now().astimezone(UTC)


class _Attempt(msgspec.Struct):
    """An uploader that runs in a daemon thread, which may outlive the attempt."""

    uploader: Uploader
    listen: events.Listener
    wake: Event
    delivered: int = 0
    reason: str = ""
    is_prepared: bool = False
    is_over: bool = False

    def start(self, cancellation: Cancellation) -> None:
        Thread(target=self._work, args=(cancellation,), daemon=True).start()

    def _work(self, cancellation: Cancellation) -> None:
        channel = self.uploader.channel
        try:
            self.uploader.prepare()
            self.is_prepared = True
            self.wake.set()
            with closing(self.uploader.upload()) as counts:
                for count in counts:
                    self.delivered += count
                    self.listen(events.Delivered(channel=channel, count=count))
                    if cancellation.event.is_set():
                        self.reason = INTERRUPTED
                        break
        except ImagenError as error:
            self.reason = error.explanation
        except Exception as error:  # noqa: BLE001 - the images are stored locally anyway
            self.reason = f"Internal error: {type(error).__name__}: {error}."
        finally:
            self.uploader.close()
            self.is_over = True
            self.wake.set()


def describe_pending(channel: Channel, count: int) -> str:
    """Return the number of pending records as a clause, "2 images are pending"."""
    what = "usage row" if channel == "usage" else "image"
    return f"1 {what} is pending" if count == 1 else f"{count} {what}s are pending"
