"""The part of `BackendContract` about errors and secrets."""

import math
from collections.abc import Mapping

import msgspec
import pytest

from imagen.domain.errors import (
    BackendError,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.ports.backend import ImageBackend
from imagen.testing.contracts.backend_jobs import small_job
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import error_texts, outcome_of
from imagen.testing.fakes import RecordingContext

FAILURE_FIXTURES = (
    "refusing_backend",
    "throttled_backend",
    "unavailable_backend",
    "unauthorized_backend",
    "creditless_backend",
    "failing_backend",
    "vanishing_backend",
)
"""The fixtures whose vendor fails."""


class ErrorsContract(Contract):
    """A part of `BackendContract`, which provides the fixtures."""

    def test_does_not_send_nonsense(
        self, backend: ImageBackend, job: ImageJob, nonsense: Mapping[str, object]
    ) -> None:
        """An invalid value in the options is an InvalidRequest, and is not sent."""
        context = RecordingContext()
        with pytest.raises(InvalidRequest):
            backend.generate(msgspec.structs.replace(job, options=nonsense), context)

        assert context.references == [], "validate `job.options` before the submit"

    def test_says_refused(self, refusing_backend: ImageBackend) -> None:
        """A prompt that the vendor refuses is Refused."""
        with pytest.raises(Refused):
            refusing_backend.generate(small_job(refusing_backend), RecordingContext())

    def test_says_throttled_instead_of_asking_again(
        self, throttled_backend: ImageBackend
    ) -> None:
        """Rate limiting is Throttled without a retry, with the vendor's Retry-After."""
        # imagen retries for all backends. A retry inside the backend would multiply
        # with those, and could ignore cancellation and budgets.
        with pytest.raises(Throttled) as throttled:
            throttled_backend.generate(small_job(throttled_backend), RecordingContext())

        retry_after = throttled.value.retry_after
        assert retry_after is None or 0 <= retry_after < math.inf

    def test_says_unavailable_instead_of_asking_again(
        self, unavailable_backend: ImageBackend
    ) -> None:
        """A vendor that cannot be reached or is down is Unavailable without a retry."""
        with pytest.raises(Unavailable):
            unavailable_backend.generate(
                small_job(unavailable_backend), RecordingContext()
            )

    def test_says_unauthorized(self, unauthorized_backend: ImageBackend) -> None:
        """A missing or rejected API key is Unauthorized."""
        with pytest.raises(Unauthorized):
            unauthorized_backend.generate(
                small_job(unauthorized_backend), RecordingContext()
            )

    def test_says_out_of_credit(self, creditless_backend: ImageBackend) -> None:
        """An account without credit is OutOfCredit."""
        with pytest.raises(OutOfCredit):
            creditless_backend.generate(
                small_job(creditless_backend), RecordingContext()
            )

    def test_says_that_the_backend_failed(self, failing_backend: ImageBackend) -> None:
        """Any other failure of the vendor is a BackendError."""
        with pytest.raises(BackendError):
            failing_backend.generate(small_job(failing_backend), RecordingContext())

    def test_says_that_a_fate_is_unknown(self, vanishing_backend: ImageBackend) -> None:
        """A job that the vendor may have accepted is Unfinished."""
        # imagen retries after Unavailable, which would pay twice here. Unfinished
        # leaves the call open for `imagen resume`.
        with pytest.raises(Unfinished):
            vanishing_backend.generate(small_job(vanishing_backend), RecordingContext())

    def test_does_not_show_its_secret(
        self, backend: ImageBackend, job: ImageJob, secret: str
    ) -> None:
        """The secret is not in the repr, the result, references or notes."""
        context = RecordingContext()
        generated = backend.generate(job, context)

        assert secret not in f"{backend!r} {backend!s} {backend.capabilities()!r}"
        assert secret not in f"{generated.parameters!r} {generated.model}"
        assert secret not in f"{context.references} {context.notes}"

    @pytest.mark.parametrize("fixture", FAILURE_FIXTURES)
    def test_shows_no_secret_in_an_error(
        self, fixture: str, secret: str, request: pytest.FixtureRequest
    ) -> None:
        """The secret is not in an error, its causes or its contexts."""
        # Usually a key leaks through the URL in the error of an HTTP library, which is
        # the cause or the context of the backend's own error.
        backend: ImageBackend = request.getfixturevalue(fixture)
        outcome = outcome_of(
            lambda: backend.generate(small_job(backend), RecordingContext())
        )

        texts = " ".join(error_texts(outcome))
        assert secret not in texts
