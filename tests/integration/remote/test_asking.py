"""Free requests: checks, models, lookups, uploads, and pushed events."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event

import msgspec
import pytest
from tests.integration.remote.server import Recorded, Reply, ScriptedServer, json_reply
from tests.integration.remote.vendors import KEY, Brush, Pencil, PencilServer

import imagen.backend as kit
from imagen.testing import FakeClock, RecordingContext

Connect = Callable[..., kit.ImageBackend]

JOB = kit.ImageJob(number=1, prompt="a fox", size=kit.Size(64, 64), timeout=60)


class Page(msgspec.Struct, frozen=True):
    jobs: list[str] = []
    next: str = ""


class Sketchbook(Pencil):
    """A vendor with every optional method."""

    def prepare(self, job: kit.ImageJob) -> kit.Exchange[kit.ImageJob]:
        response = yield kit.HttpRequest(
            method="POST",
            path="uploads",
            files=[("file", ("a.png", b"abc", "image/png"))],
        )
        name = response.json(str)
        return msgspec.structs.replace(job, options={"strength": name})

    def find(self, job: kit.ImageJob, since: datetime) -> kit.Exchange[tuple[str, ...]]:
        found: list[str] = []
        cursor = "first"
        while cursor:
            response = yield kit.HttpRequest(path="list", query={"cursor": cursor})
            page = response.json(Page)
            found += page.jobs
            cursor = page.next
        return tuple(found)

    def look_up_model(self, model: str) -> kit.Exchange[kit.Capabilities]:
        yield kit.HttpRequest(path=f"models/{model}")
        return kit.Capabilities(model=model, steps=True)

    def look_up_cost(self, reference: str) -> kit.Exchange[kit.Cost]:
        response = yield kit.HttpRequest(path=f"costs/{reference}")
        return kit.Cost(micros=response.json(int), source="reported")


class SketchbookServer(PencilServer):
    def __call__(self, request: Recorded) -> Reply:
        match request.path.partition("?")[0]:
            case "/uploads":
                return json_reply("upload-7")
            case "/list" if "first" in request.path:
                return json_reply({"jobs": ["job-3", "job-2"], "next": "second"})
            case "/list":
                return json_reply({"jobs": ["job-1"]})
            case "/costs/job-1":
                return json_reply(4000)
            case "/models/unknown":
                return Reply(status=404)
            case "/models/pencil-1" | "/account":
                return json_reply({})
        return super().__call__(request)


@pytest.fixture
def sketchbook(connect: Connect, server: ScriptedServer) -> kit.ImageBackend:
    server.answer = SketchbookServer()
    return connect(Sketchbook())


def test_the_port_finds_the_abilities_of_the_vendor_file(connect: Connect) -> None:
    abilities = (
        kit.ResumableBackend,
        kit.LookupBackend,
        kit.CheckableBackend,
        kit.PerModelBackend,
        kit.CostBackend,
    )
    have = {
        vendor.name: [isinstance(connect(vendor), one) for one in abilities]
        for vendor in (Pencil(), Brush())
    }

    assert have == {
        "Pencil": [True, False, True, False, False],
        "Brush": [False, False, False, False, False],
    }
    assert all(isinstance(connect(Sketchbook()), one) for one in abilities)


def test_the_cost_of_a_job_is_looked_up(sketchbook: kit.ImageBackend) -> None:
    assert isinstance(sketchbook, kit.CostBackend)

    cost = sketchbook.look_up_cost("job-1", RecordingContext())

    assert cost == kit.Cost(micros=4000, source="reported")


def test_an_upload_is_sent_before_the_job(
    sketchbook: kit.ImageBackend, server: ScriptedServer
) -> None:
    sketchbook.generate(JOB, RecordingContext())

    upload, job = server.sent("POST", "/")
    assert b'filename="a.png"' in upload.content
    assert job.body["strength"] == "upload-7"


def test_a_failed_upload_costs_nothing(
    connect: Connect, server: ScriptedServer
) -> None:
    server.answer = lambda _: Reply(status=500)

    with pytest.raises(kit.Unavailable) as caught:
        connect(Sketchbook()).generate(JOB, RecordingContext())

    assert caught.value.used == kit.UNTOUCHED
    assert server.sent("POST", "/jobs") == []


def test_lost_jobs_are_found_on_all_pages(
    sketchbook: kit.ImageBackend, server: ScriptedServer
) -> None:
    assert isinstance(sketchbook, kit.LookupBackend)

    found = sketchbook.find(JOB, since=datetime.now(UTC), context=RecordingContext())

    assert found == ("job-3", "job-2", "job-1")
    assert server.sent("POST", "/") == []


def test_a_model_is_looked_up_once(
    sketchbook: kit.ImageBackend, server: ScriptedServer
) -> None:
    assert isinstance(sketchbook, kit.PerModelBackend)

    first = sketchbook.capabilities_of("", RecordingContext())
    again = sketchbook.capabilities_of("pencil-1", RecordingContext())

    assert first == again
    assert len(server.sent("GET", "/models/")) == 1


def test_an_unknown_model_is_an_invalid_request(sketchbook: kit.ImageBackend) -> None:
    assert isinstance(sketchbook, kit.PerModelBackend)

    with pytest.raises(kit.InvalidRequest, match="has no model 'unknown'"):
        sketchbook.capabilities_of("unknown", RecordingContext())


@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_check_reports_what_is_wrong(
    connect: Connect, server: ScriptedServer, status: int
) -> None:
    server.answer = lambda _: Reply(status=status)
    backend = connect(Pencil())
    assert isinstance(backend, kit.CheckableBackend)

    (check,) = backend.check(RecordingContext())

    assert check.ready == (status == 200)
    assert bool(check.note) == (status != 200)
    assert server.sent("POST", "/") == []


class Broadcasting(Pencil):
    """A vendor that pushes events."""

    def events(self, key: str) -> kit.HttpRequest:
        return kit.HttpRequest(path="events", query={"client": key})

    def event(
        self, reference: str, message: str
    ) -> kit.JobRunning | kit.PollNow | None:
        kind, _, job = message.partition(" ")
        if job != reference:
            return None
        return kit.PollNow() if kind == "done" else kit.JobRunning(fraction=float(kind))


@pytest.mark.parametrize(
    "events",
    [
        "data: 0.5 job-1\n\ndata: done job-1\n\n",
        ": hello\n\ndata: done job-9\n\ndata: rubbish job-1\n\ndata: done job-1\n\n",
    ],
)
def test_an_event_makes_the_poll_come_early(
    connect: Connect, server: ScriptedServer, pencil: PencilServer, events: str
) -> None:
    submitted = Event()

    def answer(request: Recorded) -> Reply:
        if request.path.startswith("/events"):
            submitted.wait(60)
            return Reply(content=events.encode())
        if request.method == "POST":
            submitted.set()
        return pencil(request)

    server.answer = answer

    generated = connect(Broadcasting()).generate(JOB, RecordingContext())

    assert generated.images[0].content == pencil.image
    assert len(server.sent("GET", "/jobs/")) == 1


def test_an_adapter_has_the_options_of_an_http_vendor() -> None:
    class Extra(msgspec.Struct, frozen=True):
        region: str = "eu"

    adapter = kit.http_adapter(
        lambda options: Pencil(),
        summary="Pencil drawings.",
        base_url="https://api.pencil.example",
        key_env="PENCIL_KEY",
        options=Extra,
    )
    options = adapter.options(region="us")
    context = kit.BackendContext(
        name="pencil", clock=FakeClock(), secrets=kit.Secrets({"api_key_env": KEY})
    )

    assert msgspec.structs.asdict(options) == {
        "region": "us",
        "base_url": "https://api.pencil.example",
        "api_key_env": "PENCIL_KEY",
    }
    assert KEY not in repr(adapter.create(options, context))


def test_an_option_that_the_vendor_does_not_have_is_refused() -> None:
    class Parameters(msgspec.Struct, frozen=True):
        mood: str = "calm"

    for options in ({"mode": "calm"}, {"mood": 7}):
        job = msgspec.structs.replace(JOB, options=options)
        with pytest.raises(kit.InvalidRequest):
            kit.decode_options(job, Parameters, vendor="Pencil")
