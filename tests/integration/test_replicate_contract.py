"""Replicate keeps every promise of a backend, for known and for unknown models."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest
from tests.integration.replicate.models import SCHNELL, SKETCH, models, openapi
from tests.integration.replicate.server import ReplicateServer

from imagen.adapters.backends.replicate.adapter import ReplicateOptions, create
from imagen.adapters.backends.replicate.catalog import (
    ModelCatalog,
    ModelDescription,
    Target,
)
from imagen.adapters.system.clock import SystemClock
from imagen.ports.adapter import BackendContext, Secrets
from imagen.ports.backend import ImageBackend
from imagen.testing import BackendContract

TOKEN = "r8_canary7c1f"

Open = Callable[..., ImageBackend]


@pytest.fixture
def servers() -> Iterator[list[ReplicateServer]]:
    started: list[ReplicateServer] = []
    yield started
    for server in started:
        server.stop()


class ReplicateContract(BackendContract):
    """What is staged alike for all models."""

    @pytest.fixture
    def model(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def cache(self) -> Path | None:
        return None

    @pytest.fixture
    def opened(
        self, servers: list[ReplicateServer], model: str, cache: Path | None
    ) -> Iterator[Open]:
        built: list[ImageBackend] = []

        def open_one(**trouble: object) -> ImageBackend:
            server = ReplicateServer(token=TOKEN).start()
            servers.append(server)
            if trouble:
                server.trouble(**trouble)
            built.append(_build(server.url, model, cache))
            return built[-1]

        yield open_one
        for backend in built:
            backend.close()

    @pytest.fixture
    def backend(self, opened: Open) -> ImageBackend:
        return opened()

    @pytest.fixture
    def secret(self) -> str:
        return TOKEN

    @pytest.fixture
    def sent_images(
        self, servers: list[ReplicateServer]
    ) -> Callable[[], Collection[bytes]]:
        return lambda: servers[0].served

    @pytest.fixture
    def jobs_created(self, servers: list[ReplicateServer]) -> Callable[[], int]:
        return lambda: servers[0].created

    @pytest.fixture
    def refusing_backend(self, opened: Open) -> ImageBackend:
        return opened(ends="failed", error="NSFW content detected.")

    @pytest.fixture
    def throttled_backend(self, opened: Open) -> ImageBackend:
        return opened(refuses_with=429, waits=5, times=1)

    @pytest.fixture
    def unavailable_backend(
        self, opened: Open, servers: list[ReplicateServer]
    ) -> ImageBackend:
        backend = opened()
        servers[-1].spoil("/models", method="GET", status=503, times=1)
        return backend

    @pytest.fixture
    def unauthorized_backend(
        self, opened: Open, servers: list[ReplicateServer]
    ) -> ImageBackend:
        backend = opened()
        servers[-1].token = "another"
        return backend

    @pytest.fixture
    def creditless_backend(self, opened: Open) -> ImageBackend:
        return opened(refuses_with=402, times=1)

    @pytest.fixture
    def failing_backend(self, opened: Open) -> ImageBackend:
        return opened(ends="failed", error="CUDA error: device-side assert triggered")

    @pytest.fixture
    def vanishing_backend(self, opened: Open) -> ImageBackend:
        return opened(accepts_then="drop")

    @pytest.fixture
    def slow_backend(self, opened: Open) -> ImageBackend:
        return opened(never_ends=True)

    @pytest.fixture
    def cancelled_remotely(self, servers: list[ReplicateServer]) -> Callable[[], bool]:
        return lambda: [each.status for each in servers[-1].predictions] == ["canceled"]


class TestKnownModel(ReplicateContract):
    @pytest.fixture
    def model(self) -> str:
        return SCHNELL

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        return {"go_fast": "perhaps"}

    @pytest.fixture
    def unavailable_backend(self) -> ImageBackend:
        return _build("http://127.0.0.1:1/v1", SCHNELL)


class TestCommunityModel(ReplicateContract):
    @pytest.fixture
    def model(self) -> str:
        return SKETCH

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        return {"guidance_scale": "much"}


@pytest.mark.nightly
class TestModelThatWasLookedUpBefore(TestCommunityModel):
    """An earlier process has cached the description of the model."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def unavailable_backend(self, cache: Path) -> ImageBackend:
        return _build("http://127.0.0.1:1/v1", SKETCH, cache)


def _build(url: str, model: str, cache: Path | None = None) -> ImageBackend:
    if cache is not None:
        ModelCatalog(url, folder=cache, clock=SystemClock()).update(
            Target.parse(SKETCH),
            ModelDescription(
                openapi_schema=openapi(models()[SKETCH].properties),
                version=models()[SKETCH].version,
            ),
        )
    return create(
        ReplicateOptions(model=model, base_url=url),
        BackendContext(
            name="replicate",
            clock=SystemClock(),
            secrets=Secrets({"api_token_env": TOKEN}),
            cache=None if cache is None else PurePosixPath(cache),
        ),
    )
