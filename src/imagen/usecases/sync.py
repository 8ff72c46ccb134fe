"""Deliver what is owed to the cloud, each once, whatever stands in the way."""

from collections.abc import Generator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from threading import Event, Thread
from typing import Protocol

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
from imagen.engine.cancellation import Cancellation
from imagen.engine.thread_pool import GRACE, run_tasks
from imagen.ports.clock import Clock
from imagen.ports.cloud import Cloud
from imagen.ports.files import ReadFile
from imagen.ports.history import History
from imagen.ports.ledger import SharedLedger
from imagen.ports.outbox import Outbox

ROWS_AT_ONCE = 500
"""Usage rows in one request."""
IMAGES_AT_ONCE = 4
"""Images on their way at the same time."""
FAILURES_IN_A_ROW = 3
"""So many images do not get there, and it is taken to be the way that is bad."""

INTERRUPTED = "It was interrupted."
LONG = 3600.0
"""Seconds to wait before looking again whether it is over."""


class Uploader(Protocol):
    """Delivers what is owed over one channel."""

    @property
    def channel(self) -> Channel:
        """Which one."""
        ...

    def carry(self) -> Generator[int]:
        """Deliver all of it; yield, from time to time, how much more is there.

        Raises:
            ImagenError: it does not go on; what was not delivered is owed.
        """
        ...

    def close(self) -> None:
        """Let go of connections, until they are needed again."""
        ...


class UsageUploader(msgspec.Struct, frozen=True, kw_only=True):
    """Brings usage rows to the shared ledger.

    Attributes:
        outbox: What is owed.
        ledger: Where it goes.
    """

    outbox: Outbox
    ledger: SharedLedger

    @property
    def channel(self) -> Channel:
        """The rows of the ledger."""
        return "usage"

    def carry(self) -> Generator[int]:
        """Deliver rows, the oldest first, many in a request."""
        while rows := self.outbox.rows(ROWS_AT_ONCE):
            refused = self.ledger.deliver(rows)
            there = [row.id for row in rows if row.id not in refused]
            self.outbox.delivered("usage", there)
            if refused:
                self.outbox.set_aside("usage", refused)
            yield len(there)

    def close(self) -> None:
        """Let go of the ledger's connections."""
        self.ledger.close()


class ImageUploader(msgspec.Struct, frozen=True, kw_only=True):
    """Brings images to the cloud.

    Attributes:
        outbox: What is owed.
        cloud: Where it goes.
        history: What says whose the images are.
        owner: Whose they are if whoever they were for is not there: the name in the
            config was mended since.
        clock: The time.
        read: Reads the file at a location of the history.
    """

    outbox: Outbox
    cloud: Cloud
    history: History
    owner: str
    clock: Clock
    read: ReadFile

    @property
    def channel(self) -> Channel:
        """The copies of images."""
        return "images"

    def carry(self) -> Generator[int]:
        """Deliver images, the newest first, a few at once.

        One that does not get there holds up no other, unless several in a row do not.
        """
        failed: dict[str, ImagenError] = {}
        in_a_row = 0
        while entries := self.outbox.images(IMAGES_AT_ONCE, besides=failed):
            cancellation = Cancellation()
            tasks = [partial(self._deliver, entry) for entry in entries]
            with closing(
                run_tasks(
                    tasks,
                    at_once=IMAGES_AT_ONCE,
                    cancellation=cancellation,
                    clock=self.clock,
                )
            ) as outcomes:
                for image_id, error in outcomes:
                    if error is None:
                        in_a_row = 0
                        yield 1
                        continue
                    if isinstance(error, Misconfigured | Unauthorized):
                        raise error  # which is so for all of them
                    failed[image_id] = error
                    in_a_row += 1
            if in_a_row >= FAILURES_IN_A_ROW:
                break
        for error in failed.values():
            raise error

    def close(self) -> None:
        """Let go of the cloud's connections."""
        self.cloud.close()

    def _deliver(self, entry: HistoryEntry) -> tuple[str, ImagenError | None]:
        image_id = entry.sidecar.id
        try:
            content = self._content(entry)
            self._keep(entry, content)
            self.outbox.delivered("images", [image_id])
        except Refused as error:
            return self._set_aside(image_id, error)
        except ImagenError as error:
            return image_id, error
        return image_id, None

    def _keep(self, entry: HistoryEntry, content: bytes) -> None:
        try:
            self.cloud.upload(
                build_cloud_image(entry.sidecar, owner=entry.owner), content
            )
        except UnknownOwner:
            if self.owner in {"", entry.owner}:
                raise
            entry = msgspec.structs.replace(entry, owner=self.owner)
            self.history.add([entry])
            self.cloud.upload(
                build_cloud_image(entry.sidecar, owner=entry.owner), content
            )

    def _content(self, entry: HistoryEntry) -> bytes:
        for content in (
            self.outbox.held(entry.sidecar.id),
            self.read(entry.location),
        ):
            if content and sha256(content).hexdigest() == entry.sidecar.sha256:
                return content
        raise Refused(f"{entry.location} is gone, or is another image now.")

    def _set_aside(
        self, image_id: str, error: Refused
    ) -> tuple[str, ImagenError | None]:
        try:
            self.outbox.set_aside("images", {image_id: format_problem(error)})
        except ImagenError as trouble:
            return image_id, trouble
        return image_id, None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of what was owed over a channel.

    Attributes:
        channel: Which one.
        delivered: How much more is there now.
        set_aside: What turned out not to be deliverable as it is.
        trouble: Why it did not go on, in a sentence; "" when all was tried.
        standing: What is not delivered.
    """

    channel: Channel
    delivered: int
    set_aside: tuple[FailedDelivery, ...]
    trouble: str
    standing: DeliveryStatus


class DeliverPending(msgspec.Struct, frozen=True, kw_only=True):
    """Delivers over every channel at once.

    What is delivered twice is there once, by our own ids; so this may run at any time,
    in as many processes as there are, and be killed.

    Attributes:
        outbox: What is owed.
        carriers: What delivers it.
        clock: The time.
        listen: Hears what gets there.
    """

    outbox: Outbox
    carriers: Sequence[Uploader]
    clock: Clock
    listen: events.Listener = events.ignore_event

    def run(self, cancellation: Cancellation) -> tuple[Delivery, ...]:
        """Deliver all that is owed, however long it takes.

        Raises:
            JournalError: what is owed cannot be read.
        """
        return self._run(self.carriers, cancellation, patience=None)

    def owe_again(self) -> None:
        """Have what was set aside be owed again.

        Raises:
            JournalError: it cannot be written down.
        """
        for carrier in self.carriers:
            self.outbox.owe_again(carrier.channel)

    def run_briefly(self, cancellation: Cancellation, *, patience: float) -> None:
        """Deliver what gets there in so many seconds, and tell who listens of the rest.

        After an attempt that brought nothing there is none for a while, so that a cloud
        that is dead costs the next one nothing.
        """
        try:
            due = [each for each in self.carriers if self._is_due(each.channel)]
            for done in self._run(due, cancellation, patience=patience):
                self._tell(done)
        except ImagenError:
            pass  # of the database, which was said when something was to be written

    def _run(
        self,
        carriers: Sequence[Uploader],
        cancellation: Cancellation,
        *,
        patience: float | None,
    ) -> tuple[Delivery, ...]:
        wake = Event()
        cancellation.then(wake.set)
        before = [self.outbox.standing(each.channel) for each in carriers]
        attempts = [_Attempt(each, self.listen, wake) for each in carriers]
        for attempt in attempts:
            attempt.start(cancellation)
        over = None if patience is None else self.clock.monotonic() + patience
        while not all(attempt.is_over for attempt in attempts):
            wake.clear()
            if over is None and cancellation.happened.is_set():
                over = self.clock.monotonic() + GRACE
            left = LONG if over is None else over - self.clock.monotonic()
            if left <= 0 or (patience is not None and cancellation.happened.is_set()):
                break
            if not all(attempt.is_over for attempt in attempts):
                self.clock.wait(wake, left)
        stopped = cancellation.happened.is_set()
        late = INTERRUPTED if stopped else f"It took longer than {patience or 0:g} s."
        return tuple(
            self._conclude(attempt, late, there)
            for attempt, there in zip(attempts, before, strict=True)
        )

    def _conclude(
        self, attempt: "_Attempt", late: str, before: DeliveryStatus
    ) -> Delivery:
        channel, delivered = attempt.carrier.channel, attempt.delivered
        trouble = attempt.trouble if attempt.is_over else late
        if not trouble and before.pause is not None:
            self.outbox.pause(channel, None)
        elif trouble not in {"", INTERRUPTED} and not delivered:
            pause = next_pause(before.pause, trouble, now=self._now)
            self.outbox.pause(channel, pause)
        standing = self.outbox.standing(channel)
        known = {aside.id for aside in before.failed}
        return Delivery(
            channel=channel,
            delivered=delivered,
            set_aside=tuple(each for each in standing.failed if each.id not in known),
            trouble=trouble,
            standing=standing,
        )

    def _is_due(self, channel: Channel) -> bool:
        """Say whether there is something to try now; if not, tell why."""
        standing = self.outbox.standing(channel)
        pause = standing.pause
        if not standing.pending or pause is None or not pause.holds(self._now):
            return standing.pending > 0
        until = pause.until.astimezone(self.clock.now().tzinfo)
        self._say(
            channel,
            f"{pause.trouble} {describe_pending(channel, standing.pending)}; "
            f"nothing is tried before {until:%H:%M:%S}, but by `imagen sync`.",
        )
        return False

    def _tell(self, done: Delivery) -> None:
        standing, channel = done.standing, done.channel
        if done.trouble and standing.pending:
            owed = describe_pending(channel, standing.pending)
            self._say(channel, f"{done.trouble} {owed}: see `imagen sync`.")
        for aside in done.set_aside:
            self._say(channel, f"{aside.id} is set aside: {aside.trouble}")

    def _say(self, channel: Channel, message: str) -> None:
        self.listen(events.Undelivered(channel=channel, message=message))

    @property
    def _now(self) -> datetime:
        return self.clock.now().astimezone(UTC)


class _Attempt:
    """A carrier at work in a thread of its own, which may be left to itself."""

    def __init__(self, carrier: Uploader, listen: events.Listener, wake: Event) -> None:
        self.carrier = carrier
        self.delivered = 0
        self.trouble = ""
        self.is_over = False
        self._listen = listen
        self._wake = wake

    def start(self, cancellation: Cancellation) -> None:
        Thread(target=self._work, args=(cancellation,), daemon=True).start()

    def _work(self, cancellation: Cancellation) -> None:
        channel = self.carrier.channel
        try:
            with closing(self.carrier.carry()) as carried:
                for count in carried:
                    self.delivered += count
                    self._listen(events.Delivered(channel=channel, count=count))
                    if cancellation.happened.is_set():
                        self.trouble = INTERRUPTED
                        break
        except ImagenError as error:
            self.trouble = format_problem(error)
        except Exception as error:  # noqa: BLE001 - what is made is made all the same
            self.trouble = f"A fault of our own: {type(error).__name__}: {error}."
        finally:
            self.carrier.close()
            self.is_over = True
            self._wake.set()


def format_problem(error: ImagenError) -> str:
    """Return what is wrong, and what to do."""
    return " ".join(filter(None, (error.message, error.hint)))


def describe_pending(channel: Channel, count: int) -> str:
    """Return how much is owed, as the beginning of a sentence."""
    what = "usage row" if channel == "usage" else "image"
    return f"1 {what} is owed" if count == 1 else f"{count} {what}s are owed"
