"""Cancelling at each stage of a job."""

import time
from collections.abc import Callable
from threading import Event, Thread

import pytest
from tests.integration.remote.server import Recorded, Reply, ScriptedServer, json_reply
from tests.integration.remote.vendors import Brush, Pencil, PencilServer, drawn

import imagen.backend as kit
from imagen.adapters.remote import cancellation
from imagen.testing import CancelledContext, RecordingContext, StoppableContext

Connect = Callable[..., kit.ImageBackend]

JOB = kit.ImageJob(number=1, prompt="a fox", size=kit.Size(64, 64), timeout=60)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a cancelled job end even on a machine that is very busy."""
    monkeypatch.setattr(cancellation, "CANCEL_TIMEOUT", 60.0)


class AnsweringContext(StoppableContext):
    """A context that tells a server when the job has noticed its cancellation."""

    def __init__(self) -> None:
        super().__init__()
        self.noticed = Event()

    def sleep(self, seconds: float) -> None:
        try:
            super().sleep(seconds)
        except kit.Cancelled:
            self.noticed.set()
            raise


def cancelled_at(
    server: ScriptedServer,
    answer: Callable[[Recorded], Reply],
    method: str,
    path: str,
    *,
    held: bool = False,
) -> StoppableContext:
    """Cancel the job when a request with this method and path has arrived.

    A response that is held is sent when the job has noticed its cancellation.
    """
    context, seen = AnsweringContext(), Event()

    def watch(request: Recorded) -> Reply:
        if request.method == method and request.path.startswith(path):
            seen.set()
            context.noticed.wait(60 if held else 0)
        return answer(request)

    def cancel() -> None:
        seen.wait(60)
        context.stop()

    server.answer = watch
    Thread(target=cancel, daemon=True).start()
    return context


def cancel(backend: kit.ImageBackend, context: kit.JobContext) -> kit.Cancelled:
    with pytest.raises(kit.Cancelled) as caught:
        backend.generate(JOB, context)
    return caught.value


def test_a_job_that_was_cancelled_before_costs_nothing(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    cancelled = cancel(connect(Pencil()), CancelledContext())

    assert cancelled.settled
    assert cancelled.used == kit.UNTOUCHED
    assert server.requests == []


@pytest.mark.usefixtures("patient")
def test_a_running_job_is_cancelled_once(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    pencil.ends = "running"
    context = cancelled_at(server, pencil, "GET", "/jobs/")

    cancelled = cancel(connect(Pencil()), context)

    assert cancelled.settled
    assert [request.path for request in server.sent("DELETE", "/")] == ["/jobs/job-1"]


@pytest.mark.usefixtures("patient")
def test_a_cancel_request_that_fails_is_repeated(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    pencil.ends = "running"
    failures = [Reply(status=502), Reply(dropped=True)]

    def answer(request: Recorded) -> Reply:
        failing = request.method == "DELETE" and failures
        return failures.pop() if failing else pencil(request)

    context = cancelled_at(server, answer, "GET", "/jobs/")

    assert cancel(connect(Pencil()), context).settled
    assert len(server.sent("DELETE", "/jobs/job-1")) == 3


@pytest.mark.usefixtures("patient")
def test_a_job_that_ended_before_is_not_cancelled(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    context = cancelled_at(server, pencil, "GET", "/files/", held=True)

    generated = connect(Pencil()).generate(JOB, context)

    assert generated.images[0].content == pencil.image
    assert server.sent("DELETE", "/") == []


def test_a_job_whose_end_is_not_confirmed_is_not_settled(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    def answer(request: Recorded) -> Reply:
        pencil.ends = "running"
        return Reply(status=500) if request.method == "DELETE" else pencil(request)

    context = cancelled_at(server, answer, "GET", "/jobs/")

    assert not cancel(connect(Pencil()), context).settled


@pytest.mark.usefixtures("patient")
def test_an_answer_that_arrives_in_time_cancels_the_job(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    context = cancelled_at(server, pencil, "POST", "/jobs", held=True)

    cancelled = cancel(connect(Pencil()), context)

    assert cancelled.settled
    assert context.references == ["job-1"]
    assert len(server.sent("DELETE", "/jobs/job-1")) == 1


def test_an_answer_that_arrives_late_cancels_the_job_in_the_background(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    answered = Event()

    def answer(request: Recorded) -> Reply:
        if request.method == "POST":
            answered.wait(60)
        return pencil(request)

    context = cancelled_at(server, answer, "POST", "/jobs")
    cancelled = cancel(connect(Pencil()), context)
    answered.set()
    deadline = time.monotonic() + 60
    while not server.sent("DELETE", "/jobs/job-1") and time.monotonic() < deadline:
        time.sleep(0.01)

    assert not cancelled.settled
    assert server.sent("DELETE", "/jobs/job-1")


@pytest.mark.usefixtures("patient")
def test_a_refused_job_that_was_cancelled_is_settled(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    pencil.submit = [Reply(status=422)]
    context = cancelled_at(server, pencil, "POST", "/jobs", held=True)

    cancelled = cancel(connect(Pencil()), context)

    assert cancelled.settled
    assert cancelled.used == kit.UNTOUCHED


@pytest.mark.usefixtures("patient")
def test_a_job_that_finished_before_returns_its_image(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    def answer(request: Recorded) -> Reply:
        return Reply(status=409) if request.method == "DELETE" else pencil(request)

    pencil.poll = [json_reply({"id": "job-1", "state": "running"})]
    context = cancelled_at(server, answer, "GET", "/jobs/")

    generated = connect(Pencil()).generate(JOB, context)

    assert generated.images[0].content == pencil.image


@pytest.mark.usefixtures("patient")
def test_a_job_that_is_resumed_can_be_cancelled(
    connect: Connect, server: ScriptedServer, pencil: PencilServer
) -> None:
    pencil.ends = "running"
    backend = connect(Pencil())
    assert isinstance(backend, kit.ResumableBackend)
    context = cancelled_at(server, pencil, "GET", "/jobs/")

    with pytest.raises(kit.Cancelled) as caught:
        backend.resume(JOB, "job-1", context)

    assert caught.value.settled


class BrushServer:
    """Draws one job after the other; a long call ends when it is interrupted."""

    def __init__(self, *, other: bool = False) -> None:
        self.other = other
        self.task = ""
        self.interrupted = Event()
        self.finish = Event()

    def __call__(self, request: Recorded) -> Reply:
        if request.path == "/draw":
            self.task = str(request.body["task"])
            while not self.interrupted.wait(0.01) and not self.finish.is_set():
                pass
            return drawn() if self.finish.is_set() else Reply(status=500)
        if request.path == "/interrupt":
            self.interrupted.set()
            return json_reply({})
        current = "of-another-client" if self.other else self.task
        return json_reply({"task": current, "fraction": 0.25})


def test_a_long_call_reports_its_own_progress(
    connect: Connect, server: ScriptedServer
) -> None:
    brush = BrushServer()

    class Finishing(RecordingContext):
        def progress(
            self, fraction: float | None, note: str = "", *, steps: int | None = None
        ) -> None:
            super().progress(fraction, note, steps=steps)
            brush.finish.set()

    server.answer = brush
    context = Finishing()
    connect(Brush()).generate(JOB, context)

    assert context.fractions[0] == 0.25
    assert context.references == [brush.task]


def test_a_long_call_is_interrupted_while_it_is_drawn(
    connect: Connect, server: ScriptedServer
) -> None:
    brush = BrushServer()
    context = cancelled_at(server, brush, "POST", "/draw")

    cancelled = cancel(connect(Brush()), context)

    assert cancelled.settled
    assert brush.interrupted.is_set()


def test_the_job_of_another_client_is_never_interrupted(
    connect: Connect, server: ScriptedServer
) -> None:
    brush = BrushServer(other=True)
    context = cancelled_at(server, brush, "POST", "/draw")

    cancelled = cancel(connect(Brush()), context)

    assert not cancelled.settled
    assert server.sent("POST", "/interrupt") == []

    # It is drawn at last, and interrupted then.
    brush.other = False
    assert brush.interrupted.wait(60)
