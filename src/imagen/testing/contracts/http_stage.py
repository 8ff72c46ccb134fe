"""The stage of `HttpBackendContract`: the author's part, the proxy and the backends."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import cached_property, partial
from threading import Thread
from typing import Any, ClassVar, TypeAlias

import msgspec
import pytest

from imagen.adapters.system.clock import SystemClock
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import Cancelled, Unfinished
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.adapter import Adapter, BackendContext, Secrets
from imagen.ports.backend import CloseableBackend, ImageBackend, ResumableBackend
from imagen.testing.contracts.backend_images import small_job
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import (
    ObservedThread,
    abbreviate,
    wait_for_threads,
)
from imagen.testing.fakes import StoppableContext
from imagen.testing.proxy import Fault, RecordingProxy, StagedResponse
from imagen.testing.vendor_stub import RecordedRequest, Stub, StubResponse

DEADLINE = 180.0
"""Seconds that a job may wait, in the time of its context; none of it passes."""

PATIENCE = 30.0
"""Real seconds after which a call counts as hanging."""

Open: TypeAlias = Callable[..., RecordingProxy]
Build: TypeAlias = Callable[..., ImageBackend]

_REQUIRED = {
    "adapter": "the Adapter",
    "may_cost": "True if a job may cost money, else False",
    "secrets": "the value of each option that ends in _env; {} without credentials",
    "invalid_options": "an invalid value of a parameter; {} if there is no parameter",
    "moderation": "the response to a rejected prompt, by kind of request; {} if the "
    "vendor rejects none",
    "failure": "the response about a job that failed, by kind of request; {} if there "
    "is none",
    "doubled": "a method that returns a response with each output twice; None if a "
    "response cannot hold two",
}


class HttpStage(Contract):
    """The part of an author: override these attributes and methods."""

    adapter: ClassVar[Adapter[Any]]
    """The adapter."""

    secrets: ClassVar[Mapping[str, str]]
    """The value of each option that ends in `_env`, by the option's name."""

    may_cost: ClassVar[bool]
    """True if the vendor charges for a job."""

    price_micros: ClassVar[int | None] = None
    """The cost of a job that the stub reports, in micro-dollars; None for none."""

    has_job_ids: ClassVar[bool] = True
    """False for a vendor whose submit request lasts as long as the job."""

    can_cancel: ClassVar[bool] = True
    """False for a vendor whose jobs cannot be cancelled."""

    refuses_with: ClassVar[frozenset[int]] = frozenset()
    """Statuses from 500 with which the vendor, as documented, accepts no job."""

    fails_with: ClassVar[frozenset[int]] = frozenset()
    """Statuses from 500 with which the vendor, as documented, ends a job."""

    deleted_with: ClassVar[frozenset[int]] = frozenset()
    """Statuses with which the vendor, as documented, says that a file is deleted."""

    parameters: ClassVar[Mapping[str, object]] = {}
    """A valid value, not the default, of each parameter that `--set` accepts."""

    invalid_options: ClassVar[Mapping[str, object]]
    """A parameter with an invalid value."""

    moderation: ClassVar[Mapping[str, StagedResponse]]
    """The response when the vendor rejects the prompt, by kind of request: "submit" or
    "poll"; or a function that returns it for a request."""

    failure: ClassVar[Mapping[str, StagedResponse]]
    """The response when the job has failed, in the same form."""

    doubled: ClassVar[Callable[[Any, StubResponse], StubResponse] | None]
    """Method that returns a response with each output twice; a response without outputs
    unchanged. None: a response of the vendor cannot hold two outputs."""

    fractions: ClassVar[tuple[float, ...]] = ()
    """Fractions that the stub states while a job runs."""

    def make_stub(self) -> Stub:
        """Return a new stub of the vendor."""
        raise NotImplementedError("Override `make_stub` and return your Stub.")

    def options(self, url: str) -> Mapping[str, object]:
        """Return the options of the config block for a vendor at this URL."""
        return {"base_url": url}

    def is_submit(self, request: RecordedRequest) -> bool:
        """Return whether the request submits a job."""
        return request.method == "POST" and not self.is_cancel(request)

    def is_cancel(self, request: RecordedRequest) -> bool:
        """Return whether the request cancels a job."""
        names = ("cancel", "interrupt")
        return request.method == "DELETE" or any(name in request.path for name in names)

    def expected_values(self, job: ImageJob) -> Mapping[str, object]:
        """Return the values that the requests for a job must contain, by name.

        Override it if the vendor writes a value in another way, such as a size as
        "64x64".
        """
        values: dict[str, object] = {
            "width": job.size.width,
            "height": job.size.height,
            "seed": job.seed,
            "negative": job.negative,
            "steps": job.steps,
            "model": job.model,
            **job.options,
        }
        # A value may be an object, which is not in a set.
        return {
            name: value
            for name, value in values.items()
            if value is not None and value != ""
        }

    # The stage

    before: AbstractSet[Thread] = frozenset()
    """The threads that ran before the test."""

    shown: Sequence[RecordingProxy] = ()
    """Vendors of other tests that this test is about."""

    @cached_property
    def opened(self) -> list[RecordingProxy]:
        """The vendors that this test opened."""
        return []

    @cached_property
    def built(self) -> list[ImageBackend]:
        """The backends that this test created."""
        return []

    @pytest.fixture
    def open_proxy(self) -> Iterator[Open]:
        """Open a vendor with the given faults, on a port of its own."""
        yield self.open
        self.close()

    def open(self, *faults: Fault, **more: Any) -> RecordingProxy:
        """Open a vendor with the given faults, which `close` closes."""
        for name, meaning in _REQUIRED.items():
            if not hasattr(self, name):
                owner = type(self).__name__
                pytest.fail(f"State {owner}.{name}: {meaning}.", pytrace=False)
        self.before = self.before or set(threading.enumerate())
        proxy = RecordingProxy(
            self.make_stub(),
            *faults,
            is_submit=self.is_submit,
            is_cancel=self.is_cancel,
            refuses_with=self.refuses_with,
            **more,
        )
        self.opened.append(proxy)
        return proxy

    def close(self) -> None:
        """Close all vendors and backends."""
        for proxy in self.opened:
            proxy.close()
        # A thread that still reads would open a connection that stays open.
        if self.opened:
            wait_for_threads(self.before, seconds=1)
        for backend in self.built:
            if isinstance(backend, CloseableBackend):
                # Its own test reports an error, which would hide all others here.
                with suppress(Exception):
                    backend.close()
        self.opened.clear()
        self.built.clear()

    @pytest.fixture
    def build(self) -> Iterator[Build]:
        """Create a backend for a URL."""
        yield self.create_backend
        self.close()

    def create_backend(
        self, url: str, secrets: Mapping[str, str] | None = None
    ) -> ImageBackend:
        """Return a new backend for a vendor at this URL, which `close` closes."""
        context = self.build_context(self.secrets if secrets is None else secrets)
        backend = self.adapter.create(self.build_options(url), context)
        self.built.append(backend)
        return backend

    def build_context(self, secrets: Mapping[str, str]) -> BackendContext:
        """Return the environment of a backend with these secrets."""
        return BackendContext(name="it", clock=SystemClock(), secrets=Secrets(secrets))

    def build_options(self, url: str) -> msgspec.Struct:
        """Return the options of the adapter for a vendor at this URL."""
        options: msgspec.Struct = msgspec.convert(
            dict(self.options(url)), self.adapter.options
        )
        return options

    def has_secret(self, request: RecordedRequest) -> bool:
        """Return whether the request contains one of the secrets."""
        return any(request.has_secret(secret) for secret in self.secrets.values())

    @pytest.fixture
    def proxy(self, open_proxy: Open) -> RecordingProxy:
        """A vendor without faults."""
        return open_proxy()

    @pytest.fixture
    def backend(self, build: Build, proxy: RecordingProxy) -> ImageBackend:
        """A backend whose vendor has no faults."""
        return build(proxy.url)

    def resume(
        self,
        backend: ImageBackend,
        proxy: RecordingProxy,
        reference: str,
        *,
        context: "ProxyContext | None" = None,
    ) -> "Outcome":
        """Resume the smallest job; return its outcome."""
        job, watching = small_job(backend), context or ProxyContext(proxy)
        if not isinstance(backend, ResumableBackend):
            pytest.skip("the backend has no `resume`")
        return run(partial(backend.resume, job, reference, watching))

    def assert_honest(self, outcome: "Outcome", proxy: RecordingProxy) -> None:
        """Fail if the outcome claims more than the recording proves."""
        refused = not proxy.accepted
        if outcome.is_untouched:
            assert refused, "UNTOUCHED, although the vendor may have the job"
        if outcome.is_settled:
            ended = proxy.proves_end(by_submit=not self.has_job_ids)
            assert refused or ended, "settled, although the job may run"

    def evidence(self) -> list[str]:
        """Return the requests that were recorded, without secrets."""
        lines: list[str] = []
        for proxy in (*self.opened, *self.shown):
            lines += [f"The vendor at {proxy.url} received:"]
            lines += [f"    {line}" for line in proxy.describe()]
        return [self.mask(line) for line in lines]

    def mask(self, text: str) -> str:
        """Return the text without the secrets."""
        for secret in self.secrets.values():
            text = text.replace(secret, "(secret)")
        return text

    def generate(
        self,
        backend: ImageBackend,
        proxy: RecordingProxy,
        *,
        context: "ProxyContext | None" = None,
        patience: float = PATIENCE,
        **changes: object,
    ) -> "Outcome":
        """Submit the smallest job, with the given changes; return its outcome."""
        job = small_job(backend, **changes)
        watching = context or ProxyContext(proxy)
        return run(partial(backend.generate, job, watching), patience=patience)


class ProxyContext(StoppableContext):
    """A context whose waits take no time, and which adds its events to the timeline.

    Attributes:
        finished: Set by the test when the call has returned.
        late: What was reported after that.
    """

    def __init__(
        self, proxy: RecordingProxy, *, at_sleep: Callable[[], None] | None = None
    ) -> None:
        super().__init__()
        self.finished = False
        self.late: list[str] = []
        self._proxy = proxy
        self._at_sleep = at_sleep
        self._left = DEADLINE

    def accepted(self, reference: str) -> None:
        self._note("accepted")
        super().accepted(reference)

    def progress(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None:
        self._note("progress")
        super().progress(fraction, note, steps=steps)

    def sleep(self, seconds: float) -> None:
        if self._at_sleep is not None:
            self._at_sleep()
        # A job has a deadline, so a backend that polls for ever ends.
        self._left -= seconds
        if self._left < 0:
            self.stop()
        super().sleep(0.001 if seconds > 0 else 0)
        self.waits[-1] = seconds

    def _note(self, event: str) -> None:
        self._proxy.note(event)
        if self.finished:
            self.late.append(event)


class Outcome(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The outcome of a call. Its `repr` has no secrets and no image bytes.

    Attributes:
        value: The result, or the exception that was raised.
        seconds: How long the call took.
    """

    value: object
    seconds: float = 0.0

    def __repr__(self) -> str:
        match self.value:
            case Generated() as generated:
                files = [abbreviate(image.content) for image in generated.images]
                return f"<Generated {files}, delayed {sorted(generated.delayed)}>"
            case BaseException() as error:
                facts = {"used": getattr(error, "used", None)}
                if isinstance(error, Cancelled):
                    facts["settled"] = error.settled
                return f"<{type(error).__name__}: {error} {facts}>"
            case other:
                return f"<{other!r}>"

    def is_a(self, *kinds: type) -> bool:
        """Return whether the result or the exception is of one of these types."""
        return isinstance(self.value, kinds)

    @property
    def is_settled(self) -> bool:
        """True if it is Cancelled, and the job has certainly ended."""
        return isinstance(self.value, Cancelled) and self.value.settled

    @property
    def is_untouched(self) -> bool:
        """True if it states that the job certainly cost nothing."""
        return getattr(self.value, "used", None) == UNTOUCHED

    @property
    def is_open(self) -> bool:
        """True if the job is left open: its images can still be fetched."""
        if isinstance(self.value, Generated):
            return bool(self.value.delayed) and self.has_whole_images(at_least=0)
        return self.is_a(Unfinished) or (self.is_a(Cancelled) and not self.is_settled)

    def has_whole_images(self, *, at_least: int = 1) -> bool:
        """Return whether all files are complete images."""
        if not isinstance(self.value, Generated):
            return False
        try:
            facts = [read_facts(image.content) for image in self.value.images]
        except NotAnImage:
            return False
        return len(facts) >= at_least


def run(call: Callable[[], object], *, patience: float = PATIENCE) -> Outcome:
    """Make the call in a thread, and return its outcome."""
    began = time.perf_counter()
    thread = ObservedThread(call)
    thread.start()
    thread.join(patience)
    seconds = time.perf_counter() - began
    if thread.is_alive():
        hanging = TimeoutError(f"The call has not ended after {patience:g} s.")
        return Outcome(value=hanging, seconds=seconds)
    return Outcome(value=thread.outcome, seconds=seconds)
