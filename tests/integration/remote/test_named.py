"""A job whose id is its key is looked up, and made again only if that costs nothing."""

from collections.abc import Callable

import pytest
from tests.integration.remote.server import Recorded, Reply, ScriptedServer, json_reply
from tests.integration.remote.vendors import Job, Pencil

import imagen.backend as kit
from imagen.testing import RecordingContext, tiny_png

Connect = Callable[..., kit.ImageBackend]

JOB = kit.ImageJob(number=1, prompt="a fox", size=kit.Size(64, 64), timeout=60)


class Chalk(Pencil):
    """A vendor with named jobs, whose status takes two requests."""

    named = True

    def __init__(self, *, free: bool = True, prompt: str = "") -> None:
        self.free = free
        self.prompt = prompt

    def capabilities(self) -> kit.Capabilities:
        return kit.Capabilities(sizes=kit.SizeRule(), may_cost=not self.free)

    def for_job(self, job: kit.ImageJob, *, previews: bool) -> "Chalk":
        return Chalk(free=self.free, prompt=job.prompt)

    def repeat(self) -> "kit.Exchange[Chalk]":
        yield kit.HttpRequest(method="POST", path="/cache/clear")
        return Chalk(free=self.free, prompt=f"{self.prompt} again")

    def submit(self, job: kit.ImageJob, key: str) -> kit.HttpRequest:
        return kit.HttpRequest(
            method="POST", path="/jobs", json={"id": key, "prompt": self.prompt}
        )

    def submitted(
        self, job: kit.ImageJob, response: kit.HttpResponse
    ) -> kit.JobAccepted:
        made = response.json(Job)
        if made.state == "partly":
            refusal = kit.JobFailed(error=kit.Refused("Half of it."), cancel=True)
            return kit.JobAccepted(reference=made.id, status=refusal)
        return kit.JobAccepted(reference=made.id)

    def poll(self, reference: str) -> kit.Exchange[kit.JobStatus]:  # type: ignore[override]
        queue = yield kit.HttpRequest(path="/queue")
        if reference in queue.json(list[str]):
            return kit.JobRunning()
        done = (yield kit.HttpRequest(path="/done")).json(list[str])
        if reference not in done:
            return kit.JobFailed(error=kit.BackendError("It is gone."), lost=True)
        output = kit.JobOutput(url=f"/files/{reference}", deleted_with=frozenset({404}))
        return kit.JobSucceeded(outputs=(output,))


class ChalkServer:
    """Keeps its jobs by name.

    Attributes:
        answers: Replies to submit requests instead of the usual one.
        forgets: How many of the next jobs a restart loses.
        deleted: Whether the files of the first job are deleted.
    """

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.prompts: list[str] = []
        self.answers: list[Reply] = []
        self.forgets = 0
        self.away = 0
        self.deleted = False
        self.takes = True

    def __call__(self, request: Recorded) -> Reply:
        if (request.method, request.path) == ("POST", "/jobs"):
            return self._submit(request)
        if request.path.startswith("/files/"):
            gone = self.deleted and request.path.endswith(self.jobs[0])
            return Reply(status=404) if gone else Reply(content=tiny_png())
        if request.path == "/queue" and self.away:
            self.away -= 1
            return Reply(status=502)
        return json_reply(self.jobs if request.path == "/done" else [])

    def _submit(self, request: Recorded) -> Reply:
        name = str(request.body["id"])
        self.prompts.append(str(request.body["prompt"]))
        if self.forgets:
            self.forgets -= 1
            self.away = 1
        elif self.takes:
            self.jobs.append(name)
        usual = json_reply({"id": name, "state": "queued"})
        return self.answers.pop(0) if self.answers else usual


@pytest.fixture
def chalk(server: ScriptedServer) -> ChalkServer:
    server.answer = ChalkServer()
    return server.answer


LOST = [Reply(status=500), Reply(dropped=True), Reply(status=200, content=b"<html>")]


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("reply", LOST, ids=["500", "dropped", "page"])
def test_a_job_whose_response_was_lost_is_found_by_its_name(
    connect: Connect, chalk: ChalkServer, reply: Reply, free: bool
) -> None:
    chalk.answers = [reply]
    context = RecordingContext()

    generated = connect(Chalk(free=free)).generate(JOB, context)

    assert generated.images[0].content == tiny_png()
    assert context.references == chalk.jobs
    assert len(chalk.prompts) == 1


@pytest.mark.parametrize(("free", "kind"), [(True, kit.Unavailable), (False, None)])
def test_a_job_that_is_not_found_may_be_retried_only_if_it_is_free(
    connect: Connect, chalk: ChalkServer, free: bool, kind: type | None
) -> None:
    chalk.answers, chalk.takes = [Reply(status=500)], False

    with pytest.raises(kind or kit.Unfinished) as caught:
        connect(Chalk(free=free)).generate(JOB, RecordingContext())

    assert (caught.value.used == kit.UNTOUCHED) is free
    assert len(chalk.prompts) == 1


def test_a_free_job_that_a_restart_lost_is_submitted_once_more(
    connect: Connect, chalk: ChalkServer
) -> None:
    chalk.forgets = 1
    context = RecordingContext()

    generated = connect(Chalk()).generate(JOB, context)

    assert generated.images[0].content == tiny_png()
    assert len(chalk.prompts) == 2
    assert len(context.references) == 1


@pytest.mark.parametrize(
    ("free", "kind", "sent"),
    [(True, kit.BackendError, 2), (False, kit.Unfinished, 1)],
    ids=["twice", "paid"],
)
def test_a_lost_job_is_given_up(
    connect: Connect,
    chalk: ChalkServer,
    free: bool,
    kind: type[kit.ImagenError],
    sent: int,
) -> None:
    chalk.forgets = 9

    with pytest.raises(kind):
        connect(Chalk(free=free)).generate(JOB, RecordingContext())

    assert len(chalk.prompts) == sent


def test_a_job_that_was_deleted_is_not_submitted_again(
    connect: Connect, chalk: ChalkServer
) -> None:
    chalk.takes = False

    with pytest.raises(kit.BackendError, match="It is gone"):
        connect(Chalk()).generate(JOB, RecordingContext())

    assert len(chalk.prompts) == 1


def test_a_free_job_whose_files_were_deleted_is_made_again(
    connect: Connect, chalk: ChalkServer, server: ScriptedServer
) -> None:
    chalk.deleted = True
    context = RecordingContext()

    generated = connect(Chalk()).generate(JOB, context)

    assert generated.images[0].content == tiny_png()
    assert chalk.prompts == ["a fox", "a fox again"]
    assert len(server.sent("POST", "/cache/clear")) == 1
    assert context.references == chalk.jobs[:1]


def test_a_paid_job_whose_files_were_deleted_is_not_made_again(
    connect: Connect, chalk: ChalkServer
) -> None:
    chalk.deleted = True

    with pytest.raises(kit.BackendError, match="has deleted the image"):
        connect(Chalk(free=False)).generate(JOB, RecordingContext())

    assert len(chalk.prompts) == 1


def test_a_job_that_is_refused_in_part_is_cancelled(
    connect: Connect, chalk: ChalkServer, server: ScriptedServer
) -> None:
    chalk.answers = [json_reply({"id": "job-7", "state": "partly"})]

    with pytest.raises(kit.Refused, match="Half of it"):
        connect(Chalk()).generate(JOB, RecordingContext())

    assert len(server.sent("DELETE", "/jobs/job-7")) == 1
