"""What is written down of every call while it happens, and afterwards.

Nobody loses an image because it could not be written down: then there is one warning.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from imagen.domain import events
from imagen.domain.call import (
    Call,
    CallAccepted,
    CallClosed,
    CallLeftOpen,
    CallReceived,
    CallSending,
    CallUpdate,
    Received,
)
from imagen.domain.errors import JournalError, ReferenceTaken
from imagen.domain.history import HistoryEntry
from imagen.domain.money.budget import BudgetLimit
from imagen.domain.money.usage import UsageRow
from imagen.domain.result import StoredImage
from imagen.ports.clock import Clock
from imagen.ports.history import History
from imagen.ports.journal import Journal
from imagen.ports.spool import Spool


class Recorder:
    """The journal and the history of one request, as far as they can be written."""

    def __init__(
        self,
        journal: Journal,
        history: History,
        *,
        spool: Spool,
        clock: Clock,
        locate: Callable[[str], str] = str,
        keep: timedelta | None = None,
        listen: events.Listener = events.ignore_event,
    ) -> None:
        """Write down what happens from now on.

        Args:
            journal: Every call that is not over.
            history: What was made.
            spool: The bytes of images until they are uploaded.
            clock: The time.
            locate: Turns where an image is into where anybody finds it, from anywhere.
            keep: How long the history keeps what was made; None is forever.
            listen: Hears, once, that something cannot be written down.
        """
        self._journal = journal
        self._history = history
        self._spool = spool
        self._clock = clock
        self._locate = locate
        self._keep = keep
        self._listen = listen
        self._complained = False

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> "list[CallRecorder]":
        """Write down the intent of calls that may cost money; of others, nothing yet.

        Raises:
            OverBudget: a limit says no.
            JournalError: nobody knows whether one does, for it cannot be written down.
        """
        begun = False
        if paid := [call for call in calls if call.may_cost]:
            try:
                self._journal.begin(paid, limits=limits)
                begun = True
            except JournalError as error:
                if limits:
                    raise JournalError(
                        f"The budget cannot be checked: {error.message}",
                        hint=error.hint,
                    ) from error
                self.warn_once(error)
        return [
            CallRecorder(
                self,
                call,
                recorded=begun and call.may_cost,
                broken=not begun,
                counted=bool(limits) and call.may_cost,
            )
            for call in calls
        ]

    def add_to_history(self, images: Sequence[StoredImage], *, owner: str = "") -> None:
        """Add the images to the history, and let it forget those that are too old.

        Of each that has an owner a copy is owed to the cloud from then on.
        """
        if owner:
            for image in images:
                write = partial(self._spool.write, image.sidecar.id, image.content)
                self.try_write(write)
        entries = [
            HistoryEntry(
                location=self._locate(image.location),
                sidecar=image.sidecar,
                owner=owner,
            )
            for image in images
        ]
        self.try_write(lambda: self._history.add(entries))
        if self._keep is not None:
            oldest = self._clock.now() - self._keep
            self.try_write(lambda: self._history.forget_older(oldest))

    def begin_free(self, call: Call) -> bool:
        """Write down a call that costs nothing, now that it can be asked for later."""
        return self.try_write(lambda: self._journal.begin([call]))

    def record(self, call: Call, note: CallUpdate) -> bool:
        """Write down what became of the call; say whether that could be done.

        Raises:
            ReferenceTaken: passed through from the journal.
        """
        return self.try_write(lambda: self._journal.record(call.id, note))

    def unclaimed_references(
        self, call: Call, references: Sequence[str]
    ) -> tuple[str, ...]:
        """Return those of the names that no other call has, as far as can be told."""
        try:
            return self._journal.unclaimed_references(call, references)
        except JournalError as error:
            self.warn_once(error)
            return tuple(references)

    def try_write(self, write: Callable[[], object]) -> bool:
        """Do it, or say once that it cannot be done."""
        try:
            write()
        except ReferenceTaken:
            raise
        except JournalError as error:
            self.warn_once(error)
        except Exception as error:  # noqa: BLE001 - no image is lost by a fault of ours
            self.warn_once(JournalError(f"{type(error).__name__}: {error}"))
        else:
            return True
        return False

    def warn_once(self, error: JournalError) -> None:
        """Say, once, that what is made is not written down."""
        if not self._complained:
            self._complained = True
            words = " ".join(filter(None, (error.message, error.hint)))
            self._listen(events.Warned(message=f"not written down: {words}"))


class CallRecorder:
    """What is written down of one call.

    A call that may cost money is written down before it is sent, and at every step. Of
    one that costs nothing there is only the name of its remote job, once it has one.
    """

    def __init__(
        self,
        recorder: Recorder,
        call: Call,
        *,
        recorded: bool,
        broken: bool = False,
        counted: bool = False,
    ) -> None:
        self.call = call
        self._records = recorder
        self._begun = recorded
        self._broken = broken and call.may_cost
        self._counted = counted

    def set_sending(self, *, active: bool) -> None:
        """It is about to be sent; or it failed at no cost, and no longer is.

        Raises:
            JournalError: it would be sent, and a budget could not count it.
        """
        kept = self._record(CallSending(active=active))
        if active and self._counted and not kept:
            raise JournalError(
                "There is a budget, and that this is sent cannot be written down."
            )

    def mark_accepted(self, reference: str) -> None:
        """The backend calls it by this name.

        Raises:
            ReferenceTaken: passed through from the journal.
        """
        if not self._begun and not self._broken:
            self._begun = self._records.begin_free(self.call)
            self._broken = not self._begun
        self._record(CallAccepted(reference=reference))

    def unclaimed_references(self, references: Sequence[str]) -> tuple[str, ...]:
        """Return those of the names that no other call has, as far as can be told."""
        return self._records.unclaimed_references(self.call, references)

    def mark_received(self, received: Received) -> None:
        """The images are here; what cost nothing can be made again."""
        if self.call.may_cost:
            self._record(CallReceived(received=received))

    def leave_open(self, trouble: str) -> None:
        """Nobody here works on it any more, and it is not over."""
        self._record(CallLeftOpen(reason=trouble))

    def close(self, usage: UsageRow | None) -> None:
        """It is over."""
        self._record(CallClosed(usage=usage))

    @property
    def is_recorded(self) -> bool:
        """Whether it can be asked for later."""
        return self._begun

    def _record(self, note: CallUpdate) -> bool:
        return self._begun and self._records.record(self.call, note)
