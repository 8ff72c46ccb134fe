"""The requests about one job, each sent once."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar, cast

from imagen.adapters.remote.background import BackgroundCall
from imagen.adapters.remote.vendor import (
    CancellingVendor,
    Exchange,
    HttpRequest,
    HttpResponse,
    JobRunning,
    JobStatus,
    PollingVendor,
    ProgressVendor,
    UnreadableResponse,
    Vendor,
)
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.errors import Cancelled, ImagenError
from imagen.domain.job import ImageJob
from imagen.ports.job_context import JobContext

# The port promises that a cancelled job stops within 2 s.
CANCEL_TIMEOUT = 1.3
"""Seconds to wait until a cancelled job has ended."""

Result = TypeVar("Result")


class JobRequests:
    """Polls and cancels one job.

    Attributes:
        job: The job, as it was submitted.
        key: The idempotency key, task id or client id for this job.
        can_poll: Whether the vendor has job ids.
        can_cancel: Whether the vendor can cancel a job.
        named: Whether the key is the id of the job, so that it can be polled before the
            response to the submit request arrives.
        free: Whether jobs cost nothing.
        has_progress: Whether the submit request lasts as long as the job, and the
            vendor tells the progress of the current job.
    """

    def __init__(
        self,
        vendor: Vendor,
        client: VendorClient,
        *,
        job: ImageJob,
        key: str,
    ) -> None:
        self.can_poll = hasattr(vendor, "poll")
        self.can_cancel = hasattr(vendor, "cancel")
        self.free = not vendor.capabilities().may_cost
        self.named = bool(getattr(vendor, "named", False))
        self.has_progress = hasattr(vendor, "progress")
        self._vendor = vendor
        self._client = client
        self.job = job
        self.key = key

    def poll(self, reference: str) -> JobStatus:
        """Return the status of the job.

        Raises:
            ImagenError: it cannot be read now.
        """
        vendor = cast("PollingVendor", self._vendor)
        request = vendor.poll(reference)
        if isinstance(request, HttpRequest):
            status = vendor.status(self.job, self._client.read(request))
        else:
            status = run_exchange(request, self._client.read)
        # A cache on the way may confuse two jobs.
        if status.reference not in {"", reference}:
            raise UnreadableResponse(
                f"{self._client.name} returned the status of another job."
            )
        return status

    def cancel(self, reference: str) -> bool:
        """Cancel the job, and return True.

        Raises:
            ImagenError: the vendor did not confirm it.
        """
        request = cast("CancellingVendor", self._vendor).cancel(reference)
        read = partial(self._client.read, timeout=CANCEL_TIMEOUT)
        if isinstance(request, HttpRequest):
            read(request)
        else:
            run_exchange(request, read)
        return True

    def read_progress(self) -> JobRunning | None:
        """Return the progress of the job; None while the vendor draws another one.

        Raises:
            ImagenError: it cannot be read now.
        """
        vendor = cast("ProgressVendor", self._vendor)
        response = self._client.read(vendor.progress(self.key), timeout=CANCEL_TIMEOUT)
        return vendor.progressed(self.key, response)


def run_exchange(
    exchange: Exchange[Result], read: Callable[[HttpRequest], HttpResponse]
) -> Result:
    """Send the free requests of an exchange, and return its result.

    Raises:
        ImagenError: a request failed, and the exchange did not catch its error.
    """
    try:
        request = next(exchange)
        while True:
            try:
                response = read(request)
            except Cancelled:
                raise
            except ImagenError as error:
                request = exchange.throw(error)
            else:
                request = exchange.send(response)
    except StopIteration as end:
        return cast("Result", end.value)


def run_free(
    exchange: Exchange[Result], client: VendorClient, context: JobContext
) -> Result:
    """Send the free requests of an exchange in the background, and return its result.

    Raises:
        ImagenError: a request failed, and the exchange did not catch its error.
    """

    def read(request: HttpRequest) -> HttpResponse:
        if request.note:
            context.progress(None, request.note)
        return BackgroundCall(partial(client.read, request)).result(context)

    return run_exchange(exchange, read)
