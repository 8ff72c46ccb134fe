"""The port for the journal: the state of every call that is not finished."""

from collections.abc import Sequence
from typing import Protocol

from imagen.domain.call import Call, CallUpdate, ClaimedCall, OpenCall
from imagen.domain.money.budget import BudgetLimit


class Journal(Protocol):
    """A crash-safe record of every open call.

    Used by several threads and processes at once. For a call that may cost money, every
    change is durable when the method returns: it survives a power failure. A call that
    no running process works on, because its process ended or left it open, can be
    claimed; other calls cannot. Every method raises `JournalError` if the journal
    cannot be read or written.
    """

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> None:
        """Record all of the calls as `planned` by this process, or none of them.

        In the same transaction, so that no other process comes between, compare each
        limit with the sum of three amounts for its period, backend and caller: the cost
        in the ledger, the reservations of open calls, and the reservations requested
        now. A reservation lasts until the call is closed. A call that was closed with
        an unknown cost counts with its reservation. Not counted are calls that cost
        nothing, and calls in state `planned` whose process has ended: these were never
        sent.

        Raises:
            OverBudget: a limit is exceeded; nothing was recorded.
            JournalError: the journal cannot be written, or has one of the calls.
        """
        ...

    def committed_micros(self, limit: BudgetLimit) -> int:
        """Return what `begin` counts for the limit so far, in micro-dollars."""
        ...

    def record(self, call_id: str, update: CallUpdate) -> None:
        """Record an update of a call; a repeated update changes nothing.

        The state only moves forward, from `planned` to `received`, except that
        `CallSending(active=False)` moves it from `sent` back to `planned`. The time of
        `CallSending` is kept with the state. Images that arrived are kept, even if some
        of the data sent with them cannot be stored.
        `CallClosed` deletes the call and adds its usage row to the ledger, once for any
        number of updates. Updates of an unknown call are ignored, except for the usage
        row of `CallClosed`.

        Raises:
            ReferenceTaken: another call of the same adapter is or was `CallAccepted`
                with this reference.
        """
        ...

    def unclaimed_references(
        self, call: Call, references: Sequence[str]
    ) -> tuple[str, ...]:
        """Return the references that no other call of the same adapter has or had."""
        ...

    def list_open(self) -> tuple[OpenCall, ...]:
        """Return all open calls, oldest first."""
        ...

    def claim(self, call_id: str) -> ClaimedCall | None:
        """Claim a call for this process; None if it is unknown or in use.

        Of several concurrent claims exactly one succeeds. The reason why the call was
        left open is deleted.
        """
        ...
