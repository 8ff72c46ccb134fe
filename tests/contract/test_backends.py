from collections.abc import Callable, Mapping

import msgspec
import pytest

from imagen.adapters.backends.mock.adapter import adapter
from imagen.domain.errors import (
    BackendError,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.ports.adapter import BackendContext
from imagen.ports.backend import ImageBackend
from imagen.testing import (
    BackendContract,
    FakeClock,
    RecordingContext,
    ResumableScriptedBackend,
    ScriptedBackend,
)


class TestScriptedBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> ImageBackend:
        return ScriptedBackend()

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        return {"mood": "purple"}

    @pytest.fixture
    def refusing_backend(self) -> ImageBackend:
        return ScriptedBackend(Refused("Not this."))

    @pytest.fixture
    def throttled_backend(self) -> ImageBackend:
        return ScriptedBackend(Throttled("Slowly.", retry_after=5))

    @pytest.fixture
    def unavailable_backend(self) -> ImageBackend:
        return ScriptedBackend(Unavailable("Down."))

    @pytest.fixture
    def unauthorized_backend(self) -> ImageBackend:
        return ScriptedBackend(Unauthorized("Who are you?"))

    @pytest.fixture
    def creditless_backend(self) -> ImageBackend:
        return ScriptedBackend(OutOfCredit("Empty."))

    @pytest.fixture
    def failing_backend(self) -> ImageBackend:
        return ScriptedBackend(BackendError("Broken."))

    @pytest.fixture
    def vanishing_backend(self) -> ImageBackend:
        return ScriptedBackend(Unfinished("Gone."))


class TestResumableScriptedBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> ImageBackend:
        return ResumableScriptedBackend()

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        return {"mood": "purple"}

    @pytest.fixture
    def jobs_created(self, backend: ResumableScriptedBackend) -> Callable[[], int]:
        return lambda: len(backend.taken)

    @pytest.fixture
    def throttled_backend(self) -> ImageBackend:
        return ResumableScriptedBackend(Throttled("Slowly.", retry_after=5))

    @pytest.fixture
    def vanishing_backend(self) -> ImageBackend:
        return ResumableScriptedBackend(Unfinished("Gone."))

    def test_takes_nothing_that_it_refuses(
        self, throttled_backend: ResumableScriptedBackend, job: ImageJob
    ) -> None:
        with pytest.raises(Throttled):
            throttled_backend.generate(job, RecordingContext())

        assert throttled_backend.taken == {}


class TestMockBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> ImageBackend:
        return _mock()

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        return {"delay": "soon"}

    @pytest.fixture
    def refusing_backend(self) -> ImageBackend:
        return _mock(fail="refused")

    @pytest.fixture
    def throttled_backend(self) -> ImageBackend:
        return _mock(fail="throttled")

    @pytest.fixture
    def unavailable_backend(self) -> ImageBackend:
        return _mock(fail="unavailable")

    @pytest.fixture
    def unauthorized_backend(self) -> ImageBackend:
        return _mock(fail="unauthorized")

    @pytest.fixture
    def creditless_backend(self) -> ImageBackend:
        return _mock(fail="out_of_credit")

    @pytest.fixture
    def failing_backend(self) -> ImageBackend:
        return _mock(fail="backend_error")

    @pytest.fixture
    def vanishing_backend(self) -> ImageBackend:
        return _mock(fail="unfinished")

    @pytest.fixture
    def slow_backend(self) -> ImageBackend:
        return _mock(fail="silent")


class TestModestMockBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> ImageBackend:
        return _mock(without=("seed", "steps", "negative"), size_multiple=48)


def _mock(**options: object) -> ImageBackend:
    return adapter.create(
        msgspec.convert(options, adapter.options),
        BackendContext(name="mock", clock=FakeClock()),
    )
