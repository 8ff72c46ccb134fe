"""What became of the job, by the response to its submit request."""

from collections.abc import Callable
from contextlib import ExitStack
from types import MappingProxyType

import msgspec
import pytest
from tests.integration.remote.server import Reply, ScriptedServer, json_reply
from tests.integration.remote.vendors import KEY, Brush, Pencil, PencilServer, drawn
from tests.unit.engine.threads import no_more_threads
from tests.unit.usecases.scenes import PaidScene

import imagen.backend as kit
from imagen.testing import RecordingContext

Connect = Callable[..., kit.ImageBackend]

JOB = kit.ImageJob(number=1, prompt="a fox", size=kit.Size(64, 64), timeout=60)
PAGE = Reply(content=b"<html>Sign in</html>", headers={"Content-Type": "text/html"})


def submit(
    connect: Connect, vendor: kit.Vendor | None = None, job: kit.ImageJob = JOB
) -> kit.ImagenError:
    with pytest.raises(kit.ImagenError) as caught:
        connect(vendor or Pencil()).generate(job, RecordingContext())
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, kit.BackendError),
        (401, kit.Unauthorized),
        (402, kit.OutOfCredit),
        (403, kit.Unauthorized),
        (404, kit.BackendError),
        (413, kit.BackendError),
        (422, kit.Refused),
        (429, kit.Throttled),
        (503, kit.Unavailable),
    ],
)
def test_a_refused_job_cost_nothing(
    connect: Connect,
    server: ScriptedServer,
    pencil: PencilServer,
    status: int,
    kind: type[kit.ImagenError],
) -> None:
    pencil.submit = [Reply(status=status)]

    error = submit(connect)

    assert type(error) is kind
    assert error.used == kit.UNTOUCHED
    assert len(server.sent("POST", "/jobs")) == 1


@pytest.mark.parametrize(
    "reply",
    [
        *(Reply(status=status) for status in (408, 425, 499, 500, 502, 504, 520)),
        *(Reply(status=s, headers={"Location": "/x"}) for s in (301, 302, 307, 308)),
        PAGE,
        Reply(content=b'{"id": "job-'),
        Reply(content=b'{"id": "job-1", "state"', length=100),
        json_reply({"state": "running"}),
        json_reply({"id": "", "state": "running"}),
        json_reply([1, 2]),
        Reply(status=204),
        Reply(dropped=True),
    ],
    ids=lambda reply: f"{reply.status} {reply.content[:12]!r} {reply.dropped}",
)
def test_any_other_response_leaves_the_job_in_an_unknown_state(
    connect: Connect, server: ScriptedServer, pencil: PencilServer, reply: Reply
) -> None:
    pencil.submit = [reply]

    error = submit(connect)

    assert isinstance(error, kit.Unfinished)
    assert len(server.sent("POST", "/jobs")) == 1


def test_a_job_that_failed_with_its_status_is_over(
    connect: Connect, pencil: PencilServer
) -> None:
    pencil.submit = [Reply(status=501)]

    error = submit(connect)

    assert type(error) is kit.BackendError
    assert error.used is None


def test_a_server_that_was_not_reached_took_nothing(connect: Connect) -> None:
    with pytest.raises(kit.Unavailable) as caught:
        connect(Pencil(), url="http://127.0.0.1:1").generate(JOB, RecordingContext())

    assert caught.value.used == kit.UNTOUCHED


def test_without_credentials_nothing_is_sent(
    connect: Connect, server: ScriptedServer
) -> None:
    with pytest.raises(kit.Unauthorized) as caught:
        connect(Pencil(), key=None).generate(JOB, RecordingContext())

    assert caught.value.used == kit.UNTOUCHED
    assert caught.value.hint == "Set $PENCIL_KEY."
    assert server.requests == []


class Careless(Pencil):
    """A vendor file with a bug in one place."""

    def __init__(self, place: str) -> None:
        self.place = place

    def submit(self, job: kit.ImageJob, key: str) -> kit.HttpRequest:
        if self.place == "submit":
            raise KeyError("prompt")
        if self.place == "elsewhere":
            return kit.HttpRequest(method="POST", path="https://evil.example/jobs")
        return super().submit(job, key)

    def submitted(
        self, job: kit.ImageJob, response: kit.HttpResponse
    ) -> kit.JobAccepted:
        if self.place == "submitted":
            raise KeyError("id")
        return super().submitted(job, response)

    def status(self, job: kit.ImageJob, response: kit.HttpResponse) -> kit.JobStatus:
        if self.place == "status":
            raise KeyError("state")
        return super().status(job, response)


@pytest.mark.parametrize("place", ["submit", "elsewhere"])
def test_a_bug_before_the_submit_request_costs_nothing(
    connect: Connect, server: ScriptedServer, pencil: PencilServer, place: str
) -> None:
    error = submit(connect, Careless(place))

    assert error.used == kit.UNTOUCHED
    assert server.requests == []


class CarelessPush(Pencil):
    """A vendor file with a bug where it opens the stream of events."""

    def events(self, key: str) -> kit.HttpRequest:
        raise KeyError("stream")


def test_a_bug_before_the_events_costs_nothing(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    error = submit(connect, CarelessPush())

    assert error.used == kit.UNTOUCHED
    assert server.requests == []


class Exploding(Pencil):
    """A vendor file in which something happens before the job is sent."""

    def __init__(self, place: str, what: type[BaseException]) -> None:
        self.place, self.what = place, what

    def prepare(self, job: kit.ImageJob) -> kit.Exchange[kit.ImageJob]:
        if self.place == "prepare":
            raise self.what()
        yield kit.HttpRequest(path="/disk")
        if self.place == "upload":
            raise self.what()
        return job

    def submit(self, job: kit.ImageJob, key: str) -> kit.HttpRequest:
        if self.place == "submit":
            raise self.what()
        return super().submit(job, key)

    def poll(self, reference: str) -> kit.HttpRequest:
        if self.place == "poll":
            raise self.what()
        return super().poll(reference)


EXPLOSIONS = (
    ValueError,
    MemoryError,
    RecursionError,
    StopIteration,
    SystemExit,
    KeyboardInterrupt,
)


@pytest.mark.parametrize("what", EXPLOSIONS)
@pytest.mark.parametrize("place", ["prepare", "upload", "submit"])
def test_whatever_is_raised_before_the_submit_request_releases_the_reservation(
    connect: Connect,
    server: ScriptedServer,
    pencil: PencilServer,
    place: str,
    what: type[BaseException],
) -> None:
    backend = connect(Exploding(place, what))
    scene = PaidScene(backend=backend)  # type: ignore[arg-type]

    (failed,) = scene.run().failed

    assert server.sent("POST", "/jobs") == []
    assert (scene.states, scene.ledger) == ([], [])
    if not issubclass(what, Exception):
        assert type(failed.error) is what


@pytest.mark.parametrize("what", EXPLOSIONS)
def test_whatever_is_raised_after_it_keeps_the_reservation(
    connect: Connect,
    server: ScriptedServer,
    pencil: PencilServer,
    what: type[BaseException],
) -> None:
    backend = connect(Exploding("poll", what))
    scene = PaidScene(backend=backend)  # type: ignore[arg-type]

    scene.run()

    assert len(server.sent("POST", "/jobs")) == 1
    assert scene.states == ["accepted"]


def test_without_a_thread_nothing_is_sent(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    backend = connect(Pencil())

    with no_more_threads(), pytest.raises(kit.Unavailable) as caught:
        backend.generate(JOB, RecordingContext())

    assert caught.value.used == kit.UNTOUCHED
    assert server.requests == []


def test_without_a_thread_for_a_repetition_the_job_may_still_exist(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    pencil.submit = [Reply(dropped=True)]
    backend, threads = connect(Idempotent()), ExitStack()

    class Crowded(RecordingContext):
        def sleep(self, seconds: float) -> None:
            if seconds:
                threads.enter_context(no_more_threads())

    with threads, pytest.raises(kit.Unfinished):
        backend.generate(JOB, Crowded())

    assert len(server.sent("POST", "/jobs")) == 1


def test_a_value_that_is_no_json_costs_nothing(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    options = MappingProxyType({"strength": float("nan")})

    error = submit(connect, job=msgspec.structs.replace(JOB, options=options))

    assert error.used == kit.UNTOUCHED
    assert server.requests == []


@pytest.mark.parametrize("place", ["submitted", "status"])
def test_a_bug_after_acceptance_closes_no_job(
    connect: Connect, server: ScriptedServer, pencil: PencilServer, place: str
) -> None:
    assert isinstance(submit(connect, Careless(place)), kit.Unfinished)
    assert len(server.sent("POST", "/jobs")) == 1


def test_an_error_hides_the_key_and_control_characters(
    connect: Connect, pencil: PencilServer
) -> None:
    text = f"no \x1b[31m fox\r\n for {KEY}{'!' * 9999}"
    pencil.submit = [Reply(status=422, content=text.encode())]

    error = submit(connect)

    assert KEY not in str(error)
    assert error.message.isprintable()
    assert len(error.message) < 600


class Idempotent(Pencil):
    idempotent = True


def test_an_idempotent_request_is_repeated_under_its_key(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    pencil.submit = [Reply(dropped=True), Reply(status=500)]

    generated = connect(Idempotent()).generate(JOB, RecordingContext())

    sent = server.sent("POST", "/jobs")
    assert generated.images[0].content == pencil.image
    assert len(sent) == 3
    assert len({request.headers["idempotency-key"] for request in sent}) == 1
    assert len({request.content for request in sent}) == 1


class WithFile(Idempotent):
    """A vendor whose submit request is a form with a file."""

    def submit(self, job: kit.ImageJob, key: str) -> kit.HttpRequest:
        files = [("image", ("fox.png", b"\x89PNG" * 9, "image/png"))]
        return kit.HttpRequest(method="POST", path="/jobs", files=files)


def test_a_form_is_repeated_whole(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    pencil.submit = [Reply(dropped=True), Reply(status=500)]

    connect(WithFile()).generate(JOB, RecordingContext())

    sent = server.sent("POST", "/jobs")
    assert len(sent) == 3
    assert len({request.content for request in sent}) == 1
    assert b"\x89PNG" * 9 in sent[0].content


def test_two_jobs_have_two_keys(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    backend = connect(Idempotent())
    for _ in range(2):
        backend.generate(JOB, RecordingContext())

    first, second = server.sent("POST", "/jobs")
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


@pytest.mark.parametrize("second", [Reply(status=409), Reply(status=503)])
def test_a_refused_repetition_says_nothing_of_the_first_request(
    connect: Connect, pencil: PencilServer, second: Reply
) -> None:
    pencil.submit = [Reply(dropped=True), second, second]

    assert isinstance(submit(connect, Idempotent()), kit.Unfinished)


def test_a_repetition_waits_as_long_as_it_was_told(
    connect: Connect, pencil: PencilServer
) -> None:
    pencil.submit = [Reply(status=500, headers={"Retry-After": "7"})]
    context = RecordingContext()

    connect(Idempotent()).generate(JOB, context)

    assert 7.0 in context.waits


def test_a_long_call_returns_its_image(
    connect: Connect, server: ScriptedServer
) -> None:
    server.answer = lambda _: drawn()
    context = RecordingContext()

    generated = connect(Brush()).generate(JOB, context)

    assert generated.images[0].media_type == "image/png"
    assert len(server.sent("POST", "/draw")) == 1


@pytest.mark.parametrize(
    "reply", [Reply(dropped=True), Reply(status=504), json_reply({"images": "none"})]
)
def test_a_long_call_without_a_readable_answer_is_unknown(
    connect: Connect, server: ScriptedServer, reply: Reply
) -> None:
    server.answer = lambda _: reply

    assert isinstance(submit(connect, Brush()), kit.Unfinished)
    assert len(server.sent("POST", "/draw")) == 1
