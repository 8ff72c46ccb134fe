"""fal as a vendor file: its requests, and the meaning of its responses."""

from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from datetime import datetime
from math import ceil
from typing import Self, cast
from urllib.parse import quote

from imagen.adapters.backends.fal.catalog import Model, ModelCatalog
from imagen.adapters.backends.fal.results import (
    QueueStatus,
    Request,
    read_result,
    to_error,
)
from imagen.adapters.backends.fal.search import find_matching
from imagen.adapters.remote.vendor import (
    Exchange,
    HttpRequest,
    HttpResponse,
    JobAccepted,
    JobFailed,
    JobStatus,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import BackendError, ImagenError, Refused
from imagen.domain.job import ImageJob

_NAMESPACES = {"workflows", "comfy"}
"""First words of names in which two more words name the app."""


class Fal:
    """One account at fal with a default model."""

    name = "fal"
    # A proxy of fal answers with 502 to 504 also after it has queued a job.
    refuses_with: frozenset[int] = frozenset()
    fails_with: frozenset[int] = frozenset()
    hosts = ("fal.run", "fal.ai")

    def __init__(self, *, catalog: ModelCatalog, headers: Mapping[str, str]) -> None:
        """Create the vendor file; `headers` are sent with every job."""
        self._catalog = catalog
        self._headers = headers
        self._job: ImageJob | None = None
        self._payload: Mapping[str, object] = {}
        self._removed = False

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the default model, without network."""
        return self._catalog.capabilities

    def look_up_model(self, model: str) -> Exchange[Capabilities]:
        """Return the capabilities of a model; read its description if necessary."""
        return (yield from self._catalog.load(model)).capabilities()

    def for_job(self, job: ImageJob, *, previews: bool) -> Self:
        """Return a vendor file for one job, which reads its result."""
        found = copy(self)
        found._job = job  # noqa: SLF001 - the same class
        return found

    def prepare(self, job: ImageJob) -> Exchange[ImageJob]:
        """Read the description of the model if necessary, and fill in its inputs."""
        model = yield from self._catalog.load(job.model)
        self._payload = model.fill(job)
        return job

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        """Return the request that queues the job."""
        headers = {
            # An image of another model would be recorded as one of this model.
            "x-app-fal-disable-fallback": "true",
            "X-Fal-No-Retry": "1",
            "X-Fal-Request-Timeout": str(ceil(job.timeout * job.count)),
            **self._headers,
        }
        path = quote(job.model or self._catalog.default)
        return HttpRequest(
            method="POST", path=path, headers=headers, json=self._payload
        )

    def submitted(self, job: ImageJob, response: HttpResponse) -> JobAccepted:
        """Return the id of the job."""
        request = response.json(Request).request_id
        return JobAccepted(reference=request and self._refer(job, request))

    def poll(self, reference: str) -> Exchange[JobStatus]:
        """Return the status of a job; its result is a request of its own."""
        if self._removed:
            error = BackendError("fal removed the job from its queue.")
            return JobFailed(error=error, reference=reference)
        job = cast("ImageJob", self._job)
        response = yield HttpRequest(
            path=f"{quote(reference)}/status", query={"logs": "1"}
        )
        status = response.json(QueueStatus)
        # A cache on the way may confuse two jobs.
        prefix, _, request = reference.rpartition("/")
        stated = f"{prefix}/{status.request_id or request}"
        if not status.is_finished:
            return status.describe_progress(stated, steps=job.steps)
        try:
            response = yield HttpRequest(path=quote(reference))
        except ImagenError as error:
            # Without an error in the status, the result is only not available now.
            if not (status.has_failed or isinstance(error, Refused)):
                raise
            return JobFailed(error=status.explain_failure(error), reference=stated)
        model = Model(name=job.model or self._catalog.default)
        with suppress(ImagenError):  # only the cost depends on it
            model = yield from self._catalog.load(job.model)
        result = read_result(response, job, model, reference=stated)
        # An image is kept, also if the status says that there is none.
        if isinstance(result, JobFailed) and status.has_failed:
            return JobFailed(error=status.explain_failure(None), reference=stated)
        return result

    def cancel(self, reference: str) -> Exchange[None]:
        """Cancel a job, and remember whether it was still in the queue."""
        path = f"{quote(reference)}/cancel"
        response = yield HttpRequest(method="PUT", path=path)
        self._removed = response.json(Request).status == "OK"

    def find(self, job: ImageJob, since: datetime) -> Exchange[tuple[str, ...]]:
        """Return the ids of the account's jobs since then that match the job."""
        model = yield from self._catalog.load(job.model)
        sent = model.describe_sent(job)
        if sent is None:
            return ()
        found = yield from find_matching(sent, model.name, since, self._catalog)
        return tuple(self._refer(job, request) for request in found)

    def check(self) -> Mapping[str, Exchange[str]]:
        """Check the key, and then the model."""
        return self._catalog.check()

    def error(self, response: HttpResponse) -> ImagenError | str:
        """Return the error for a response without success, or fal's message."""
        return to_error(response)

    def _refer(self, job: ImageJob, request: str) -> str:
        """Return the id of a job: the path of its status, without that of the app."""
        words = (job.model or self._catalog.default).split("/")
        app = "/".join(words[: 3 if words[0] in _NAMESPACES else 2])
        return f"{app}/requests/{request}"
