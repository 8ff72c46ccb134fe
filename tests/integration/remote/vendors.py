"""Vendor files for the tests: one with job ids, one whose submit request is the job."""

from base64 import b64decode, b64encode
from datetime import datetime

import msgspec
from tests.integration.remote.server import Recorded, Reply, json_reply

import imagen.backend as kit
from imagen.testing import tiny_png

KEY = "canary-4d1f-secret"


class Job(msgspec.Struct, frozen=True):
    id: str
    state: str
    urls: list[str] = []
    kept_until: datetime | None = None


class Pencil:
    """A vendor with job ids."""

    name = "Pencil"
    refuses_with = frozenset({503})
    fails_with = frozenset({501})

    def capabilities(self) -> kit.Capabilities:
        return kit.Capabilities(model="pencil-1", sizes=kit.SizeRule(), may_cost=True)

    def submit(self, job: kit.ImageJob, key: str) -> kit.HttpRequest:
        return kit.HttpRequest(
            method="POST",
            path="/jobs",
            headers={"Idempotency-Key": key},
            json={"prompt": job.prompt, "strength": job.options.get("strength")},
        )

    def submitted(
        self, job: kit.ImageJob, response: kit.HttpResponse
    ) -> kit.JobAccepted:
        return kit.JobAccepted(reference=response.json(Job).id)

    def poll(self, reference: str) -> kit.HttpRequest:
        return kit.HttpRequest(path=f"/jobs/{kit.quote_segment(reference)}")

    def status(self, job: kit.ImageJob, response: kit.HttpResponse) -> kit.JobStatus:
        seen = response.json(Job)
        match seen.state:
            case "done":
                outputs = tuple(
                    kit.JobOutput(url=url, kept_until=seen.kept_until)
                    for url in seen.urls
                )
                return kit.JobSucceeded(outputs=outputs)
            case "failed":
                return kit.JobFailed(error=kit.BackendError("Pencil broke."))
            case "busy":
                return kit.JobFailed(error=kit.Unavailable("Pencil is busy."))
            case _:
                return kit.JobRunning(fraction=0.5)

    def cancel(self, reference: str) -> kit.HttpRequest:
        return kit.HttpRequest(method="DELETE", path=f"/jobs/{reference}")

    def check(self) -> kit.HttpRequest:
        return kit.HttpRequest(path="/account")

    def error(self, response: kit.HttpResponse) -> kit.ImagenError | None:
        text = response.content.decode(errors="replace")
        return kit.Refused(f"Pencil: {text}") if response.status == 422 else None


class Drawn(msgspec.Struct, frozen=True):
    images: list[str]


class Progress(msgspec.Struct, frozen=True):
    task: str | None
    fraction: float = 0.0


class Brush:
    """A vendor whose submit request lasts as long as the job."""

    name = "Brush"
    refuses_with = frozenset({503})
    fails_with = frozenset({500})

    def capabilities(self) -> kit.Capabilities:
        return kit.Capabilities(sizes=kit.SizeRule(), may_cost=False)

    def submit(self, job: kit.ImageJob, key: str) -> kit.HttpRequest:
        return kit.HttpRequest(
            method="POST", path="/draw", json={"prompt": job.prompt, "task": key}
        )

    def submitted(
        self, job: kit.ImageJob, response: kit.HttpResponse
    ) -> kit.JobSucceeded:
        images = response.json(Drawn).images
        return kit.JobSucceeded(
            outputs=tuple(kit.JobOutput(content=b64decode(image)) for image in images)
        )

    def progress(self, key: str) -> kit.HttpRequest:
        return kit.HttpRequest(path="/progress")

    def progressed(self, key: str, response: kit.HttpResponse) -> kit.JobRunning | None:
        seen = response.json(Progress)
        return kit.JobRunning(fraction=seen.fraction) if seen.task == key else None

    def cancel(self, reference: str) -> kit.HttpRequest:
        return kit.HttpRequest(method="POST", path="/interrupt")

    def error(self, response: kit.HttpResponse) -> kit.ImagenError | None:
        return None


def drawn(content: bytes = b"") -> Reply:
    image = b64encode(content or tiny_png()).decode()
    return json_reply({"images": [image]})


class PencilServer:
    """The usual answers of Pencil; a test replaces some by others.

    Attributes:
        submit: Replies to submit requests, one after the other; then the usual one.
        poll: The same for status requests.
        file: The same for downloads.
        ends: The state in which a job ends.
        urls: The addresses of the files.
    """

    def __init__(self) -> None:
        self.submit: list[Reply] = []
        self.poll: list[Reply] = []
        self.file: list[Reply] = []
        self.ends = "done"
        self.urls = ["/files/1"]
        self.kept_until: datetime | None = None
        self.image = tiny_png()

    def __call__(self, request: Recorded) -> Reply:
        if request.path.startswith("/files/"):
            usual = Reply(content=self.image, headers={"Content-Type": "image/png"})
            return self.file.pop(0) if self.file else usual
        if request.method == "POST":
            usual = json_reply({"id": "job-1", "state": "running"}, 201)
            return self.submit.pop(0) if self.submit else usual
        if request.method == "DELETE":
            self.ends = "failed"
            return json_reply({})
        state = Job("job-1", self.ends, self.urls, self.kept_until)
        return self.poll.pop(0) if self.poll else json_reply(state)
