"""Find the remote job of a submit request whose response was lost."""

from datetime import datetime

from imagen.domain.errors import Cancelled, ImagenError, ReferenceTaken
from imagen.domain.job import ImageJob
from imagen.engine.job_context import RunningJobContext
from imagen.ports.backend import ImageBackend, LookupBackend

LOOKUP_DELAYS = (0.5, 2.0, 5.0)
"""Seconds to wait before each attempt, because a vendor's job list may lag behind."""


def find_lost_job(
    backend: ImageBackend, job: ImageJob, *, since: datetime, context: RunningJobContext
) -> str | None:
    """Return the id of the remote job, if exactly one candidate exists; else None.

    The id is then recorded in the context and in the journal. Remote jobs of other
    calls do not count, and of two candidates neither is chosen.
    """
    if not isinstance(backend, LookupBackend):
        return None
    for seconds in LOOKUP_DELAYS:
        context.sleep(seconds)
        try:
            references = backend.find(job, since=since, context=context)
            candidates = context.unclaimed_references(references)
        except Cancelled:
            raise
        except ImagenError:
            # The vendor may be unavailable for a moment only.
            continue
        if len(candidates) == 1:
            [reference] = candidates
            try:
                context.accepted(reference)
            except ReferenceTaken:
                # Another call has claimed the job since the check above.
                continue
            return reference
    return None
