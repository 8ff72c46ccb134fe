"""The port to the journal: what was asked, sent, taken and received."""

from collections.abc import Sequence
from typing import Protocol

from imagen.domain.call import Call, CallUpdate, ClaimedCall, OpenCall
from imagen.domain.money.budget import BudgetLimit


class Journal(Protocol):
    """Knows every call that is not over, whatever dies when.

    May be used by several threads and processes at once. Whatever a method did is done
    for good when it returns, for a call that may cost money: it outlives a power cut.
    What nobody works on any more, because its process has died or left it open, can be
    claimed; nothing else can.

    Prove an implementation with `imagen.testing.JournalContract`.
    """

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> None:
        """Write down the intent of all these calls, or of none.

        Together with that, and so that no other process comes between: what the ledger
        has for the time of each limit, its backend and its caller, what is reserved for
        open calls, and what is asked for now is compared. What was reserved is held
        until the call is closed; a call that was closed with an unknown cost counts
        with its reservation; one that costs nothing takes no room, nor does one that
        was `planned` by a process that has died: it was never sent. They are `planned`,
        and in the hands of this process.

        Raises:
            OverBudget: a limit says no; nothing was written down.
            JournalError: it could not be written down, or one of them was before.
        """
        ...

    def committed_micros(self, limit: BudgetLimit) -> int:
        """Return what `begin` would count for the limit already, in micro-dollars.

        Raises:
            JournalError: it cannot be read.
        """
        ...

    def record(self, call_id: str, update: CallUpdate) -> None:
        """Write down what became of a call; a note of what is so changes nothing.

        A call only goes on, from `planned` to `received`; `Sending(active=False)` alone
        takes one back, from `sent`. Images that arrived are kept, even if something
        that was said with them cannot be. A call that is closed is gone, and its usage
        row is in the ledger, once, however often it is closed. A note on a call that is
        not there is ignored, but for the usage row of `CallClosed`.

        Raises:
            ReferenceTaken: another call of the same adapter is, or was, `Accepted`
                under that name.
            JournalError: it could not be written down.
        """
        ...

    def unclaimed_references(
        self, call: Call, references: Sequence[str]
    ) -> tuple[str, ...]:
        """Return those of the names that no other call of its adapter has, or had.

        Raises:
            JournalError: it cannot be read.
        """
        ...

    def list_open(self) -> tuple[OpenCall, ...]:
        """Return what is not over, the oldest first.

        Raises:
            JournalError: it cannot be read.
        """
        ...

    def claim(self, call_id: str) -> ClaimedCall | None:
        """Take over a call that nobody works on; None when there is none, or somebody.

        Of several that claim one at the same moment, one gets it. It is in the hands of
        this process then, and why it was left open is forgotten.

        Raises:
            JournalError: it cannot be read or written.
        """
        ...
