"""The contract of `ImageBackend`."""

from collections.abc import Callable, Collection, Mapping
from typing import NoReturn

import pytest

from imagen.domain.job import ImageJob
from imagen.ports.backend import ImageBackend
from imagen.testing.contracts.backend_capabilities import CapabilitiesContract
from imagen.testing.contracts.backend_errors import ErrorsContract
from imagen.testing.contracts.backend_images import ImagesContract
from imagen.testing.contracts.backend_jobs import small_job
from imagen.testing.contracts.backend_lookup import LookupContract
from imagen.testing.contracts.backend_optional import OptionalMethodsContract
from imagen.testing.contracts.backend_waiting import WaitingContract
from imagen.testing.contracts.base import Contract


class BackendContract(
    CapabilitiesContract,
    ImagesContract,
    WaitingContract,
    ErrorsContract,
    OptionalMethodsContract,
    LookupContract,
    Contract,
):
    """The tests that every `ImageBackend` must pass.

    Override the fixture `backend`, and the other fixtures as far as your test setup can
    provide them. Tests without their fixture are skipped, and `pytest -rs` lists them.
    For a backend whose `may_cost` is true, `secret` and the seven fixtures from
    `refusing_backend` to `vanishing_backend` are required: their tests fail until the
    fixtures are provided.

    A simulator of the vendor serves all fixtures best: prepared responses, or a server
    on a local port. The jobs request small images, and waits take no time.
    """

    @pytest.fixture
    def backend(self) -> ImageBackend:
        """A backend that generates every image."""
        raise NotImplementedError(
            "Override the fixture `backend` and return your backend."
        )

    @pytest.fixture
    def secret(self, backend: ImageBackend) -> str:
        """The API key that all these backends were created with."""
        _missing_fixture("secret", backend)

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        """Options with a name from `Capabilities.parameters` and an invalid value."""
        pytest.skip("the fixture `nonsense` is not provided")

    @pytest.fixture
    def sent_images(self) -> Callable[[], Collection[bytes]]:
        """A function that returns the files that the vendor of `backend` has sent."""
        pytest.skip("the fixture `sent_images` is not provided")

    @pytest.fixture
    def refusing_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor refuses the prompt."""
        _missing_fixture("refusing_backend", backend)

    @pytest.fixture
    def throttled_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor rate-limits the first request only."""
        _missing_fixture("throttled_backend", backend)

    @pytest.fixture
    def unavailable_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor is unavailable for the first request only."""
        _missing_fixture("unavailable_backend", backend)

    @pytest.fixture
    def unauthorized_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor rejects the API key."""
        _missing_fixture("unauthorized_backend", backend)

    @pytest.fixture
    def creditless_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose account has no credit."""
        _missing_fixture("creditless_backend", backend)

    @pytest.fixture
    def failing_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor accepts the job and then fails."""
        _missing_fixture("failing_backend", backend)

    @pytest.fixture
    def vanishing_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor drops the connection when it may have the job."""
        _missing_fixture("vanishing_backend", backend)

    @pytest.fixture
    def slow_backend(self) -> ImageBackend:
        """A backend whose vendor accepts the job and is silent for a minute."""
        pytest.skip("the fixture `slow_backend` is not provided")

    @pytest.fixture
    def cancelled_remotely(self) -> Callable[[], bool]:
        """A function that returns whether the job of `slow_backend` was cancelled."""
        pytest.skip("the fixture `cancelled_remotely` is not provided")

    @pytest.fixture
    def patience(self) -> float:
        """Real seconds that a job may take, although waits take no time.

        Override it only for a backend that really generates images in its tests.
        """
        return 5.0

    @pytest.fixture
    def job(self, backend: ImageBackend) -> ImageJob:
        """The smallest job that the backend accepts."""
        return small_job(backend)


def _missing_fixture(fixture: str, backend: ImageBackend) -> NoReturn:
    if backend.capabilities().may_cost:
        pytest.fail(
            f"The fixture `{fixture}` is required, because this backend may cost money "
            "and its errors decide whether a retry pays twice or a key leaks. Override "
            "it. If the vendor has no such case, call pytest.skip with the reason.",
            pytrace=False,
        )
    pytest.skip(f"the fixture `{fixture}` is not provided")
