"""Find out whether a backend took a job, when nobody heard its answer."""

from datetime import datetime

from imagen.domain.errors import Cancelled, ImagenError, ReferenceTaken
from imagen.domain.plan import ImageJob
from imagen.ports.backend import ImageBackend, SearchableBackend
from imagen.usecases.watch import JobWatch

LOOKS = (0.5, 2.0, 5.0)
"""Seconds to wait before each look: a list may lag behind."""


def look_up(
    backend: ImageBackend, job: ImageJob, *, since: datetime, watch: JobWatch
) -> str | None:
    """Return what the backend calls the job, if there is exactly one that can be it.

    The watch knows the name then, and so does the journal. The jobs of other calls do
    not count, and of two that look alike neither is taken.

    Raises:
        Cancelled: passed through from the watch.
    """
    if not isinstance(backend, SearchableBackend):
        return None
    for seconds in LOOKS:
        watch.wait(seconds)
        try:
            found = watch.untaken(backend.find(job, since=since, watch=watch))
        except Cancelled:
            raise
        except ImagenError:
            continue  # it cannot be asked now, but may be in a moment
        if len(found) == 1:
            try:
                watch.accepted(found[0])
            except ReferenceTaken:
                continue
            return found[0]
    return None
