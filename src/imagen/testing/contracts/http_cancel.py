"""The part of `HttpBackendContract` about cancellation, and about jobs of others.

Cancellation takes real time, so all these calls run at once, and once for a class.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from threading import Event, Thread
from typing import ClassVar, Self, TypeAlias

import msgspec
import pytest

from imagen.domain.errors import Cancelled
from imagen.ports.backend import (
    CheckableBackend,
    CostBackend,
    ImageBackend,
    LookupBackend,
    PerModelBackend,
    ResumableBackend,
)
from imagen.testing.contracts.backend_images import small_job
from imagen.testing.contracts.backend_lookup import PAST
from imagen.testing.contracts.backend_waiting import CANCEL_TIMEOUT, StoppedCall
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.http_stage import (
    Build,
    HttpStage,
    Open,
    Outcome,
    ProxyContext,
)
from imagen.testing.contracts.observation import ObservedThread, run_at_once
from imagen.testing.contracts.promises import proves
from imagen.testing.proxy import (
    KIT_THREAD,
    SILENCE,
    Fault,
    Handler,
    RecordingProxy,
    reset,
    respond,
    respond_late,
    respond_with,
    stay_silent,
)
from imagen.testing.vendor_stub import DRAW_SECONDS, StubResponse

LATE = 2.6
"""Seconds after which a submit response arrives when the call has been cancelled."""

_PROMPT = "cancelled-4711"

STAGES = (
    *("setup", "submit", "running", "image", "resume", "check", "find"),
    *("capabilities_of", "look_up_cost"),
)
CANCEL_FAULTS = {
    "status 500": respond_with(500),
    "connection reset": reset,
    "silence": stay_silent,
}
_STOPS = "generate: On cancellation"
_OWN_JOB = "generate: Cancels and reports"
_PASSED_ON = "generate: Cancelled"

StoppedCalls: TypeAlias = "Mapping[str, StoppedHttpCall]"


class StoppedHttpCall(StoppedCall, kw_only=True):
    """A call that was cancelled at a stage.

    Attributes:
        proxy: The vendor.
        context: The context of the call.
        reached: Whether the call reached the stage; a vendor may not have it.
    """

    proxy: RecordingProxy
    context: ProxyContext
    reached: bool

    @property
    def names_own_job(self) -> bool:
        """True if a cancel request contains the reported id of the job."""
        return any(
            request.has_value(reference)
            for request in self.proxy.of("cancel")
            for reference in self.context.references
        )


class CancelContract(HttpStage, Contract):
    """A part of `HttpBackendContract`.

    Attributes:
        late_timeout: Seconds in which a job must be cancelled whose response is late.
    """

    late_timeout: ClassVar[float] = 15.0

    @pytest.fixture(scope="class")
    @classmethod
    def stopped_calls(cls) -> Iterator[StoppedCalls]:
        """Cancel a call at each stage, all at once."""
        stage = cls()
        # Several threads add to the lists of the stage, so they are made here.
        assert stage.opened == []
        assert stage.built == []
        scenarios = _list_scenarios(stage)
        names = list(scenarios)
        with _MeasuredDelay() as delay:
            results = run_at_once(
                lambda number: _stop(stage, scenarios[names[number]], delay),
                crowd=len(names),
            )
        calls: dict[str, StoppedHttpCall] = {}
        for name, result in zip(names, results, strict=True):
            if not isinstance(result, StoppedHttpCall):
                pytest.fail(f"The call could not be started: {result!r}")
            calls[name] = result
        yield calls
        stage.close()

    @pytest.mark.parametrize("stage", STAGES)
    @proves(
        _STOPS,
        _PASSED_ON,
        "resume: Cancelling",
        "check: Only",
        "find: Cancelled",
        "capabilities_of: Cancelled",
        "look_up_cost: Cancelled",
        cause="a request that blocks the thread; send it in a thread of its own, or "
        "interrupt it with `context.on_cancel`",
    )
    def test_stops_at_every_stage(
        self, stage: str, stopped_calls: StoppedCalls
    ) -> None:
        """A cancelled call ends within 2 s, whichever request is not answered."""
        call = self._get(stopped_calls, stage)

        outcome = Outcome(value=call.outcome, seconds=call.seconds)
        # Images that arrive in time are returned, because they were paid for.
        assert outcome.is_a(Cancelled) or outcome.has_whole_images()
        assert outcome.seconds < CANCEL_TIMEOUT
        self.assert_honest(outcome, call.proxy)

    @proves(_STOPS, _OWN_JOB, cause="the wrong id, or a cancel request for all jobs")
    def test_cancels_its_own_job(self, stopped_calls: StoppedCalls) -> None:
        """The cancel request contains the id of the job, and of no other job."""
        self._require_cancel()
        call = self._get(stopped_calls, "running")
        assert call.cancelled
        if self.has_job_ids:
            assert call.names_own_job
            call = self._get(stopped_calls, "beside another")
            foreign = [
                request.describe()
                for request in call.proxy.of("cancel")
                if not request.has_value(call.context.references[0])
            ]
            assert call.names_own_job
            assert foreign == []

    @proves(_STOPS, cause="a late response that is thrown away")
    def test_cancels_a_job_whose_response_is_late(
        self, stopped_calls: StoppedCalls
    ) -> None:
        """A job that is accepted or drawn after the cancellation is cancelled."""
        self._require_cancel()
        call = self._get(stopped_calls, "late")

        assert Outcome(value=call.outcome).is_a(Cancelled)
        assert call.proxy.wait_for(lambda: call.proxy.of("cancel"), self.late_timeout)

    @pytest.mark.parametrize("fault", CANCEL_FAULTS)
    @proves(_PASSED_ON, cause="settled because a cancel request was sent, not answered")
    def test_is_settled_only_if_the_job_has_ended(
        self, fault: str, stopped_calls: StoppedCalls
    ) -> None:
        """A cancel request that fails leaves the job unsettled."""
        self._require_cancel()
        outcome = Outcome(value=self._get(stopped_calls, fault).outcome)

        assert outcome.is_a(Cancelled)
        assert not outcome.is_settled
        assert not outcome.is_untouched

    @proves(_OWN_JOB, cause="an interrupt request that stops the job of another client")
    def test_cancels_nothing_that_the_vendor_has_not(
        self, stopped_calls: StoppedCalls
    ) -> None:
        """No cancel request is sent for a job that has not arrived, but by its id."""
        call = self._get(stopped_calls, "submit")

        foreign = [
            request.describe()
            for request in call.proxy.of("cancel")
            if not any(request.shares_id(submit) for submit in call.proxy.submits)
        ]
        assert foreign == []

    @proves(_OWN_JOB, cause="cleaning up after each job")
    def test_cancels_no_finished_job(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """A job that returned its images is left as it is, to be fetched again."""
        self.generate(backend, proxy)

        assert [request.describe() for request in proxy.of("cancel")] == []

    @proves(_OWN_JOB, cause="the progress of the vendor's current job, of any client")
    def test_reports_its_own_progress(self, open_proxy: Open, build: Build) -> None:
        """While another client's job is drawn, nothing is reported of it."""
        held, release = Event(), Event()

        def hold(handler: Handler, _: StubResponse) -> None:
            held.set()
            release.wait(SILENCE)
            handler.hang_up("held back")

        fault = Fault(on="submit", respond=hold, arrives=False, text="held-4711")
        proxy = open_proxy(fault)
        own, other, context = build(proxy.url), build(proxy.url), ProxyContext(proxy)
        job = small_job(own, prompt="held-4711")
        worker = ObservedThread(partial(own.generate, job, context))
        worker.start()
        held.wait(CANCEL_TIMEOUT)
        # Long enough for an adapter that reports progress while it waits.
        proxy.stub.seconds = 1.0
        self.generate(other, proxy)
        reported = [fraction for fraction in context.fractions if fraction]
        references = list(context.references)
        context.stop()
        release.set()
        worker.join(CANCEL_TIMEOUT)

        assert reported == []
        assert references == []

    @pytest.mark.parametrize("late", [False, True], ids=["drawn", "submitted"])
    @proves(
        _PASSED_ON,
        cause="`except BaseException`, or KeyboardInterrupt turned into an error",
    )
    def test_passes_a_keyboard_interrupt_on_after_the_submit_request(
        self, proxy: RecordingProxy, backend: ImageBackend, *, late: bool
    ) -> None:
        """KeyboardInterrupt passes through while the job is submitted and drawn."""
        if late:
            proxy.faults.append(Fault(on="submit", respond=respond_late(0.5)))

        def interrupt() -> None:
            if proxy.submits:
                raise KeyboardInterrupt

        proxy.stub.seconds = 1.0
        context = ProxyContext(proxy, at_sleep=interrupt)
        outcome = self.generate(backend, proxy, context=context)

        assert outcome.is_a(KeyboardInterrupt)

    def _get(self, calls: StoppedCalls, name: str) -> StoppedHttpCall:
        call = calls.get(name)
        if call is None or not call.reached:
            pytest.skip(f"the vendor or its backend has no stage {name!r}")
        self.shown = [call.proxy]
        return call

    def _require_cancel(self) -> None:
        if not self.can_cancel:
            pytest.skip("the vendor cannot cancel")


class _Scenario(msgspec.Struct, kw_only=True):
    """A call that is cancelled once the last of the faults has occurred.

    Attributes:
        faults: The faults.
        method: The method that is called.
        seconds: How long the vendor draws, if the submit request lasts that long.
        beside_another: Whether the job of another client is drawn first, for `seconds`.
    """

    faults: tuple[Fault, ...]
    method: str = "generate"
    seconds: float = SILENCE
    beside_another: bool = False


def _list_scenarios(stage: HttpStage) -> dict[str, _Scenario]:
    ids = stage.has_job_ids
    silent = partial(Fault, respond=stay_silent)

    def endless() -> Fault:
        return silent(on="poll" if ids else "submit")

    scenarios = {
        "submit": _Scenario(
            faults=(silent(on="submit", arrives=False, text=_PROMPT),),
            beside_another=not ids,
        ),
        "running": _Scenario(faults=(endless(),)),
    }
    if ids:
        late = Fault(on="submit", respond=respond_late(LATE))
        scenarios["late"] = _Scenario(faults=(late,))
        scenarios["beside another"] = _Scenario(
            faults=(endless(),), beside_another=True
        )
    else:
        # The vendor draws one job after the other.
        queued = Fault(on="submit", respond=respond, text=_PROMPT)
        scenarios["late"] = _Scenario(
            faults=(queued,), seconds=LATE, beside_another=True
        )
    for name, fail in CANCEL_FAULTS.items():
        refused = Fault(on="cancel", respond=fail, arrives=False)
        scenarios[name] = _Scenario(faults=(refused, endless()))
    for kind in ("setup", "image"):
        scenarios[kind] = _Scenario(faults=(silent(on=kind),), seconds=DRAW_SECONDS)
    for method in ("resume", "check", "find", "capabilities_of", "look_up_cost"):
        scenarios[method] = _Scenario(
            faults=(silent(on="any"),), method=method, seconds=DRAW_SECONDS
        )
    return scenarios


def _stop(
    stage: HttpStage, scenario: _Scenario, delay: "_MeasuredDelay"
) -> StoppedHttpCall:
    """Start a call, cancel it when it has reached its stage, and wait for its end."""
    proxy, fault = stage.open(), scenario.faults[-1]
    proxy.stub.seconds = scenario.seconds
    backend, context = stage.create_backend(proxy.url), ProxyContext(proxy)
    call = _prepare_call(scenario.method, stage, backend, proxy, context)
    proxy.faults += scenario.faults
    if scenario.beside_another:
        other = stage.create_backend(proxy.url)
        job = small_job(other)
        ObservedThread(partial(other.generate, job, ProxyContext(proxy))).start()
        polled = fault.on == "poll"
        proxy.wait_for(lambda: fault.hits if polled else proxy.stub.drawing.is_set())
        proxy.stub.seconds = SILENCE
    before = fault.hits
    worker = ObservedThread(call)
    worker.start()
    proxy.wait_for(lambda: fault.hits > before or not worker.is_alive())
    # The client waits for the response by then.
    worker.join(0.2)

    def cancel() -> None:
        context.stop()
        worker.join(2 * CANCEL_TIMEOUT)

    return StoppedHttpCall(
        seconds=delay.measure(cancel),
        outcome=worker.outcome,
        cancelled=bool(proxy.of("cancel")),
        proxy=proxy,
        context=context,
        reached=fault.hits > before,
    )


def _prepare_call(
    method: str,
    stage: HttpStage,
    backend: ImageBackend,
    proxy: RecordingProxy,
    context: ProxyContext,
) -> Callable[[], object]:
    job = small_job(backend, prompt=_PROMPT)
    if method == "generate":
        return partial(backend.generate, job, context)
    call: Callable[[], object] = lambda: None  # noqa: E731 - the backend has no such method
    if method in {"resume", "look_up_cost"} and hasattr(backend, method):
        submitting = ProxyContext(proxy)
        stage.generate(backend, proxy, context=submitting, prompt=_PROMPT)
        for reference in submitting.references[:1]:
            if method == "resume" and isinstance(backend, ResumableBackend):
                call = partial(backend.resume, job, reference, context)
            elif isinstance(backend, CostBackend):
                call = partial(backend.look_up_cost, reference, context)
    elif method == "check" and isinstance(backend, CheckableBackend):
        call = partial(backend.check, context)
    elif method == "find" and isinstance(backend, LookupBackend):
        call = partial(backend.find, job, since=PAST, context=context)
    elif method == "capabilities_of" and isinstance(backend, PerModelBackend):
        call = partial(backend.capabilities_of, "", context)
    return call


class _MeasuredDelay:
    """Measures for how long the threads of a busy machine do not run.

    The promise of two seconds is about the backend, and not about the machine.
    """

    def __init__(self) -> None:
        self._ended = Event()
        self._total = 0.0
        self._thread = Thread(target=self._run, daemon=True, name=KIT_THREAD)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def measure(self, call: Callable[[], object]) -> float:
        """Make a call, and return its seconds without the delay of the machine."""
        began, before = time.perf_counter(), self._total
        call()
        return time.perf_counter() - began - (self._total - before)

    def _run(self) -> None:
        expected = 0.02
        while not self._ended.is_set():
            began = time.perf_counter()
            self._ended.wait(expected)
            self._total += max(0.0, time.perf_counter() - began - 2 * expected)
