import time
from collections.abc import Callable, Collection, Iterator, Mapping

import imagen_chalk
import pytest
from chalk_server import Chalk

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
)

KEY = "chalk-canary-7f3a"
JOB = ImageJob(number=1, prompt="a red square", size=Size(64, 64), seed=7, timeout=60)


@pytest.fixture
def open_chalk() -> Iterator[Callable[..., Chalk]]:
    opened: list[Chalk] = []

    def open_one(**how: object) -> Chalk:
        opened.append(Chalk(KEY, **how))
        return opened[-1]

    yield open_one
    for chalk in opened:
        chalk.stop()


@pytest.fixture
def chalk(open_chalk: Callable[..., Chalk]) -> Chalk:
    return open_chalk()


@pytest.fixture
def build() -> Iterator[Callable[..., ImageBackend]]:
    built: list[ImageBackend] = []

    def build_one(url: str, key: str | None = KEY) -> ImageBackend:
        secrets = Secrets({"api_key_env": key} if key else {})
        context = BackendContext(name="chalk", clock=FakeClock(), secrets=secrets)
        options = imagen_chalk.ChalkOptions(base_url=url)
        built.append(imagen_chalk.adapter.create(options, context))
        return built[-1]

    yield build_one
    for backend in built:
        backend.close()


@pytest.fixture
def opened(
    build: Callable[..., ImageBackend], open_chalk: Callable[..., Chalk]
) -> Callable[..., ImageBackend]:
    return lambda **how: build(open_chalk(**how).url)


class TestChalkBackend(BackendContract):
    @pytest.fixture
    def backend(self, build: Callable[..., ImageBackend], chalk: Chalk) -> ImageBackend:
        return build(chalk.url)

    @pytest.fixture
    def secret(self) -> str:
        return KEY

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        return {"mood": "purple"}

    @pytest.fixture
    def sent_images(self, chalk: Chalk) -> Callable[[], Collection[bytes]]:
        return lambda: chalk.sent

    @pytest.fixture
    def refusing_backend(self, opened: Callable[..., ImageBackend]) -> ImageBackend:
        return opened(mood="refused")

    @pytest.fixture
    def throttled_backend(self, opened: Callable[..., ImageBackend]) -> ImageBackend:
        return opened(once=429)

    @pytest.fixture
    def unavailable_backend(self, opened: Callable[..., ImageBackend]) -> ImageBackend:
        return opened(once=503)

    @pytest.fixture
    def unauthorized_backend(
        self, build: Callable[..., ImageBackend], chalk: Chalk
    ) -> ImageBackend:
        chalk.key = "another"
        return build(chalk.url)

    @pytest.fixture
    def creditless_backend(self, opened: Callable[..., ImageBackend]) -> ImageBackend:
        return opened(once=402)

    @pytest.fixture
    def failing_backend(self, opened: Callable[..., ImageBackend]) -> ImageBackend:
        return opened(mood="failed")

    @pytest.fixture
    def vanishing_backend(self, opened: Callable[..., ImageBackend]) -> ImageBackend:
        return opened(mood="vanishing")

    @pytest.fixture
    def slow_chalk(self, open_chalk: Callable[..., Chalk]) -> Chalk:
        return open_chalk(mood="silent")

    @pytest.fixture
    def slow_backend(
        self, build: Callable[..., ImageBackend], slow_chalk: Chalk
    ) -> ImageBackend:
        return build(slow_chalk.url)

    @pytest.fixture
    def cancelled_remotely(self, slow_chalk: Chalk) -> Callable[[], bool]:
        return lambda: slow_chalk.cancelled == ["d-1"]


def test_a_closed_door_is_an_outage(build: Callable[..., ImageBackend]) -> None:
    with pytest.raises(Unavailable):
        build("http://127.0.0.1:1").generate(JOB, RecordingContext())


def test_without_a_key_nothing_is_sent(
    build: Callable[..., ImageBackend], chalk: Chalk
) -> None:
    with pytest.raises(Unauthorized):
        build(chalk.url, key=None).generate(JOB, RecordingContext())

    assert chalk.orders == {}


def test_says_what_chalk_charged(
    build: Callable[..., ImageBackend], chalk: Chalk
) -> None:
    generated = build(chalk.url).generate(JOB, RecordingContext())

    assert generated.cost.micros == 4000


def test_has_patience_with_a_slow_submission(
    opened: Callable[..., ImageBackend],
) -> None:
    backend = opened(thinks=imagen_chalk.LONGEST_READ + 0.3)

    assert backend.generate(JOB, RecordingContext()).images


def test_cancels_a_drawing_whose_name_comes_after_the_cancelling(
    build: Callable[..., ImageBackend], open_chalk: Callable[..., Chalk]
) -> None:
    chalk = open_chalk(thinks=0.4)

    with pytest.raises(Cancelled):
        build(chalk.url).generate(JOB, CancelledContext())

    assert chalk.cancelled == ["d-1"]


def test_leaves_a_submission_that_is_not_answered_when_cancelled(
    opened: Callable[..., ImageBackend],
) -> None:
    backend = opened(thinks=60)
    began = time.perf_counter()

    with pytest.raises(Cancelled):
        backend.generate(JOB, CancelledContext())

    assert time.perf_counter() - began < 2
