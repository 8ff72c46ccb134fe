"""The part of `HttpBackendContract` about requests that fail, and what a job costs."""

import math
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.result import Generated
from imagen.ports.backend import (
    CostBackend,
    ImageBackend,
    LookupBackend,
    PerModelBackend,
)
from imagen.testing.contracts.backend_images import small_job
from imagen.testing.contracts.backend_lookup import PAST
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.http_responses import (
    AFTER_ACCEPTANCE,
    IMAGE_FAULTS,
    LASTING_POLL_FAULTS,
    POLL_FAULTS,
)
from imagen.testing.contracts.http_stage import (
    Build,
    HttpStage,
    Open,
    ProxyContext,
    run,
)
from imagen.testing.contracts.promises import proves
from imagen.testing.proxy import (
    Fault,
    Handler,
    RecordingProxy,
    respond_as,
    respond_with,
    retry_date,
    stay_silent,
)
from imagen.testing.vendor_stub import StubResponse

SUBMIT_TIMEOUT = 30.0
"""Seconds that a submit request may take."""

_RETRY_AFTER = {"none": None, "seconds": "7", "date": "date", "nonsense": "soon"}

_ONCE = "generate: Submits"
_UNKNOWN = "generate: Unfinished"
_REPEATED = "generate: A status request or a download"
_USED = "generate: An error that ends a job"


class FaultsContract(HttpStage, Contract):
    """A part of `HttpBackendContract`."""

    # The submit request

    @pytest.mark.parametrize("fault", AFTER_ACCEPTANCE)
    @proves(
        _UNKNOWN,
        _ONCE,
        cause="an error after the submit request that is reported as Unavailable (sent "
        "again, paid twice) or as BackendError (given up, although it may be drawn)",
    )
    def test_leaves_a_job_of_unknown_state_open(
        self, fault: str, open_proxy: Open, build: Build
    ) -> None:
        """A job that the vendor may have accepted is Unfinished, and not sent again."""
        status = int(fault.removeprefix("status ")) if "status" in fault else 0
        proxy = open_proxy(Fault(on="submit", respond=AFTER_ACCEPTANCE[fault], times=1))
        outcome = self.generate(build(proxy.url), proxy)

        self.assert_submitted_once(proxy)
        if status in self.refuses_with:
            assert outcome.is_a(ImagenError)
        elif status in self.fails_with:
            assert outcome.is_a(BackendError, Unfinished)
            assert not (self.may_cost and outcome.is_untouched)
        else:
            # Generated: sent again under the same idempotency key.
            assert outcome.is_a(Unfinished, Generated)
        self.assert_honest(outcome, proxy)

    @proves(
        _UNKNOWN,
        _ONCE,
        cause="a read timeout that is treated like a connect timeout",
    )
    def test_leaves_a_job_open_when_the_response_times_out(
        self, open_proxy: Open, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A submit request without a response is Unfinished, and not sent again."""
        proxy = open_proxy(Fault(on="submit", respond=stay_silent))
        backend = build(proxy.url)
        # A timeout of 30 s passes in one second. Shorter ones are left as they are, for
        # the other requests on a busy machine.
        _watch_timeouts(monkeypatch, scale=2 * SUBMIT_TIMEOUT)
        context = ProxyContext(proxy)
        outcome = self.generate(backend, proxy, context=context, patience=10)
        context.stop()

        self.assert_submitted_once(proxy)
        hanging = outcome.is_a(TimeoutError)
        assert outcome.is_a(Unfinished, Generated) or hanging
        self.assert_honest(outcome, proxy)

    @proves(
        "generate: The response",
        cause="the same short read timeout for all requests",
    )
    def test_waits_for_a_slow_submit_response(
        self, open_proxy: Open, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The submit request is not given up before 30 s have passed."""
        timeouts: dict[int, float | None] = _watch_timeouts(monkeypatch)
        seen: list[float | None] = []

        def measure(handler: Handler, response: StubResponse) -> None:
            # The client waits for the response by now, with the timeout that it set
            # last, which need not pass. With the response it may set another one.
            handler.proxy.closing.wait(0.4)
            seen.append(timeouts.get(handler.client_address[1]))
            handler.send(response)

        proxy = open_proxy(Fault(on="submit", respond=measure))
        outcome = self.generate(build(proxy.url), proxy)

        assert outcome.is_a(Generated)
        # 0 is a socket of an event loop, whose timeout cannot be seen.
        short = [
            seconds for seconds in seen if seconds and seconds < SUBMIT_TIMEOUT - 1
        ]
        assert short == [], "seconds after which the submit request is given up"

    @pytest.mark.parametrize("header", _RETRY_AFTER)
    @proves(
        "generate: Throttled",
        _ONCE,
        cause="`float(response.headers['Retry-After'])`, or a retry in the adapter",
    )
    def test_reports_rate_limiting(
        self, header: str, open_proxy: Open, build: Build
    ) -> None:
        """HTTP 429 is Throttled, with the time that the vendor states."""
        stated = _RETRY_AFTER[header]
        if header == "date":
            later = datetime.now(UTC) + timedelta(hours=1)  # noqa: TID251 - HTTP uses real time
            stated = retry_date(later)
        headers = {} if stated is None else {"Retry-After": stated}
        refuse = respond_with(429, headers=headers)
        proxy = open_proxy(Fault(on="submit", respond=refuse, arrives=False, times=1))
        outcome = self.generate(build(proxy.url), proxy)

        assert outcome.is_a(Throttled)
        self.assert_submitted_once(proxy)
        wait = getattr(outcome.value, "retry_after", None)
        if header == "seconds":
            assert wait == 7
        elif header == "date":
            assert wait is not None
            assert 3000 < wait <= 3600
        else:
            assert wait is None or 0 <= wait < math.inf

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
    @proves(
        "generate: Refused",
        "generate: Unauthorized",
        "generate: OutOfCredit",
        "generate: BackendError",
        _ONCE,
        cause="one error for all statuses",
    )
    def test_reports_why_it_was_refused(
        self, status: int, open_proxy: Open, build: Build
    ) -> None:
        """A refusal of the submit request has the error of its status, at once."""
        fault = Fault(on="submit", respond=respond_with(status), arrives=False)
        proxy = open_proxy(fault)
        outcome = self.generate(build(proxy.url), proxy)

        kinds: dict[int, tuple[type, ...]] = {
            401: (Unauthorized,),
            402: (OutOfCredit,) if self.may_cost else (ImagenError,),
            403: (Unauthorized, Refused),
        }
        assert outcome.is_a(*kinds.get(status, (BackendError, InvalidRequest)))
        self.assert_submitted_once(proxy)

    # The job

    @proves(
        "generate: Reports the id",
        cause="`context.accepted` after the first poll, at the end, or never",
    )
    def test_reports_the_id_first(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """The id is reported directly after the submit request."""
        self._require_ids()
        self.generate(backend, proxy)

        # The last one: the first may have been refused, and then corrected.
        last = len(proxy.timeline) - proxy.timeline[::-1].index("submit")
        assert proxy.timeline[last : last + 1] == ["accepted"]

    @pytest.mark.parametrize("fault", POLL_FAULTS)
    @proves(_REPEATED, cause="a failed status request that is taken for a failed job")
    def test_repeats_a_status_request(
        self, fault: str, open_proxy: Open, build: Build
    ) -> None:
        """Status requests that fail twice are repeated, and the job succeeds."""
        self._require_ids()
        proxy = open_proxy(Fault(on="poll", respond=POLL_FAULTS[fault], times=2))
        outcome = self.generate(build(proxy.url), proxy)

        assert outcome.is_a(Generated)
        self.assert_submitted_once(proxy)

    @pytest.mark.parametrize("fault", LASTING_POLL_FAULTS)
    @proves(_REPEATED, _UNKNOWN, cause="Unavailable or Unauthorized after acceptance")
    def test_leaves_a_job_open_that_cannot_be_polled(
        self, fault: str, open_proxy: Open, build: Build
    ) -> None:
        """A job whose status requests keep failing is left open."""
        self._require_ids()
        proxy = open_proxy(Fault(on="poll", respond=LASTING_POLL_FAULTS[fault]))
        outcome = self.generate(build(proxy.url), proxy)

        assert outcome.is_open
        self.assert_submitted_once(proxy)
        self.assert_honest(outcome, proxy)

    @pytest.mark.parametrize("fault", IMAGE_FAULTS)
    @proves(_REPEATED, cause="one attempt, or content that is not checked")
    def test_repeats_a_download(
        self, fault: str, open_proxy: Open, build: Build
    ) -> None:
        """Downloads that fail twice are repeated, and the image is complete."""
        self._require_kept(fault)
        proxy = open_proxy(Fault(on="image", respond=IMAGE_FAULTS[fault], times=2))
        outcome = self.generate(build(proxy.url), proxy)

        self._require_downloads(proxy)
        assert outcome.has_whole_images()
        self.assert_submitted_once(proxy)

    @pytest.mark.parametrize("fault", IMAGE_FAULTS)
    @proves(
        _REPEATED, cause="BackendError for a file, or a page handed out as an image"
    )
    def test_leaves_a_job_open_without_its_image(
        self, fault: str, open_proxy: Open, build: Build
    ) -> None:
        """A job whose image cannot be downloaded is left open."""
        self._require_kept(fault)
        proxy = open_proxy(Fault(on="image", respond=IMAGE_FAULTS[fault]))
        outcome = self.generate(build(proxy.url), proxy)

        self._require_downloads(proxy)
        assert outcome.is_open
        self.assert_submitted_once(proxy)
        self.assert_honest(outcome, proxy)

    @proves(
        "resume: Unavailable",
        cause="an outage that ends the job for good",
    )
    def test_resumes_nothing_while_the_vendor_is_away(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """`resume` during an outage leaves the job open, and later succeeds."""
        self._require_ids()
        context = ProxyContext(proxy)
        self.generate(backend, proxy, context=context)
        outage = Fault(on="any", respond=respond_with(503))
        proxy.faults.append(outage)
        outcome = self.resume(backend, proxy, context.references[0])
        proxy.faults.remove(outage)

        assert outcome.is_open or outcome.is_a(Unavailable, Throttled)
        assert self.resume(backend, proxy, context.references[0]).has_whole_images()

    @proves("resume: BackendError", cause="a failed job that is polled for ever")
    def test_resumes_a_failed_job_as_failed(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """`resume` of a job that failed is a BackendError."""
        self._require_ids()
        if "poll" not in self.failure:
            pytest.skip("the vendor reports no failed job")
        context = ProxyContext(proxy)
        self.generate(backend, proxy, context=context)
        proxy.faults.append(Fault(on="poll", respond=respond_as(self.failure["poll"])))

        outcome = self.resume(backend, proxy, context.references[0])
        assert outcome.is_a(BackendError)
        assert not (self.may_cost and outcome.is_untouched)

    @pytest.mark.parametrize("status", [401, 429, 503])
    @proves(
        "capabilities_of: Throttled",
        "find: Unavailable",
        "look_up_cost: Unavailable",
        cause="an error of the HTTP library that is not translated",
    )
    def test_reports_why_a_lookup_failed(
        self, status: int, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """A lookup has the error of the status: the caller decides about a retry."""
        job, context = small_job(backend), ProxyContext(proxy)
        lookups: list[Callable[[], object]] = []
        error = {401: Unauthorized, 429: Throttled, 503: Unavailable}[status]
        if isinstance(backend, LookupBackend):
            lookups += [partial(backend.find, job, since=PAST, context=context)]
        if isinstance(backend, PerModelBackend):
            lookups += [partial(backend.capabilities_of, "", context)]
        if isinstance(backend, CostBackend):
            self.generate(backend, proxy, context=context)
            reference = "".join(context.references[:1])
            lookups += [partial(backend.look_up_cost, reference, context)]
        if not lookups:
            pytest.skip("the backend looks nothing up")
        proxy.faults.append(Fault(on="any", respond=respond_with(status)))

        outcomes = [run(lookup) for lookup in lookups]
        # The backend may know the model without a request.
        wrong = [one for one in outcomes if not one.is_a(error, Capabilities)]
        assert wrong == []
        assert len(proxy.requests) >= sum(one.is_a(error) for one in outcomes)

    # Outputs and money

    @proves(
        "generate: Returns",
        cause="`outputs[0]`, or a response that is cut to `job.count`",
    )
    def test_returns_all_outputs(self, open_proxy: Open, build: Build) -> None:
        """Images that the vendor made beyond the requested ones are returned, too."""
        double = self.doubled
        if double is None:
            pytest.skip("a response of the vendor cannot hold two images")

        def respond(handler: Handler, response: StubResponse) -> None:
            is_image = response.media_type.startswith("image/")
            handler.send(response if is_image else double(response))

        kind = "poll" if self.has_job_ids else "submit"
        proxy = open_proxy(Fault(on=kind, respond=respond))
        outcome = self.generate(build(proxy.url), proxy)

        assert outcome.has_whole_images(at_least=2)

    @proves(
        "generate: The cost",
        cause="cents for dollars, or the price of another model",
    )
    def test_reports_the_cost_of_the_vendor(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """`may_cost` is stated, and the reported cost is the one of the stub."""
        context = ProxyContext(proxy)
        outcome = self.generate(backend, proxy, context=context)

        assert isinstance(outcome.value, Generated), outcome
        assert backend.capabilities().may_cost is self.may_cost
        cost = outcome.value.cost.micros
        if cost is None and isinstance(backend, CostBackend):
            cost = backend.look_up_cost(context.references[0], context).micros
        if self.may_cost:
            assert cost == self.price_micros, "micro-dollars; None: not reported"
        else:
            assert not cost

    @proves(
        "look_up_cost: Any process",
        "look_up_cost: `generate` never",
        cause="a lookup inside `generate`: a process that is killed in it loses the "
        "image",
    )
    def test_returns_the_images_before_it_looks_up_the_cost(
        self, proxy: RecordingProxy, build: Build
    ) -> None:
        """`generate` leaves the lookup to the caller; another instance may ask."""
        backend, other = build(proxy.url), build(proxy.url)
        if not isinstance(other, CostBackend):
            pytest.skip("the backend has no `look_up_cost`")
        context = ProxyContext(proxy)
        self.generate(backend, proxy, context=context)
        sent = len(proxy.requests)
        found = other.look_up_cost(context.references[0], context)

        assert found.micros == self.price_micros
        addresses = [(one.method, one.path, one.query) for one in proxy.requests]
        early = [one for one in addresses[sent:] if one in addresses[:sent]]
        assert addresses[sent:]
        assert early == []

    @proves(
        "generate: Reports fractions",
        cause="a fraction that is rounded, or a percentage that is not divided",
    )
    def test_reports_the_progress_of_the_vendor(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """The fractions that the stub states are reported."""
        context = ProxyContext(proxy)
        proxy.stub.seconds = 0.6
        self.generate(backend, proxy, context=context)

        missing = [one for one in self.fractions if one not in context.fractions]
        assert missing == [], context.fractions

    @proves(_USED, cause="UNTOUCHED for every failed job")
    def test_reports_a_failed_job_as_paid(
        self, failing_backend: ImageBackend, proxy: RecordingProxy
    ) -> None:
        """A job that failed after acceptance is not UNTOUCHED, if it may cost money."""
        outcome = self.generate(failing_backend, proxy)

        assert not (self.may_cost and outcome.is_untouched)

    # Helpers

    def assert_submitted_once(self, proxy: RecordingProxy) -> None:
        """Fail if the job was submitted twice, unless that is certainly one job."""
        bodies = [request.body for request in proxy.submits]
        # After a certain refusal a corrected job may be submitted.
        repeated = len(proxy.accepted) > 1 or len(set(bodies)) < len(bodies)
        keys = {request.headers.get("idempotency-key") for request in proxy.submits}
        assert proxy.submits, "the job was not submitted"
        assert not repeated or (len(keys) == 1 and None not in keys), (
            "the job was submitted twice"
        )

    def _require_ids(self) -> None:
        if not self.has_job_ids:
            pytest.skip("the jobs of the vendor have no ids")

    def _require_kept(self, fault: str) -> None:
        if any(f"status {status}" == fault for status in self.deleted_with):
            pytest.skip("the vendor says that the file is deleted")

    def _require_downloads(self, proxy: RecordingProxy) -> None:
        if not proxy.of("image"):
            pytest.skip("the images are in the response itself")


def _watch_timeouts(
    monkeypatch: pytest.MonkeyPatch, *, scale: float = 1.0
) -> dict[int, float | None]:
    """Record the timeout of each socket by its local port; divide the long ones."""
    recorded: dict[int, float | None] = {}
    real = socket.socket.settimeout

    def settimeout(self: socket.socket, value: float | None) -> None:
        long = value is not None and value >= SUBMIT_TIMEOUT - 1
        real(self, max(1.0, value / scale) if value and long else value)
        try:
            recorded[self.getsockname()[1]] = value
        except (OSError, IndexError):
            return

    monkeypatch.setattr(socket.socket, "settimeout", settimeout)
    return recorded
