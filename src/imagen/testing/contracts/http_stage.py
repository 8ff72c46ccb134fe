"""The stage of `HttpBackendContract`: the author's part, the proxy and the backends."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
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
from imagen.ports.backend import ImageBackend
from imagen.testing.contracts.backend_images import small_job
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import ObservedThread, abbreviate
from imagen.testing.fakes import StoppableContext
from imagen.testing.proxy import Fault, RecordingProxy, stay_silent
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
    "doubled": "a function that returns a response with each output twice; None if a "
    "response cannot hold two",
}


class HttpStage(Contract):
    """The part of an author: override these attributes and methods."""

    adapter: ClassVar[Adapter[Any]]
    """The adapter."""

    secrets: ClassVar[Mapping[str, str]]
    """The value of each option that ends in `_env`, by the option's name."""

    may_cost: ClassVar[bool]
    """Whether the vendor charges for a job."""

    price_micros: ClassVar[int | None] = None
    """What the stub says that each job costs, in micro-dollars; None: it does not."""

    has_job_ids: ClassVar[bool] = True
    """False for a vendor whose submit request lasts as long as the job."""

    refuses_with: ClassVar[frozenset[int]] = frozenset()
    """Statuses from 500 with which the vendor, as documented, accepts no job."""

    fails_with: ClassVar[frozenset[int]] = frozenset()
    """Statuses from 500 with which the vendor, as documented, ends a job."""

    parameters: ClassVar[Mapping[str, object]] = {}
    """A valid value, not the default, of each parameter that `--set` accepts."""

    invalid_options: ClassVar[Mapping[str, object]]
    """A parameter with an invalid value."""

    moderation: ClassVar[Mapping[str, StubResponse]]
    """The response when the vendor rejects the prompt, by kind of request: "submit" or
    "poll"."""

    failure: ClassVar[Mapping[str, StubResponse]]
    """The response when the job has failed, by kind of request: "submit" or "poll"."""

    doubled: ClassVar[Callable[[StubResponse], StubResponse] | None]
    """Returns a response with each output twice, also one without any output."""

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
        return {
            name: value for name, value in values.items() if value not in {None, ""}
        }

    # The stage

    @pytest.fixture
    def open_proxy(self) -> Iterator[Open]:
        """Open a vendor with the given faults, on a port of its own."""
        self.opened: list[RecordingProxy] = []
        yield self._open
        for proxy in self.opened:
            proxy.close()

    def _open(self, *faults: Fault, **more: Any) -> RecordingProxy:
        for name, meaning in _REQUIRED.items():
            if not hasattr(self, name):
                owner = type(self).__name__
                pytest.fail(f"State {owner}.{name}: {meaning}.", pytrace=False)
        proxy = RecordingProxy(
            self.make_stub(),
            *faults,
            is_submit=self.is_submit,
            is_cancel=self.is_cancel,
            **more,
        )
        self.opened.append(proxy)
        return proxy

    @pytest.fixture
    def build(self) -> Iterator[Build]:
        """Create a backend for a URL."""
        built: list[ImageBackend] = []

        def build_one(
            url: str, secrets: Mapping[str, str] | None = None
        ) -> ImageBackend:
            built.append(self.create_backend(url, secrets))
            return built[-1]

        yield build_one
        for backend in built:
            getattr(backend, "close", lambda: None)()

    def create_backend(
        self, url: str, secrets: Mapping[str, str] | None = None
    ) -> ImageBackend:
        """Return a new backend for a vendor at this URL."""
        options = msgspec.convert(dict(self.options(url)), self.adapter.options)
        context = BackendContext(
            name="it",
            clock=SystemClock(),
            secrets=Secrets(self.secrets if secrets is None else secrets),
        )
        return self.adapter.create(options, context)

    @pytest.fixture
    def proxy(self, open_proxy: Open) -> RecordingProxy:
        """A vendor without faults."""
        return open_proxy()

    @pytest.fixture
    def backend(self, build: Build, proxy: RecordingProxy) -> ImageBackend:
        """A backend whose vendor has no faults."""
        return build(proxy.url)

    def endless(self) -> list[Fault]:
        """Return the faults of a vendor that accepts a job and does not finish it."""
        kind = "poll" if self.has_job_ids else "submit"
        return [Fault(on=kind, respond=stay_silent)]

    def evidence(self) -> list[str]:
        """Return the requests that were recorded, without secrets."""
        lines: list[str] = []
        for proxy in getattr(self, "opened", []):
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
        """Whether it is Cancelled, and the job has certainly ended."""
        return isinstance(self.value, Cancelled) and self.value.settled

    @property
    def is_untouched(self) -> bool:
        """Whether it states that the job certainly cost nothing."""
        return getattr(self.value, "used", None) == UNTOUCHED

    @property
    def is_open(self) -> bool:
        """Whether the job is left open: its images can still be fetched."""
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
