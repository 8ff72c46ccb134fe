from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

import msgspec
import pytest
from tests.contract.lacks import MOCK

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
from imagen.domain.result import Generated
from imagen.ports.adapter import BackendContext
from imagen.ports.backend import ImageBackend
from imagen.ports.job_context import JobContext
from imagen.testing import (
    BackendContract,
    FakeClock,
    RecordingContext,
    ResumableScriptedBackend,
    ScriptedBackend,
)
from imagen.testing.fakes import plain_images


class TestScriptedBackend(BackendContract):
    Made: ClassVar[type[ScriptedBackend]] = ScriptedBackend

    @pytest.fixture
    def backend(self) -> ImageBackend:
        return self.Made()

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        return {"mood": "purple"}

    @pytest.fixture
    def refusing_backend(self) -> ImageBackend:
        return self.Made(Refused("Not this."))

    @pytest.fixture
    def throttled_backend(self) -> ImageBackend:
        return self.Made(Throttled("Slowly.", retry_after=5))

    @pytest.fixture
    def unavailable_backend(self) -> ImageBackend:
        return self.Made(Unavailable("Down."))

    @pytest.fixture
    def unauthorized_backend(self) -> ImageBackend:
        return self.Made(Unauthorized("Who are you?"))

    @pytest.fixture
    def creditless_backend(self) -> ImageBackend:
        return self.Made(OutOfCredit("Empty."))

    @pytest.fixture
    def failing_backend(self) -> ImageBackend:
        return self.Made(BackendError("Broken."))

    @pytest.fixture
    def vanishing_backend(self) -> ImageBackend:
        return self.Made(Unfinished("Gone."))

    @pytest.fixture
    def slow_backend(self) -> ImageBackend:
        def wait(job: ImageJob, context: JobContext) -> Generated:
            context.sleep(60)
            return plain_images(job, context)

        return self.Made(wait)


class TestResumableScriptedBackend(TestScriptedBackend):
    Made = ResumableScriptedBackend

    @pytest.fixture
    def jobs_created(self, backend: ResumableScriptedBackend) -> Callable[[], int]:
        return lambda: len(backend.taken)

    def test_takes_nothing_that_it_refuses(
        self, throttled_backend: ResumableScriptedBackend, job: ImageJob
    ) -> None:
        with pytest.raises(Throttled):
            throttled_backend.generate(job, RecordingContext())

        assert throttled_backend.taken == {}


class TestMockBackend(BackendContract):
    lacks = MOCK

    @pytest.fixture
    def backend(self) -> ImageBackend:
        return _mock()

    @pytest.fixture
    def secret(self) -> str:
        pytest.skip("the mock has no key")

    @pytest.fixture
    def sent_images(self) -> Callable[[], Collection[bytes]]:
        pytest.skip("the mock sends nothing")

    @pytest.fixture
    def cancelled_remotely(self) -> Callable[[], bool]:
        pytest.skip("the mock sends nothing")

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


class TestModestMockBackend(TestMockBackend):
    @pytest.fixture
    def backend(self) -> ImageBackend:
        return _mock(without=("seed", "steps", "negative"), size_multiple=48)


def _mock(**options: object) -> ImageBackend:
    return adapter.create(
        msgspec.convert(options, adapter.options),
        BackendContext(name="mock", clock=FakeClock()),
    )
