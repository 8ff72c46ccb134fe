"""The requests about one job, each sent once."""

from typing import cast

from imagen.adapters.remote.vendor import (
    CancellingVendor,
    JobRunning,
    JobStatus,
    PollingVendor,
    ProgressVendor,
    UnreadableResponse,
    Vendor,
)
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.job import ImageJob

# The port promises that a cancelled job stops within 2 s.
CANCEL_TIMEOUT = 1.3
"""Seconds to wait until a cancelled job has ended."""


class JobRequests:
    """Polls and cancels one job.

    Attributes:
        job: The job, as it was submitted.
        key: The idempotency key, task id or client id for this job.
        can_poll: Whether the vendor has job ids.
        can_cancel: Whether the vendor can cancel a job.
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
        status = vendor.status(self.job, self._client.read(vendor.poll(reference)))
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
        self._client.read(request, timeout=CANCEL_TIMEOUT)
        return True

    def read_progress(self) -> JobRunning | None:
        """Return the progress of the job; None while the vendor draws another one.

        Raises:
            ImagenError: it cannot be read now.
        """
        vendor = cast("ProgressVendor", self._vendor)
        response = self._client.read(vendor.progress(self.key), timeout=CANCEL_TIMEOUT)
        return vendor.progressed(self.key, response)
