"""The network side of one vendor instance: its clients, and the jobs that use them."""

from imagen.adapters.remote.fetch import FileDownloader
from imagen.adapters.remote.job import RemoteJob, Result, run_exchange
from imagen.adapters.remote.vendor import Exchange, Vendor
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.job import ImageJob
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext


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

    def start(self, job: ImageJob, *, key: str, context: JobContext) -> RemoteJob:
        """Return a new job; nothing is sent yet."""
        return RemoteJob(
            self._vendor,
            self.client,
            self._downloader,
            job=job,
            key=key,
            context=context,
            clock=self._clock,
        )

    def run_exchange(self, exchange: Exchange[Result], context: JobContext) -> Result:
        """Send the requests of an exchange, and return its result."""
        return run_exchange(exchange, self.client, context)

    def close(self) -> None:
        """Close the HTTP clients."""
        self.client.close()
        self._downloader.close()
