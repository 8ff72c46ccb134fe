"""The contract of an `ImageBackend` that talks HTTP: the kit stages the vendor."""

from collections.abc import Callable, Collection, Mapping
from socket import socket

import pytest

from imagen.ports.backend import ImageBackend
from imagen.testing.contracts.backend import BackendContract
from imagen.testing.contracts.backend_waiting import StoppedCall
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.http_cancel import CancelContract, StoppedCalls
from imagen.testing.contracts.http_faults import FaultsContract
from imagen.testing.contracts.http_requests import RequestsContract
from imagen.testing.contracts.http_stage import Build, Open
from imagen.testing.proxy import (
    Fault,
    RecordingProxy,
    StagedResponse,
    drop,
    respond_as,
    respond_with,
)


class HttpBackendContract(
    RequestsContract, FaultsContract, CancelContract, BackendContract, Contract
):
    """The tests that every backend must pass whose vendor is called over HTTP.

    The author writes a `Stub` of the vendor that answers when nothing is wrong, and
    sets the attributes of this class. The contract puts a server in front of the stub
    that records each request and stages the faults.

    Example:
        The complete test of a vendor::

            class TestCrayon(HttpBackendContract):
                adapter = imagen_crayon.adapter
                secrets = {"api_key_env": "crayon-canary-7f3a"}
                may_cost, price_micros = True, 4000
                parameters = {"texture": "cardboard"}
                invalid_options = {"texture": 7}
                moderation = {"submit": StubResponse(status=422, json={})}
                failure = {"poll": StubResponse(json={"id": "d-1", "state": "failed"})}
                doubled = None

                def make_stub(self):
                    return CrayonStub()
    """

    @pytest.fixture
    def secret(self) -> str:
        """The first of the secrets."""
        if not self.secrets:
            pytest.skip("the vendor has no credentials")
        return next(iter(self.secrets.values()))

    @pytest.fixture
    def nonsense(self) -> Mapping[str, object]:
        """The invalid options."""
        if not self.invalid_options:
            pytest.skip("the vendor has no parameters")
        return self.invalid_options

    @pytest.fixture
    def sent_images(self, proxy: RecordingProxy) -> Callable[[], Collection[bytes]]:
        """The images of the stub."""
        return lambda: proxy.stub.pictures

    @pytest.fixture
    def jobs_created(self, proxy: RecordingProxy) -> Callable[[], int]:
        """The number of jobs that the vendor accepted."""
        return lambda: len(proxy.accepted)

    @pytest.fixture
    def stage(self, build: Build, open_proxy: Open) -> Callable[..., ImageBackend]:
        """Create a backend whose vendor has the given faults."""
        return lambda *faults: build(open_proxy(*faults).url)

    @pytest.fixture
    def refusing_backend(self, stage: Callable[..., ImageBackend]) -> ImageBackend:
        """A backend whose vendor rejects the prompt."""
        if not self.moderation:
            pytest.skip("the vendor rejects no prompt")
        return stage(*_respond_always(self.moderation, arrives=False))

    @pytest.fixture
    def throttled_backend(self, stage: Callable[..., ImageBackend]) -> ImageBackend:
        """A backend whose vendor rate-limits the first submit request."""
        refuse = respond_with(429, headers={"Retry-After": "7"})
        return stage(Fault(on="submit", respond=refuse, arrives=False, times=1))

    @pytest.fixture
    def unavailable_backend(self, build: Build) -> ImageBackend:
        """A backend whose vendor has no server."""
        with socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        return build(f"http://127.0.0.1:{port}")

    @pytest.fixture
    def unauthorized_backend(self, stage: Callable[..., ImageBackend]) -> ImageBackend:
        """A backend whose vendor rejects the credentials."""
        return stage(Fault(on="any", respond=respond_with(401), arrives=False))

    @pytest.fixture
    def creditless_backend(self, stage: Callable[..., ImageBackend]) -> ImageBackend:
        """A backend whose account has no credit."""
        if not self.may_cost:
            pytest.skip("the vendor does not charge")
        return stage(Fault(on="submit", respond=respond_with(402), arrives=False))

    @pytest.fixture
    def failing_backend(self, stage: Callable[..., ImageBackend]) -> ImageBackend:
        """A backend whose vendor fails to finish the job."""
        if not self.failure:
            pytest.skip("the vendor reports no failed job")
        return stage(*_respond_always(self.failure))

    @pytest.fixture
    def vanishing_backend(self, stage: Callable[..., ImageBackend]) -> ImageBackend:
        """A backend whose vendor accepts the job and is not reached again."""
        return stage(Fault(on="submit", respond=drop), Fault(on="poll", respond=drop))

    @pytest.fixture
    def stopped_job(self, stopped_calls: StoppedCalls) -> StoppedCall:
        """A job that was cancelled while it was running."""
        return stopped_calls["running"]

    @pytest.fixture
    def stopped_resume(self, stopped_calls: StoppedCalls) -> StoppedCall:
        """A `resume` that was cancelled."""
        if not self.can_cancel:
            pytest.skip("the vendor cannot cancel")
        return stopped_calls["resume"]

    @pytest.fixture
    def cancelled_remotely(self, stopped_job: StoppedCall) -> Callable[[], bool]:
        """True if the vendor of `stopped_job` received a cancel request."""
        if not self.can_cancel:
            pytest.skip("the vendor cannot cancel")
        return lambda: stopped_job.cancelled


def _respond_always(
    responses: Mapping[str, StagedResponse], *, arrives: bool = True
) -> list[Fault]:
    return [
        Fault(on=kind, respond=respond_as(response), arrives=arrives)
        for kind, response in responses.items()
    ]
