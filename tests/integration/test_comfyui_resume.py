"""A job that one process handed in to ComfyUI is finished by another."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Thread
from typing import Any, Protocol

import msgspec
import pytest
from tests.integration.comfyui.server import ComfyServer

from imagen.adapters.backends.comfyui.adapter import ComfyOptions, create
from imagen.adapters.system.clock import SystemClock
from imagen.domain.errors import BackendError, Cancelled
from imagen.domain.job import ImageJob
from imagen.domain.size import Size
from imagen.ports.adapter import BackendContext
from imagen.ports.backend import (
    CloseableBackend,
    LookupBackend,
    ResumableBackend,
)
from imagen.testing.fakes import RecordingContext, StoppableContext

JOB = ImageJob(number=1, prompt="a cat", size=Size(64, 64), seed=1, steps=3, timeout=60)

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Backend(ResumableBackend, LookupBackend, CloseableBackend, Protocol):
    """A backend with what these tests use."""


Build = Callable[[], Backend]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


@pytest.fixture
def server(shared_server: ComfyServer) -> Iterator[ComfyServer]:
    yield shared_server
    shared_server.reset()


@pytest.fixture
def build(server: ComfyServer) -> Iterator[Build]:
    built: list[Backend] = []

    def build_one() -> Backend:
        options = ComfyOptions(base_url=server.url, workflow="sd15")
        backend = create(options, BackendContext(name="box", clock=SystemClock()))
        assert isinstance(backend, ResumableBackend)
        assert isinstance(backend, LookupBackend)
        built.append(backend)
        return backend

    yield build_one
    for backend in built:
        backend.close()


def handed_in(backend: Backend, job: ImageJob = JOB) -> str:
    """Make a job as a process would that dies before it stores the image."""
    context = RecordingContext()
    backend.generate(job, context)
    return context.references[0]


def test_it_can_be_asked_for_its_jobs(build: Build) -> None:
    assert isinstance(build(), ResumableBackend)
    assert isinstance(build(), LookupBackend)


def test_a_job_that_is_over_is_fetched(build: Build) -> None:
    context = RecordingContext()
    made = build().generate(JOB, context)

    fetched = build().resume(JOB, context.references[0], StoppableContext())

    assert fetched == made


def test_a_job_that_still_runs_is_waited_for(build: Build, server: ComfyServer) -> None:
    server.trouble(pauses=True)
    context, made = StoppableContext(), list[Any]()
    worker = Thread(target=lambda: made.append(build().generate(JOB, context)))
    worker.start()
    server.wait_until(lambda: server.paused and context.references)
    asked = len(server.requests)
    fetched = list[Any]()
    resumed = Thread(
        target=lambda: fetched.append(
            build().resume(JOB, context.references[0], RecordingContext())
        )
    )
    resumed.start()
    # Three polls while the job runs.
    server.wait_until(lambda: len(server.requests) > asked + 2)
    server.resume()

    resumed.join()
    worker.join()
    assert fetched == made


def test_a_job_that_a_restart_lost_is_over(build: Build, server: ComfyServer) -> None:
    reference = handed_in(build())
    server.restart()

    with pytest.raises(BackendError, match="no longer has the job"):
        build().resume(JOB, reference, StoppableContext())


def test_a_job_is_found_by_what_it_asks_for(build: Build) -> None:
    other = msgspec.structs.replace(JOB, seed=2)
    reference, another = handed_in(build()), handed_in(build(), other)

    found = build().find(JOB, since=LONG_AGO, context=StoppableContext())

    assert found == (reference,)
    assert another != reference


def test_a_job_that_was_never_handed_in_is_not_found(build: Build) -> None:
    handed_in(build())
    job = msgspec.structs.replace(JOB, prompt="a dog")

    assert build().find(job, since=LONG_AGO, context=StoppableContext()) == ()


def test_a_cancelled_job_is_certainly_gone(build: Build, server: ComfyServer) -> None:
    server.trouble(pauses=True)
    context, ended = StoppableContext(), list[Cancelled]()

    def draw() -> None:
        try:
            build().generate(JOB, context)
        except Cancelled as stopped:
            ended.append(stopped)

    worker = Thread(target=draw)
    worker.start()
    server.wait_until(lambda: server.paused and context.references)
    context.stop()
    worker.join()

    assert [stopped.settled for stopped in ended] == [True]
