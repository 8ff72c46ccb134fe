"""Record every call in the journal, and every image in the history.

A failed write never loses an image: the user gets one warning, and the job continues.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import msgspec

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
    count_identical,
    describe_forgetting,
    usage_row,
)
from imagen.domain.errors import (
    Cancelled,
    ImagenError,
    JournalError,
    Misconfigured,
    ReferenceTaken,
)
from imagen.domain.history import HistoryEntry
from imagen.domain.money.budget import BudgetLimit
from imagen.domain.money.cost import Cost, check_proportion, describe_open_cost
from imagen.domain.money.price import calculate_cost
from imagen.domain.money.usage import UsageRow
from imagen.domain.result import StoredImage

if TYPE_CHECKING:
    from imagen.ports.clock import Clock
    from imagen.ports.history import History
    from imagen.ports.journal import Journal
    from imagen.ports.spool import Spool


class Recorder(msgspec.Struct, kw_only=True, eq=False):
    """Writes the journal and the history for one request.

    Attributes:
        spool: The bytes of images until they are uploaded.
        locate: Converts the location of an image to an absolute one.
        keep: How long the history keeps images; None keeps them forever.
        temporary: Why the journal may not outlive this process, in a sentence; "" if
            it does.
        may_skip: Whether a call that may cost money is sent without a record if the
            journal cannot be written, or is temporary.
        listen: Receives one warning if something cannot be written.
        on_usage: Called after a usage row was written.
    """

    journal: "Journal"
    history: "History"
    spool: "Spool"
    clock: "Clock"
    locate: Callable[[str], str] = str
    keep: timedelta | None = None
    temporary: str = ""
    may_skip: bool = False
    listen: events.Listener = events.ignore_event
    on_usage: Callable[[], None] = lambda: None
    has_warned: bool = False

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> "list[CallRecorder]":
        """Record calls that may cost money as planned; record the others later.

        Raises:
            OverBudget: a limit does not allow the calls.
            Misconfigured: calls that may cost money cannot be recorded, or limits
                cannot be checked.
        """
        is_recorded = False
        paid = [call for call in calls if call.may_cost]
        if self.temporary:
            self._check_temporary(paid=bool(paid), limited=bool(limits))
        if paid:
            try:
                self.journal.begin(paid, limits=limits)
                is_recorded = True
            except JournalError as error:
                if limits:
                    raise Misconfigured(
                        f"The budget cannot be checked: {error.message}",
                        hint=error.hint,
                    ) from error
                self.skip_record(error)
        return [
            CallRecorder(
                recorder=self,
                call=call,
                is_recorded=is_recorded and call.may_cost,
                is_broken=call.may_cost and not is_recorded,
                must_record=call.may_cost and (bool(limits) or not self.may_skip),
            )
            for call in calls
        ]

    def skip_record(self, error: JournalError) -> None:
        """Warn that a call that may cost money is not recorded, if that is allowed.

        Raises:
            Misconfigured: it is not; nothing was sent.
        """
        if not self.may_skip:
            raise Misconfigured(
                f"A call that may cost money needs a record: {error.message}",
                hint=f"{error.hint} Or send it without one: --unrecorded, or "
                "IMAGEN_ALLOW_UNRECORDED=1.".strip(),
            ) from error
        self.warn_once(error)

    def _check_temporary(self, *, paid: bool, limited: bool) -> None:
        """Warn of a journal that is temporary.

        Raises:
            Misconfigured: calls that may cost money need one that is not.
        """
        error = JournalError(
            self.temporary, hint="Set IMAGEN_DATA_DIR to a folder that is kept."
        )
        if paid and limited:
            raise Misconfigured(
                f"The budget cannot be checked: {error.message}", hint=error.hint
            )
        if paid:
            self.skip_record(error)
        self._warn(error.explanation)

    def add_to_history(self, images: Sequence[StoredImage], *, owner: str = "") -> None:
        """Add the images to the history, and let it forget those that are too old.

        Args:
            owner: The user id in the cloud. If there is one, a copy of each image is
                pending from then on.
        """
        entries = [
            HistoryEntry(
                location=self.locate(image.location),
                sidecar=image.sidecar,
                owner=owner,
            )
            for image in images
        ]
        # The bytes come before the entry: the entry makes the upload pending, and
        # another process may begin with it at once.
        with self.spool.adding() if owner else nullcontext():
            for image in images if owner else ():
                write = partial(self.spool.write, image.sidecar.id, image.content)
                self.try_write(write)
            self.try_write(lambda: self.history.add(entries))
        if self.keep is not None:
            self.try_write(partial(self._forget_older, self.clock.now() - self.keep))

    def find_in_history(self, image_id: str) -> HistoryEntry | None:
        """Return the entry of an image; None if there is none, or none can be read."""
        try:
            return self.history.get(image_id)
        except JournalError:
            return None

    def _forget_older(self, than: datetime) -> None:
        if self.history.forget_older(than):
            # Also where no cloud is set up any more, which would do this otherwise.
            self.spool.sweep()

    def try_write(self, write: Callable[[], object]) -> bool:
        """Call `write`, and return whether it succeeded; warn if not.

        Raises:
            ReferenceTaken: passed through, because it is an answer of the journal, not
                a failed write.
        """
        try:
            write()
        except ReferenceTaken:
            raise
        except JournalError as error:
            self.warn_once(error)
        except Exception as error:  # noqa: BLE001 - a bug here must not lose an image
            self.warn_once(JournalError(f"{type(error).__name__}: {error}"))
        else:
            return True
        return False

    def warn_once(self, error: JournalError) -> None:
        """Warn that the call is not recorded, unless the user was warned before."""
        self._warn(f"not recorded: {error.explanation}")

    def _warn(self, message: str) -> None:
        if not self.has_warned:
            self.has_warned = True
            self.listen(events.Warned(message=message))


@contextmanager
def close_on_error(records: "Sequence[CallRecorder]") -> Generator[None]:
    """Close the calls if the body raises, because none of them was sent."""
    try:
        yield
    except BaseException:
        for record in records:
            record.close(None)
        raise


class CallRecorder(msgspec.Struct, kw_only=True, eq=False):
    """Records one call.

    A call that may cost money is recorded before it is sent, and at every step. One
    that costs nothing is recorded once its remote job has an id, for `resume`.

    Attributes:
        is_recorded: Whether the journal has the call, so that it can be resumed.
        is_broken: Whether the journal could not record it.
        must_record: Whether the call must not be sent without a record.
    """

    recorder: Recorder
    call: Call
    is_recorded: bool
    is_broken: bool = False
    must_record: bool = False

    def set_sending(self, *, active: bool, at: datetime) -> None:
        """Record that the call is about to be sent, or that it failed at no cost.

        Raises:
            Misconfigured: this cannot be recorded, and the call must not be sent then.
        """
        update = CallSending(active=active, at=at if active else None)
        is_recorded = self._record(update)
        if active and self.must_record and not is_recorded:
            raise Misconfigured(
                "The call was not sent, because the journal cannot record it.",
                hint="--unrecorded sends calls without a record, if no budget has to "
                "count them.",
            )

    def mark_accepted(self, reference: str) -> None:
        """Record the id of the remote job."""
        if not self.is_recorded and not self.is_broken:
            recorder = self.recorder
            begin = partial(recorder.journal.begin, [self.call])
            self.is_recorded = recorder.try_write(begin)
            self.is_broken = not self.is_recorded
        self._record(CallAccepted(reference=reference))

    def claimable_references(self, references: Sequence[str]) -> tuple[str, ...]:
        """Return the ids of remote jobs that may be this call's, in the same order.

        These are the jobs that no other call has. There are none if they are more than
        the calls that look for one: then some were made by another program. Without
        the journal that is this call only.
        """
        journal, unclaimed, calls = self.recorder.journal, tuple(references), 1
        try:
            # The calls first: one that claims its job in the meantime takes it along.
            if len(references) > 1:
                calls = count_identical(self.call, journal.list_open())
            unclaimed = journal.unclaimed_references(self.call, references)
        except JournalError as error:
            self.recorder.warn_once(error)
            calls = 1
        return unclaimed if len(unclaimed) <= calls else ()

    def mark_received(self, received: Received) -> None:
        """Record the images of a call that may cost money, or is not complete."""
        # Images that cost nothing can be made again, and are not worth the write.
        if self.call.may_cost or received.generated.delayed:
            self._record(CallReceived(received=received))

    def leave_open(self, reason: str) -> None:
        """Record that this process gives the call up before it has ended."""
        self._record(CallLeftOpen(reason=reason))

    def close(self, usage: UsageRow | None) -> None:
        """Record that the call has ended.

        Args:
            usage: The row for the ledger; None if the call certainly cost nothing.
        """
        if self._record(CallClosed(usage=usage)) and usage is not None:
            self.recorder.on_usage()

    def close_failed(self, error: BaseException, *, latency_ms: int | None) -> Cost:
        """Record that the call has failed, and return its cost."""
        used = error.used if isinstance(error, ImagenError) else None
        cost = Cost() if used is None else calculate_cost(self.call.plan.price, used)
        cost, note = check_proportion(cost, expected=self.call.reserved)
        if note:
            self.recorder.listen(events.Warned(message=note))
        self.close(
            usage_row(
                self.call,
                status="cancelled" if isinstance(error, Cancelled) else "failed",
                cost=cost,
                latency_ms=latency_ms,
            )
        )
        return cost

    def describe_open(self, *, findable: bool = True) -> str:
        """Return what the call may cost while it is open, and how to end it.

        Args:
            findable: Whether the backend can look up what became of the call.
        """
        call = self.call
        cost = describe_open_cost(call.reserved) if call.may_cost else ""
        advice = f"`imagen resume {call.id}` finishes it; do not repeat it."
        if not findable:
            advice = f"The backend cannot look it up. {describe_forgetting(call)}"
        return " ".join(filter(None, (cost, advice if self.is_recorded else "")))

    def _record(self, update: CallUpdate) -> bool:
        recorder = self.recorder
        write = partial(recorder.journal.record, self.call.id, update)
        return self.is_recorded and recorder.try_write(write)
