from collections.abc import Callable, Collection, Iterator, Mapping
from threading import Thread

import imagen_chalk
import pytest
from chalk_server import ChalkServer

from imagen.backend import (
    BackendContext,
    Cancelled,
    ImageBackend,
    ImageJob,
    Secrets,
    Size,
    Unauthorized,
    Unavailable,
)
from imagen.testing import (
    BackendContract,
    CancelledContext,
    FakeClock,
    RecordingContext,
    StoppableContext,
)

KEY = "chalk-canary-7f3a"
JOB = ImageJob(number=1, prompt="a red square", size=Size(64, 64), seed=7, timeout=60)


@pytest.fixture
def start_server() -> Iterator[Callable[..., ChalkServer]]:
    servers: list[ChalkServer] = []

    def start(**options: object) -> ChalkServer:
        servers.append(ChalkServer(KEY, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(start_server: Callable[..., ChalkServer]) -> ChalkServer:
    return start_server()


@pytest.fixture
def create() -> Iterator[Callable[..., ImageBackend]]:
    backends: list[ImageBackend] = []

    def create_one(url: str, key: str | None = KEY) -> ImageBackend:
        secrets = Secrets({"api_key_env": key} if key else {})
        context = BackendContext(name="chalk", clock=FakeClock(), secrets=secrets)
        options = imagen_chalk.adapter.options(base_url=url)
        backends.append(imagen_chalk.adapter.create(options, context))
        return backends[-1]

    yield create_one
    for backend in backends:
        backend.close()


@pytest.fixture
def create_with(
    create: Callable[..., ImageBackend], start_server: Callable[..., ChalkServer]
) -> Callable[..., ImageBackend]:
    """Create a backend and a server of its own with the given options."""
    return lambda **options: create(start_server(**options).url)


class TestChalkBackend(BackendContract):
    @pytest.fixture
    def backend(
        self, create: Callable[..., ImageBackend], server: ChalkServer
    ) -> ImageBackend:
        return create(server.url)

    @pytest.fixture
    def secret(self) -> str:
        return KEY

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        return {"mood": "purple"}

    @pytest.fixture
    def sent_images(self, server: ChalkServer) -> Callable[[], Collection[bytes]]:
        return lambda: server.sent

    @pytest.fixture
    def jobs_created(self, server: ChalkServer) -> Callable[[], int]:
        return lambda: len(server.submitted)

    @pytest.fixture
    def refusing_backend(
        self, create_with: Callable[..., ImageBackend]
    ) -> ImageBackend:
        return create_with(behaviour="refused")

    @pytest.fixture
    def throttled_backend(
        self, create_with: Callable[..., ImageBackend]
    ) -> ImageBackend:
        return create_with(first_status=429)

    @pytest.fixture
    def unavailable_backend(
        self, create_with: Callable[..., ImageBackend]
    ) -> ImageBackend:
        return create_with(first_status=503)

    @pytest.fixture
    def unauthorized_backend(
        self, create: Callable[..., ImageBackend], server: ChalkServer
    ) -> ImageBackend:
        server.key = "another"
        return create(server.url)

    @pytest.fixture
    def creditless_backend(
        self, create_with: Callable[..., ImageBackend]
    ) -> ImageBackend:
        return create_with(first_status=402)

    @pytest.fixture
    def failing_backend(self, create_with: Callable[..., ImageBackend]) -> ImageBackend:
        return create_with(behaviour="failed")

    @pytest.fixture
    def vanishing_backend(
        self, create_with: Callable[..., ImageBackend]
    ) -> ImageBackend:
        return create_with(behaviour="disconnecting")

    @pytest.fixture
    def slow_server(self, start_server: Callable[..., ChalkServer]) -> ChalkServer:
        return start_server(behaviour="silent")

    @pytest.fixture
    def slow_backend(
        self, create: Callable[..., ImageBackend], slow_server: ChalkServer
    ) -> ImageBackend:
        return create(slow_server.url)

    @pytest.fixture
    def cancelled_remotely(self, slow_server: ChalkServer) -> Callable[[], bool]:
        return lambda: slow_server.cancelled == ["d-1"]


def test_a_refused_connection_is_unavailable(
    create: Callable[..., ImageBackend],
) -> None:
    with pytest.raises(Unavailable):
        create("http://127.0.0.1:1").generate(JOB, RecordingContext())


def test_without_a_key_nothing_is_sent(
    create: Callable[..., ImageBackend], server: ChalkServer
) -> None:
    with pytest.raises(Unauthorized):
        create(server.url, key=None).generate(JOB, RecordingContext())

    assert server.submitted == {}


def test_reports_the_price_that_chalk_charged(
    create: Callable[..., ImageBackend], server: ChalkServer
) -> None:
    generated = create(server.url).generate(JOB, RecordingContext())

    assert generated.cost.micros == 4000


def test_waits_for_a_slow_submit_response(
    create_with: Callable[..., ImageBackend],
) -> None:
    backend = create_with(submit_delay=1.2)

    assert backend.generate(JOB, RecordingContext()).images


def test_submits_nothing_when_it_is_cancelled_already(
    create: Callable[..., ImageBackend], server: ChalkServer
) -> None:
    with pytest.raises(Cancelled):
        create(server.url).generate(JOB, CancelledContext())

    assert server.submitted == {}


def _cancel_once_received(server: ChalkServer) -> StoppableContext:
    """Return a context that is cancelled when the server has accepted a drawing."""
    context = StoppableContext()

    def cancel() -> None:
        server.received.wait(60)
        context.stop()

    Thread(target=cancel, daemon=True).start()
    return context


def test_cancels_a_drawing_whose_id_arrives_after_cancellation(
    create: Callable[..., ImageBackend], start_server: Callable[..., ChalkServer]
) -> None:
    server = start_server(submit_delay=0.4)

    with pytest.raises(Cancelled):
        create(server.url).generate(JOB, _cancel_once_received(server))

    assert server.cancelled == ["d-1"]


def test_stops_waiting_for_a_submit_response_when_cancelled(
    create: Callable[..., ImageBackend], start_server: Callable[..., ChalkServer]
) -> None:
    server = start_server(submit_delay=60)
    backend, context = create(server.url), _cancel_once_received(server)

    with pytest.raises(Cancelled):
        backend.generate(JOB, context)

    assert server.received.is_set()
