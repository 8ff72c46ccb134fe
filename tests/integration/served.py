"""A backend whose vendor is a stub on a socket, with the faults that a test stages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from imagen.adapters.system.clock import SystemClock
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.domain.size import Size
from imagen.ports.adapter import Adapter, BackendContext, Secrets
from imagen.testing import RecordedRequest, Stub
from imagen.testing.fakes import StoppableContext
from imagen.testing.proxy import Fault, RecordingProxy, StagedResponse, respond_as

JOB = ImageJob(
    number=1, prompt="a lighthouse in fog", size=Size(512, 256), seed=7, timeout=60
)


class QuickContext(StoppableContext):
    """A context whose waits take no time."""

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.001))


class Served:
    """A backend, and the vendor that it calls."""

    def __init__(self, adapter: Adapter[Any], proxy: RecordingProxy) -> None:
        self.adapter = adapter
        self.proxy = proxy
        self.context = QuickContext()

    def create(self, options: Mapping[str, object], secrets: Mapping[str, str]) -> Any:
        """Create the backend."""
        self.backend = self.adapter.create(
            msgspec.convert(dict(options), self.adapter.options),
            BackendContext(name="it", clock=SystemClock(), secrets=Secrets(secrets)),
        )
        return self.backend

    def generate(self, **changes: object) -> Generated:
        """Generate the job, with the changes."""
        job = msgspec.structs.replace(JOB, **changes)
        return self.backend.generate(job, self.context)

    @property
    def submitted(self) -> Any:
        """The body of the only submit request."""
        (request,) = self.proxy.submits
        return request.json()


@contextmanager
def serve(
    adapter: Adapter[Any],
    stub: Stub,
    answers: Mapping[str, StagedResponse] | None = None,
    *,
    secrets: Mapping[str, str],
    **options: object,
) -> Iterator[Served]:
    """Yield the backend of a stub.

    Args:
        adapter: The adapter.
        stub: The vendor.
        answers: A response, or a function from a request to one, by kind of request.
        secrets: The value of each option that ends in `_env`.
        options: Options of the config block; `{url}` is the address of the stub.
    """
    faults = [
        Fault(on=kind, respond=respond_as(each), arrives=kind == "poll")
        for kind, each in (answers or {}).items()
    ]

    def is_cancel(request: RecordedRequest) -> bool:
        return request.path.endswith(("/cancel", "/interrupt"))

    def is_submit(request: RecordedRequest) -> bool:
        named = ("/internal/", "/interrupt", "/cancel")
        return request.method == "POST" and not any(n in request.path for n in named)

    proxy = RecordingProxy(
        stub,
        *faults,
        is_submit=is_submit,
        is_cancel=is_cancel,
        refuses_with=frozenset(),
    )
    served = Served(adapter, proxy)
    filled = {
        name: value.replace("{url}", proxy.url) if isinstance(value, str) else value
        for name, value in {"base_url": "{url}", **options}.items()
    }
    try:
        served.create(filled, secrets).prepare()
        yield served
    finally:
        served.backend.close()
        proxy.close()
