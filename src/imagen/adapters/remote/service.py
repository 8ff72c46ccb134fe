"""The network side of one vendor instance: its clients, and the jobs that use them."""

from typing import cast

from imagen.adapters.remote.fetch import FileDownloader, OutputDeleted
from imagen.adapters.remote.job import RemoteJob, Result
from imagen.adapters.remote.requests import run_free
from imagen.adapters.remote.vendor import Exchange, JobVendor, Vendor
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext, LiveJobContext


class VendorService:
    """The HTTP clients of one instance.

    Attributes:
        client: The client for the API.
    """

    def __init__(
        self,
        vendor: Vendor,
        client: VendorClient,
        *,
        clock: Clock,
    ) -> None:
        self.client = client
        self._vendor = vendor
        self._clock = clock
        self._downloader = FileDownloader(client, now=clock.now)

    def start(
        self,
        job: ImageJob,
        *,
        key: str,
        context: JobContext,
        repeated: Vendor | None = None,
    ) -> RemoteJob:
        """Return a new job; nothing is sent yet.

        Args:
            job: The job.
            key: The idempotency key, task id or client id.
            context: The context of the job.
            repeated: The vendor file for a job whose reference is known to the context.
        """
        vendor = repeated or self._vendor
        if repeated is None and hasattr(vendor, "for_job"):
            live = isinstance(context, LiveJobContext)
            vendor = cast("JobVendor", vendor).for_job(job, previews=live)
        return RemoteJob(
            vendor,
            self.client,
            self._downloader,
            job=job,
            key=key,
            context=context,
            clock=self._clock,
            reported=repeated is not None,
        )

    def generate(
        self, started: RemoteJob, job: ImageJob, key: str, context: JobContext
    ) -> Generated:
        """Return the images of a job.

        A job that costs nothing is made once more if its files were deleted, under the
        other `key`.
        """
        try:
            return started.generate()
        except OutputDeleted:
            vendor = self.run_exchange(started.repeat(), context)
        again = self.start(job, key=key, context=context, repeated=vendor)
        return again.generate()

    def run_exchange(self, exchange: Exchange[Result], context: JobContext) -> Result:
        """Send the requests of an exchange, and return its result."""
        return run_free(exchange, self.client, context)

    def close(self) -> None:
        """Close the HTTP clients."""
        self.client.close()
        self._downloader.close()
