"""Vendors of our own that count what they were paid for, for the drills."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from tests.integration.bfl.stub import BflStub
from tests.integration.fal.stub import FalStub
from tests.integration.replicate.server import ReplicateServer

from imagen.testing import RecordedRequest, Stub
from imagen.testing.proxy import Fault, RecordingProxy, drop, respond_with

VENDORS = ("replicate", "fal", "bfl")


class PaidVendor(msgspec.Struct, kw_only=True, eq=False):
    """A vendor on a socket, and how a user configures it.

    Attributes:
        server: Has `url`, `token`, `created`, `paid`, `trouble` and `calm`.
        backend: The config block of the backend `paid`.
        key_env: The environment variable of the key.
        job_id: The parameter in the sidecar with the id of the job.
        suffix: Of the files that it makes.
        has_list: Whether a job whose response was lost can be looked up.
    """

    server: Any
    backend: str
    key_env: str
    job_id: str
    suffix: str
    has_list: bool = True


class CountingStub:
    """A stub on a socket: every job that it accepts is paid for."""

    token = "a-key"

    def __init__(self, stub: Stub, jobs: Mapping[str, object]) -> None:
        self._jobs = jobs
        self._proxy = RecordingProxy(
            stub,
            is_submit=_is_submit,
            is_cancel=lambda request: request.path.endswith("/cancel"),
            refuses_with=frozenset(),
        )
        self.url = self._proxy.url
        self.close = self._proxy.close

    @property
    def created(self) -> int:
        return len(self._jobs)

    paid = created

    def trouble(self, *, accepts_then: str) -> None:
        """Accept each job, and lose the response or answer with HTTP 500."""
        respond = {"drop": drop, "500": respond_with(500)}[accepts_then]
        self._proxy.faults.append(Fault(on="submit", respond=respond))

    def calm(self) -> None:
        """End the trouble."""
        self._proxy.faults.clear()


@contextmanager
def open_vendor(name: str) -> Iterator[PaidVendor]:
    """Yield a vendor that draws an image in a moment."""
    if name == "replicate":
        with ReplicateServer(seconds=0.15) as server:
            yield PaidVendor(
                server=server,
                backend=f"adapter: replicate, base_url: '{server.url}',"
                " model: black-forest-labs/flux-schnell",
                key_env="REPLICATE_API_TOKEN",
                job_id="prediction",
                suffix="webp",
            )
        return
    if name == "fal":
        fal = FalStub()
        fal.shown_after = 0.2
        counting = CountingStub(fal, fal.jobs)
        vendor = PaidVendor(
            server=counting,
            backend=f"adapter: fal, base_url: '{counting.url}',"
            f" platform_url: '{counting.url}/v1'",
            key_env="FAL_KEY",
            job_id="request",
            suffix="png",
        )
    else:
        bfl = BflStub()
        counting = CountingStub(bfl, bfl.tasks)
        vendor = PaidVendor(
            server=counting,
            backend=f"adapter: bfl, base_url: '{counting.url}'",
            key_env="BFL_API_KEY",
            job_id="task",
            suffix="jpg",
            has_list=False,
        )
    try:
        yield vendor
    finally:
        counting.close()


def _is_submit(request: RecordedRequest) -> bool:
    return request.method == "POST"
