"""Delivers what is owed to the cloud while the server runs, and nobody waits for it."""

from collections.abc import Callable
from functools import partial
from threading import Event, Thread

from imagen.domain import events
from imagen.domain.delivery import CHANNEL_LABELS
from imagen.engine.cancellation import Cancellation
from imagen.usecases.sync import DeliverPending

ATTEMPT_TIMEOUT = 60.0
"""Seconds for one attempt."""
INTERVAL = 30.0
"""Seconds between two looks whether something is owed, if nothing is made."""


class BackgroundSync:
    """Delivers in a thread of its own: when something was made, and now and then.

    Args:
        build: Wires the use case; None if there is no cloud.
        say: Tells whoever looks after the server; of the same trouble once.
    """

    def __init__(
        self,
        build: Callable[[events.Listener], DeliverPending | None],
        *,
        log: Callable[[str], None],
    ) -> None:
        self._use_case = build(self._on_event)
        self._closed = False
        self._log = log
        self._logged: set[str] = set()
        self._wake_up = Event()
        self._cancellation = Cancellation()

    def start(self) -> None:
        """Begin, if there is a cloud."""
        if self._use_case is not None:
            work = partial(self._work, self._use_case)
            Thread(target=work, name="courier", daemon=True).start()

    def wake(self) -> None:
        """Look soon: something was made."""
        self._wake_up.set()

    def close(self) -> None:
        """End it now; what it was about to deliver stays owed."""
        self._closed = True
        self._cancellation.cancel()
        self._wake_up.set()

    def _work(self, use_case: DeliverPending) -> None:
        while True:
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
            reason, _, _ = message.partition(". ")
            if reason not in self._logged:
                self._logged.add(reason)
                self._log(message)
