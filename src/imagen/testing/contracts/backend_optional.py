"""The part of `BackendContract` about the optional `prepare`, `close` and `check`."""

import pytest

from imagen.domain.errors import Cancelled
from imagen.domain.job import ImageJob
from imagen.ports.backend import (
    CheckableBackend,
    CloseableBackend,
    ImageBackend,
    Readiness,
    WarmupBackend,
)
from imagen.testing.contracts.backend_errors import FAILURE_FIXTURES
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import observe_thread, outcome_of
from imagen.testing.fakes import CancelledContext, RecordingContext


class OptionalMethodsContract(Contract):
    """A part of `BackendContract`, which provides the fixtures."""

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

    def test_lets_go_of_what_it_holds(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """`close` works after the last job."""
        if not isinstance(backend, CloseableBackend):
            pytest.skip("the backend has no `close`")
        backend.generate(job, RecordingContext())

        backend.close()

    def test_is_ready(self, backend: ImageBackend) -> None:
        """`check` reports a working backend as ready, and submits no job."""
        context = RecordingContext()
        findings = _checkable(backend).check(context)

        assert [finding for finding in findings if not finding.ready] == []
        assert context.references == [], "`check` submitted a job"

    @pytest.mark.parametrize("fixture", FAILURE_FIXTURES)
    def test_raises_nothing_when_checked(
        self, fixture: str, request: pytest.FixtureRequest
    ) -> None:
        """`check` reports failures in its result and raises nothing."""
        backend = _checkable(request.getfixturevalue(fixture))

        findings = outcome_of(lambda: backend.check(RecordingContext()))

        assert isinstance(findings, tuple), findings
        assert all(isinstance(finding, Readiness) for finding in findings)

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
