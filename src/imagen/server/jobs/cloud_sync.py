"""Delivers what is owed to the cloud while the server runs, and nobody waits for it."""

from collections.abc import Callable
from functools import partial
from threading import Event, Thread

from imagen.domain import events
from imagen.domain.delivery import CHANNEL_LABELS
from imagen.engine.cancellation import Cancellation
from imagen.usecases.sync import DeliverPending

PATIENCE = 60.0
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
        say: Callable[[str], None],
    ) -> None:
        self._use_case = build(self._hear)
        self._closed = False
        self._say = say
        self._said: set[str] = set()
        self._awake = Event()
        self._attempt = Cancellation()

    def start(self) -> None:
        """Begin, if there is a cloud."""
        if self._use_case is not None:
            work = partial(self._work, self._use_case)
            Thread(target=work, name="courier", daemon=True).start()

    def wake(self) -> None:
        """Look soon: something was made."""
        self._awake.set()

    def close(self) -> None:
        """End it now; what it was about to deliver stays owed."""
        self._closed = True
        self._attempt.cancel()
        self._awake.set()

    def _work(self, use_case: DeliverPending) -> None:
        while True:
            self._attempt = Cancellation()
            if self._closed:
                return
            use_case.run_briefly(self._attempt, patience=PATIENCE)
            self._awake.wait(INTERVAL)
            self._awake.clear()

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.Delivered):
            self._said.clear()
        if isinstance(event, events.Undelivered):
            words = f"{CHANNEL_LABELS[event.channel]}: {event.message}"
            trouble, _, _ = words.partition(". ")
            if trouble not in self._said:
                self._said.add(trouble)
                self._say(words)
