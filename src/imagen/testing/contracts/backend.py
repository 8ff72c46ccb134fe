"""The contract of `ImageBackend`: capabilities, errors and optional methods."""

import math
from collections.abc import Callable, Collection, Mapping

import msgspec
import pytest

from imagen.domain.errors import (
    BackendError,
    Cancelled,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.seed import LARGEST_SEED
from imagen.domain.size import Size
from imagen.ports.backend import (
    CheckableBackend,
    CloseableBackend,
    ImageBackend,
    Readiness,
    WarmupBackend,
)
from imagen.testing.contracts.backend_images import ImagesContract, generate, small_job
from imagen.testing.contracts.backend_lookup import LookupContract
from imagen.testing.contracts.backend_process import ProcessContract
from imagen.testing.contracts.backend_waiting import WaitingContract
from imagen.testing.contracts.base import Contract, missing_fixture
from imagen.testing.contracts.observation import (
    error_texts,
    observe_thread,
    outcome_of,
)
from imagen.testing.contracts.promises import proves
from imagen.testing.fakes import CancelledContext, RecordingContext

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


class BackendContract(
    ImagesContract, WaitingContract, LookupContract, ProcessContract, Contract
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
        missing_fixture("secret", backend)

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
        missing_fixture("refusing_backend", backend)

    @pytest.fixture
    def throttled_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor rate-limits the first request only."""
        missing_fixture("throttled_backend", backend)

    @pytest.fixture
    def unavailable_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor is unavailable for the first request only."""
        missing_fixture("unavailable_backend", backend)

    @pytest.fixture
    def unauthorized_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor rejects the API key."""
        missing_fixture("unauthorized_backend", backend)

    @pytest.fixture
    def creditless_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose account has no credit."""
        missing_fixture("creditless_backend", backend)

    @pytest.fixture
    def failing_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor accepts the job and then fails."""
        missing_fixture("failing_backend", backend)

    @pytest.fixture
    def vanishing_backend(self, backend: ImageBackend) -> ImageBackend:
        """A backend whose vendor drops the connection when it may have the job."""
        missing_fixture("vanishing_backend", backend)

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

    @proves(
        "ImageBackend: Construction", cause="a client that connects when it is created"
    )
    def test_is_built_without_network(self, request: pytest.FixtureRequest) -> None:
        """Creating a backend uses no network."""
        # imagen creates backends to list their capabilities, and most are never used.
        with observe_thread() as activity:
            request.getfixturevalue("backend")

        assert activity.connects == [], (
            "creating the backend opened a connection; open it in `generate`"
        )

    @proves("capabilities: Return")
    def test_says_the_same_of_itself_every_time(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """The capabilities are equal at each call, before and after a job."""
        first = backend.capabilities()
        backend.generate(job, RecordingContext())

        assert backend.capabilities() == first, "`capabilities` changed after a job"

    @proves("capabilities: Return")
    def test_says_what_it_can_without_network(self, backend: ImageBackend) -> None:
        """`capabilities` returns at once and uses no network."""
        # The plan compares each request with the capabilities before anything is sent.
        with observe_thread() as activity:
            backend.capabilities()

        advice = "; return a constant, or look models up in `capabilities_of`"
        assert activity.connects == [], f"`capabilities` opened a connection{advice}"
        assert activity.sleeps == [], f"`capabilities` slept{advice}"

    @proves("capabilities: Return")
    def test_offers_its_own_model(self, backend: ImageBackend) -> None:
        """The default model is one of the models that can be selected, if any can."""
        capabilities = backend.capabilities()
        model, models = capabilities.model, capabilities.models

        assert not models or not model or model in models, (
            "`Capabilities.model` is missing from `Capabilities.models`"
        )

    @proves("capabilities: Return")
    def test_names_formats_by_media_type(self, backend: ImageBackend) -> None:
        """The formats are distinct media types of images, such as image/png."""
        formats = backend.capabilities().formats

        assert [name for name in formats if not name.startswith("image/")] == []
        assert len(set(formats)) == len(formats), (
            "`Capabilities.formats` has duplicates"
        )

    @proves("capabilities: Return")
    def test_draws_sensible_limits(self, backend: ImageBackend) -> None:
        """A size, one image per call and, with seeds, at least one seed are allowed."""
        capabilities = backend.capabilities()
        sizes, largest_seed = capabilities.sizes, capabilities.largest_seed

        assert sizes.allows(sizes.nearest(Size())), (
            "`Capabilities.sizes` allows no size"
        )
        assert capabilities.largest_batch >= 1
        assert capabilities.default_batch >= 1
        assert largest_seed is None or 1 <= largest_seed <= LARGEST_SEED

    @proves("generate: InvalidRequest")
    def test_does_not_send_nonsense(
        self, backend: ImageBackend, job: ImageJob, nonsense: Mapping[str, object]
    ) -> None:
        """An invalid value in the options is an InvalidRequest, and is not sent."""
        context = RecordingContext()
        with pytest.raises(InvalidRequest):
            backend.generate(msgspec.structs.replace(job, options=nonsense), context)

        assert context.references == [], "validate `job.options` before the submit"

    @proves("generate: Refused")
    def test_says_refused(self, refusing_backend: ImageBackend) -> None:
        """A prompt that the vendor refuses is Refused."""
        with pytest.raises(Refused):
            generate(refusing_backend)

    @proves("generate: Throttled", "generate: Submits")
    def test_says_throttled_instead_of_asking_again(
        self, throttled_backend: ImageBackend
    ) -> None:
        """Rate limiting is Throttled without a retry, with the vendor's Retry-After."""
        # imagen retries for all backends. A retry inside the backend would multiply
        # with those, and could ignore cancellation and budgets.
        with pytest.raises(Throttled) as throttled:
            generate(throttled_backend)

        retry_after = throttled.value.retry_after
        assert retry_after is None or 0 <= retry_after < math.inf

    @proves(
        "generate: Unavailable",
        "generate: Submits",
        cause="an error of the HTTP library that is not translated",
    )
    def test_says_unavailable_instead_of_asking_again(
        self, unavailable_backend: ImageBackend
    ) -> None:
        """A vendor that cannot be reached or is down is Unavailable without a retry."""
        with pytest.raises(Unavailable):
            generate(unavailable_backend)

    @proves("generate: Unauthorized")
    def test_says_unauthorized(self, unauthorized_backend: ImageBackend) -> None:
        """A missing or rejected API key is Unauthorized."""
        with pytest.raises(Unauthorized):
            generate(unauthorized_backend)

    @proves("generate: OutOfCredit")
    def test_says_out_of_credit(self, creditless_backend: ImageBackend) -> None:
        """An account without credit is OutOfCredit."""
        with pytest.raises(OutOfCredit):
            generate(creditless_backend)

    @proves("generate: BackendError")
    def test_says_that_the_backend_failed(self, failing_backend: ImageBackend) -> None:
        """Any other failure of the vendor is a BackendError."""
        with pytest.raises(BackendError):
            generate(failing_backend)

    @proves(
        "generate: Unfinished",
        cause="a lost connection that is reported as Unavailable",
    )
    def test_says_that_a_fate_is_unknown(self, vanishing_backend: ImageBackend) -> None:
        """A job that the vendor may have accepted is Unfinished."""
        # imagen retries after Unavailable, which would pay twice here. Unfinished
        # leaves the call open for `imagen resume`.
        with pytest.raises(Unfinished):
            generate(vanishing_backend)

    @proves("ImageBackend: No secret")
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
    @proves(
        "ImageBackend: No secret",
        cause="the URL or the headers in the error of an HTTP library",
    )
    def test_shows_no_secret_in_an_error(
        self, fixture: str, secret: str, request: pytest.FixtureRequest
    ) -> None:
        """The secret is not in an error, its causes or its contexts."""
        # Usually a key leaks through the URL in the error of an HTTP library, which is
        # the cause or the context of the backend's own error.
        backend: ImageBackend = request.getfixturevalue(fixture)
        outcome = outcome_of(lambda: generate(backend))

        assert secret not in " ".join(error_texts(outcome))

    @proves("prepare: Load")
    def test_prepares_without_network(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """`prepare` sends nothing, and a job can be sent afterwards."""
        # `prepare` is called before the journal records that the job is about to be
        # sent. A process that dies during `prepare` must not have sent anything.
        if not isinstance(backend, WarmupBackend):
            pytest.skip("the backend has no `prepare`")
        with observe_thread() as activity:
            backend.prepare()

        assert activity.connects == [], (
            "`prepare` opened a connection; it may only load and build"
        )
        assert backend.generate(job, RecordingContext()).images

    @proves("close: Release")
    def test_lets_go_of_what_it_holds(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """`close` works after the last job."""
        if not isinstance(backend, CloseableBackend):
            pytest.skip("the backend has no `close`")
        backend.generate(job, RecordingContext())

        backend.close()

    @proves("check: Check everything")
    def test_is_ready(self, backend: ImageBackend) -> None:
        """`check` reports a working backend as ready, and submits no job."""
        context = RecordingContext()
        findings = _checkable(backend).check(context)

        assert [finding for finding in findings if not finding.ready] == []
        assert context.references == [], "`check` submitted a job"

    @pytest.mark.parametrize("fixture", FAILURE_FIXTURES)
    @proves("check: Check everything")
    def test_raises_nothing_when_checked(
        self, fixture: str, request: pytest.FixtureRequest
    ) -> None:
        """`check` reports failures in its result and raises nothing."""
        backend = _checkable(request.getfixturevalue(fixture))

        findings = outcome_of(lambda: backend.check(RecordingContext()))

        assert isinstance(findings, tuple), findings
        assert all(isinstance(finding, Readiness) for finding in findings)

    @proves("check: Only")
    def test_stops_checking_when_cancelled(self, backend: ImageBackend) -> None:
        """`check` lets Cancelled pass through from the context."""
        context = CancelledContext()
        outcome = outcome_of(lambda: _checkable(backend).check(context))

        assert isinstance(outcome, Cancelled) or not context.waits
        assert isinstance(outcome, (Cancelled, tuple))


def _checkable(backend: ImageBackend) -> CheckableBackend:
    if not isinstance(backend, CheckableBackend):
        pytest.skip("the backend has no `check`")
    return backend
