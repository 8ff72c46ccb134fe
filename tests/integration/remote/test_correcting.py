"""A refused job is corrected once, and failed free requests can be caught."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest
from tests.integration.remote.server import Recorded, Reply, ScriptedServer, json_reply
from tests.integration.remote.vendors import Job, Pencil, PencilServer

import imagen.backend as kit
from imagen.testing import RecordingContext

Connect = Callable[..., kit.ImageBackend]

JOB = kit.ImageJob(number=1, prompt="a fox", size=kit.Size(64, 64), timeout=60)


class Correcting(Pencil):
    """A vendor that answers 422 to the name of a strength that it has renamed."""

    def prepare(self, job: kit.ImageJob) -> kit.Exchange[kit.ImageJob]:
        yield kit.HttpRequest(path="strengths", note="reading strengths")
        return job

    def correct(
        self, job: kit.ImageJob, refusal: kit.ImagenError
    ) -> kit.Exchange[kit.ImageJob | None]:
        if not isinstance(refusal, kit.Refused):
            return None
        try:
            response = yield kit.HttpRequest(path="strengths/new")
        except kit.BackendError:
            return None
        return msgspec.structs.replace(job, options={"strength": response.json(str)})

    def error(self, response: kit.HttpResponse) -> kit.ImagenError | str | None:
        return super().error(response) or "says the pencil"


class CorrectingServer(PencilServer):
    """Answers to the lookups of a correcting vendor."""

    strength = json_reply("soft")

    def __call__(self, request: Recorded) -> Reply:
        if request.path.startswith("/strengths"):
            return self.strength
        return super().__call__(request)


@pytest.fixture
def correcting(server: ScriptedServer) -> CorrectingServer:
    answer = CorrectingServer()
    server.answer = answer
    return answer


def strengths(server: ScriptedServer) -> list[object]:
    return [request.body["strength"] for request in server.sent("POST", "/jobs")]


def test_a_refused_job_is_submitted_again_in_a_corrected_form(
    connect: Connect, server: ScriptedServer, correcting: CorrectingServer
) -> None:
    correcting.submit = [Reply(status=422)]
    context = RecordingContext()

    generated = connect(Correcting()).generate(JOB, context)

    assert generated.images[0].content == correcting.image
    assert strengths(server) == [None, "soft"]
    assert context.notes[0] == "reading strengths"


def test_a_job_is_corrected_once(
    connect: Connect, server: ScriptedServer, correcting: CorrectingServer
) -> None:
    correcting.submit = [Reply(status=422)] * 9

    with pytest.raises(kit.Refused) as caught:
        connect(Correcting()).generate(JOB, RecordingContext())

    assert caught.value.used == kit.UNTOUCHED
    assert strengths(server) == [None, "soft"]


@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_stands_that_cannot_be_corrected(
    connect: Connect, server: ScriptedServer, correcting: CorrectingServer, status: int
) -> None:
    correcting.submit = [Reply(status=422 if status == 404 else status)]
    correcting.strength = Reply(status=404) if status == 404 else correcting.strength

    def answer(request: Recorded) -> Reply:
        first = request.path == "/strengths"
        return json_reply("hard") if first else correcting(request)

    server.answer = answer
    with pytest.raises(kit.BackendError) as caught:
        connect(Correcting()).generate(JOB, RecordingContext())

    assert caught.value.used == kit.UNTOUCHED
    assert strengths(server) == [None]


@pytest.mark.parametrize("status", [200, 302, 408, 425, 500])
def test_a_job_that_may_exist_is_never_corrected(
    connect: Connect, server: ScriptedServer, correcting: CorrectingServer, status: int
) -> None:
    correcting.submit = [Reply(status=status)]

    with pytest.raises(kit.Unfinished):
        connect(Correcting()).generate(JOB, RecordingContext())

    assert strengths(server) == [None]
    assert server.sent("GET", "/strengths/new") == []


def test_the_words_of_the_vendor_are_part_of_the_usual_error(
    connect: Connect, correcting: CorrectingServer
) -> None:
    correcting.submit = [Reply(status=402)]

    with pytest.raises(kit.OutOfCredit, match="is empty: says the pencil"):
        connect(Correcting()).generate(JOB, RecordingContext())


class Reporting(Pencil):
    """A vendor whose submit response has the status, and whose figures come late."""

    def submitted(
        self, job: kit.ImageJob, response: kit.HttpResponse
    ) -> kit.JobAccepted:
        return kit.JobAccepted(
            reference=response.json(Job).id, status=self.status(job, response)
        )

    def status(self, job: kit.ImageJob, response: kit.HttpResponse) -> kit.JobStatus:
        status = super().status(job, response)
        if not isinstance(status, kit.JobSucceeded):
            return status
        early = "late" not in response.content.decode()
        model = "early" if early else "late"
        return msgspec.structs.replace(status, final=not early, model=model)


@pytest.mark.parametrize(
    ("poll", "model"),
    [
        (json_reply({"id": "job-1", "state": "done", "urls": ["/files/late"]}), "late"),
        (json_reply({"id": "job-1", "state": "done", "urls": ["/files/1"]}), "early"),
        (json_reply({"id": "job-1", "state": "running"}), "early"),
        (Reply(status=503), "early"),
        (Reply(dropped=True), "early"),
    ],
)
def test_figures_that_come_late_are_worth_one_poll(
    connect: Connect,
    server: ScriptedServer,
    pencil: PencilServer,
    poll: Reply,
    model: str,
) -> None:
    pencil.submit = [json_reply(Job("job-1", "done", ["/files/1"]))]
    pencil.poll = [poll]

    generated = connect(Reporting()).generate(JOB, RecordingContext())

    assert generated.model == model
    assert len(server.sent("GET", "/jobs/")) == 1


class Checking(Pencil):
    """A vendor with several checks."""

    def check(self) -> dict[str, kit.Exchange[str]]:  # type: ignore[override]
        return {name: self._check(name) for name in ("account", "model", "disk")}

    def _check(self, name: str) -> kit.Exchange[str]:
        response = yield kit.HttpRequest(path=name)
        return f"{name} is {response.json(str)}"


def test_several_checks_end_with_the_first_that_fails(
    connect: Connect, server: ScriptedServer
) -> None:
    server.answer = lambda request: (
        json_reply("fine") if request.path == "/account" else Reply(status=401)
    )
    backend = connect(Checking())
    assert isinstance(backend, kit.CheckableBackend)

    account, model = backend.check(RecordingContext())

    assert account == kit.Readiness(name="account", ready=True, note="account is fine")
    assert (model.name, model.ready) == ("model", False)
    assert server.sent("GET", "/disk") == []


@pytest.mark.parametrize("hours", [-2, 0, 2])
def test_a_file_is_deleted_by_the_clock_of_its_server(
    connect: Connect, pencil: PencilServer, hours: int
) -> None:
    now = datetime.now(UTC)
    pencil.kept_until = now + timedelta(hours=1)
    date = format_datetime(now + timedelta(hours=hours), usegmt=True)
    pencil.file = [Reply(status=403, headers={"Date": date})] * 400

    with pytest.raises(kit.ImagenError) as caught:
        connect(Pencil()).generate(JOB, RecordingContext())

    assert type(caught.value) is (kit.BackendError if hours > 1 else kit.Unfinished)
