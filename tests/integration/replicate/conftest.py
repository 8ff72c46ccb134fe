"""What the tests of the Replicate adapter share."""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from threading import Thread
from typing import Any, Protocol, cast

import msgspec
import pytest
from tests.integration.replicate.models import SCHNELL
from tests.integration.replicate.server import ReplicateServer

from imagen.adapters.backends.replicate.adapter import ReplicateOptions, create
from imagen.adapters.system.clock import SystemClock
from imagen.domain.job import ImageJob
from imagen.domain.size import Size
from imagen.ports.adapter import BackendContext, Secrets
from imagen.ports.backend import (
    CheckableBackend,
    CloseableBackend,
    ImageBackend,
    LookupBackend,
    PerModelBackend,
    ResumableBackend,
)
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import RecordingContext


class ReplicateBackend(
    ImageBackend,
    PerModelBackend,
    ResumableBackend,
    LookupBackend,
    CheckableBackend,
    CloseableBackend,
    Protocol,
):
    """What the backend can do, apart from its construction."""


Build = Callable[..., ReplicateBackend]

TOO_LONG = 60.0
JOB = ImageJob(number=1, prompt="a cat", size=Size(512, 512), seed=7, timeout=60)


@pytest.fixture
def server() -> Iterator[ReplicateServer]:
    with ReplicateServer() as server:
        yield server


@pytest.fixture
def build(server: ReplicateServer) -> Iterator[Build]:
    built: list[ReplicateBackend] = []

    def build_one(
        *,
        token: str | None = None,
        cache: PurePosixPath | None = None,
        clock: Clock | None = None,
        **options: Any,
    ) -> ReplicateBackend:
        wanted = {"base_url": server.url, "model": SCHNELL, **options}
        if wanted.get("deployment"):
            wanted.pop("model")
        token = server.token if token is None else token
        context = BackendContext(
            name="replicate",
            clock=clock or SystemClock(),
            secrets=Secrets({"api_token_env": token} if token else {}),
            cache=cache,
        )
        backend = create(msgspec.convert(wanted, ReplicateOptions), context)
        built.append(cast("ReplicateBackend", backend))
        return built[-1]

    yield build_one
    for backend in built:
        backend.close()


@pytest.fixture
def backend(build: Build) -> ReplicateBackend:
    return build()


@pytest.fixture
def context() -> RecordingContext:
    return RecordingContext()


class ActingContext(RecordingContext):
    """Does something whenever the adapter lets time pass."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._act = act

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if seconds:
            self._act()


def job(**changes: Any) -> ImageJob:
    return msgspec.structs.replace(JOB, **changes)


def drawn(
    backend: ReplicateBackend, context: JobContext | None = None, **changes: Any
) -> Any:
    """Return the result or the error of a job."""
    wanted = job(**changes)
    return outcome_of(lambda: backend.generate(wanted, context or RecordingContext()))


def outcome_of(work: Callable[[], Any]) -> Any:
    """Return the result or the error of a call that does not hang."""
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(work())
        except Exception as error:  # noqa: BLE001 - it is looked at
            outcomes.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(TOO_LONG)
    assert outcomes, f"still at it after {TOO_LONG} seconds"
    return outcomes[0]
