"""The calls that are not over: which there are, and giving one up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from imagen.domain.call import CallClosed, OpenCall, usage_row
from imagen.domain.errors import InvalidRequest
from imagen.domain.money.cost import Cost

if TYPE_CHECKING:
    from imagen.ports.journal import Journal


class OpenJobs(msgspec.Struct, frozen=True, kw_only=True):
    """Looks through the journal.

    Attributes:
        journal: What knows them.
    """

    journal: "Journal"

    def select(self, names: Sequence[str] = ()) -> tuple[OpenCall, ...]:
        """Return the open calls of those names, or all of them, the oldest first.

        Args:
            names: Ids, unique beginnings of ids, or `last`.

        Raises:
            InvalidRequest: there is none of that name, or several.
            JournalError: they cannot be read.
        """
        there = self.journal.list_open()
        if not names:
            return there
        return tuple(_named(name, there) for name in dict.fromkeys(names))

    def forget(self, job: OpenCall) -> bool:
        """Give up on a call: off the list, and into the ledger if it may have cost.

        Returns:
            Whether it was given up; not if somebody works on it.

        Raises:
            JournalError: the journal cannot be written.
        """
        claim = self.journal.claim(job.call.id)
        if claim is None:
            return False
        row = usage_row(job.call, status="unknown", cost=Cost(), latency_ms=None)
        sent = claim.open.state != "planned"
        self.journal.record(job.call.id, CallClosed(usage=row if sent else None))
        return True


def _named(name: str, there: tuple[OpenCall, ...]) -> OpenCall:
    if name == "last" and there:
        return there[-1]
    found = [each for each in there if name and each.call.id.startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidRequest(
            f"{len(found)} open jobs begin with {name!r}.", hint="Give more of the id."
        )
    raise InvalidRequest(
        f"There is no open job {name!r}.", hint="`imagen jobs` lists those there are."
    )
