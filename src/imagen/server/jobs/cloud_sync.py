"""Upload pending images and usage rows to the cloud while the server runs."""

from collections.abc import Callable
from functools import partial
from threading import Event, Thread

from imagen.bootstrap.cloud import build_delivery
from imagen.bootstrap.runtime import Runtime
from imagen.domain import events
from imagen.domain.delivery import CHANNEL_LABELS
from imagen.engine.cancellation import Cancellation
from imagen.usecases.sync import DeliverPending

ATTEMPT_TIMEOUT = 60.0
"""Seconds for one attempt."""
INTERVAL = 30.0
"""Seconds between attempts while no new images are generated."""


class BackgroundSync:
    """A thread that uploads after each request, and every `INTERVAL` seconds.

    Repeated failures with the same reason are logged once.
    """

    def __init__(self, runtime: Runtime, *, log: Callable[[str], None]) -> None:
        # None without a cloud.
        self._use_case = build_delivery(runtime, listen=self._on_event)
        self._closed = False
        self._log = log
        self._logged: set[str] = set()
        self._wake_up = Event()
        self._cancellation = Cancellation()

    def start(self) -> None:
        """Start the thread, if a cloud is configured."""
        if self._use_case is not None:
            work = partial(self._work, self._use_case)
            Thread(target=work, name="cloud-sync", daemon=True).start()

    def wake(self) -> None:
        """Start an attempt now, because new images are pending."""
        self._wake_up.set()

    def close(self) -> None:
        """Stop at once; unfinished uploads stay pending."""
        self._closed = True
        self._cancellation.cancel()
        self._wake_up.set()

    def _work(self, use_case: DeliverPending) -> None:
        while True:
            # First the new cancellation, then the check: in the other order `close`
            # between the two would cancel the old one, and the attempt would run.
            self._cancellation = Cancellation()
            if self._closed:
                return
            use_case.run_briefly(self._cancellation, patience=ATTEMPT_TIMEOUT)
            self._wake_up.wait(INTERVAL)
            self._wake_up.clear()

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Delivered):
            self._logged.clear()
        if isinstance(event, events.Undelivered):
            message = f"{CHANNEL_LABELS[event.channel]}: {event.message}"
            # The sentences after the first have counts and times that always differ.
            reason, _, _ = message.partition(". ")
            if reason not in self._logged:
                self._logged.add(reason)
                self._log(message)
