"""Find out whether a backend took a job, when nobody heard its answer."""

from datetime import datetime

from imagen.domain.errors import Cancelled, ImagenError, ReferenceTaken
from imagen.domain.plan import ImageJob
from imagen.engine.job_context import RunningJobContext
from imagen.ports.backend import ImageBackend, LookupBackend

LOOKUP_DELAYS = (0.5, 2.0, 5.0)
"""Seconds to wait before each look: a list may lag behind."""


def find_lost_job(
    backend: ImageBackend, job: ImageJob, *, since: datetime, context: RunningJobContext
) -> str | None:
    """Return what the backend calls the job, if there is exactly one that can be it.

    The context knows the name then, and so does the journal. The jobs of other calls do
    not count, and of two that look alike neither is taken.

    Raises:
        Cancelled: passed through from the context.
    """
    if not isinstance(backend, LookupBackend):
        return None
    for seconds in LOOKUP_DELAYS:
        context.sleep(seconds)
        try:
            found = context.unclaimed_references(
                backend.find(job, since=since, context=context)
            )
        except Cancelled:
            raise
        except ImagenError:
            continue  # it cannot be asked now, but may be in a moment
        if len(found) == 1:
            try:
                context.accepted(found[0])
            except ReferenceTaken:
                continue
            return found[0]
    return None
