"""List open calls, and give one up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen.domain.call import CallClosed, OpenCall, usage_row
from imagen.domain.errors import InvalidRequest
from imagen.domain.money.cost import Cost

if TYPE_CHECKING:
    from imagen.ports.journal import Journal


def select_jobs(journal: "Journal", names: Sequence[str] = ()) -> tuple[OpenCall, ...]:
    """Return the named open calls, or all open calls, the oldest first.

    Args:
        names: Ids, unique prefixes of ids, or `last`.

    Raises:
        InvalidRequest: a name matches no open call, or several.
    """
    open_calls = journal.list_open()
    if not names:
        return open_calls
    return tuple(_select(name, open_calls) for name in dict.fromkeys(names))


def forget_job(journal: "Journal", job: OpenCall) -> bool:
    """Close a call without its images; record its cost as unknown if it was sent.

    Returns:
        False if another process works on the call.
    """
    # Claimed first, so that no other process resumes the call in the meantime.
    claim = journal.claim(job.call.id)
    if claim is None:
        return False
    row = usage_row(job.call, status="unknown", cost=Cost(), latency_ms=None)
    sent = claim.open.state != "planned"
    journal.record(job.call.id, CallClosed(usage=row if sent else None))
    return True


def _select(name: str, open_calls: tuple[OpenCall, ...]) -> OpenCall:
    if name == "last" and open_calls:
        return open_calls[-1]
    prefix = name.lower()
    found = [each for each in open_calls if name and each.call.id.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidRequest(
            f"The ids of {len(found)} open jobs begin with {name!r}.",
            hint="Give more characters of the id.",
        )
    raise InvalidRequest(
        f"No open job {name!r}.", hint="Run `imagen jobs` to list the open jobs."
    )
