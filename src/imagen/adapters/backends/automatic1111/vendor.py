"""The API of AUTOMATIC1111's WebUI as a vendor file.

One long request is the job. Jobs wait in a queue; the server draws one at a time.
"""

from collections.abc import Mapping
from copy import copy
from typing import Self

from imagen.adapters.backends.automatic1111.parameters import (
    WebuiOptions,
    build_body,
    describe_capabilities,
)
from imagen.adapters.backends.automatic1111.results import (
    TaskProgress,
    read_result,
    to_error,
)
from imagen.adapters.backends.automatic1111.server import (
    Server,
    describe_loaded,
    detect_server,
    find_names,
)
from imagen.adapters.remote.backend import http_adapter
from imagen.adapters.remote.vendor import (
    Exchange,
    HttpRequest,
    HttpResponse,
    JobFailed,
    JobRunning,
    JobSucceeded,
    basic_auth,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import BackendError, ImagenError, Unavailable
from imagen.domain.job import ImageJob


class Automatic1111:
    """One server."""

    name = "The WebUI"
    # An error of the job itself; a server that is down or busy answers with others.
    refuses_with: frozenset[int] = frozenset()
    fails_with = frozenset({500})

    def __init__(self, options: WebuiOptions) -> None:
        """Create the vendor file."""
        self._model = options.model
        # Of all jobs: detected once, before the first.
        self._detected: list[Server] = []
        self._checkpoint = ""
        self._interrupted = False

    def capabilities(self) -> Capabilities:
        """Return what all of these servers can do."""
        return describe_capabilities(self._model)

    def for_job(self, job: ImageJob, *, previews: bool) -> Self:
        """Return a vendor file for one job, which knows whether it was interrupted."""
        return copy(self)

    def prepare(self, job: ImageJob) -> Exchange[ImageJob]:
        """Detect the program, and look up the names in the job."""
        if not self._detected:
            self._detected.append((yield from detect_server()))
        # A server ignores the name of a model that it does not have.
        self._checkpoint = yield from find_names(
            job, model=job.model or self._model, server=self._detected[0]
        )
        return job

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        """Return the long request, with the id of the task if the server takes one."""
        body = build_body(job, checkpoint=self._checkpoint, vendor=self.name)
        if self._has_tasks:
            body["force_task_id"] = _name_task(key)
        path = f"sdapi/v1/{'img2img' if job.images else 'txt2img'}"
        return HttpRequest(method="POST", path=path, json=body)

    def submitted(
        self, job: ImageJob, response: HttpResponse
    ) -> JobSucceeded | JobFailed:
        """Return the images; those of an interrupted job are not complete."""
        if self._interrupted:
            return JobFailed(error=BackendError("The job was interrupted."))
        return read_result(response)

    def progress(self, key: str) -> HttpRequest:
        """Return the request for the progress of the task."""
        if not self._has_tasks:
            raise Unavailable(f"{self.name} does not tell whose job it draws.")
        body = {
            "id_task": _name_task(key),
            "id_live_preview": -1,
            "live_preview": False,
        }
        return HttpRequest(method="POST", path="internal/progress", json=body)

    def progressed(self, key: str, response: HttpResponse) -> JobRunning | None:
        """Return the progress; None while the task waits in the queue."""
        task = response.json(TaskProgress)
        return JobRunning(fraction=task.progress) if task.active else None

    def cancel(self, reference: str) -> HttpRequest:
        """Return the request that interrupts the job that the server draws now."""
        self._interrupted = True
        return HttpRequest(method="POST", path="sdapi/v1/interrupt")

    @property
    def _has_tasks(self) -> bool:
        return any(server.tasks for server in self._detected)

    def check(self) -> Mapping[str, Exchange[str]]:
        """Detect the program, and name the model that it has loaded."""
        return {self.name: self._check()}

    def _check(self) -> Exchange[str]:
        server = yield from detect_server()
        return (yield from describe_loaded(server))

    def error(self, response: HttpResponse) -> ImagenError | str:
        """Return the error for a response without success, or the server's message."""
        return to_error(response, self.name)


def _name_task(key: str) -> str:
    return f"task(imagen-{key})"


adapter = http_adapter(
    Automatic1111,
    summary="Your AUTOMATIC1111, Forge, reForge, SD.Next or sd-server.",
    base_url="http://127.0.0.1:7860",
    key_env="WEBUI_LOGIN",
    credentials=basic_auth,
    needs_key=False,
    options=WebuiOptions,
)
