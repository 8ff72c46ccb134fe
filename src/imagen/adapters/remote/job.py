"""One remote job, from its submission to its files.

Everything that decides whether a paid image is lost or paid twice is here, once:

- a submit request is sent once, and `submission` decides what its response means;
- an accepted job is never given up because of a failed read: status requests and
  downloads are repeated while the vendor is unavailable, and then the job stays open;
- a bug in the vendor file closes no accepted job.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar, cast

from imagen.adapters.remote.background import CHECK_INTERVAL, BackgroundCall
from imagen.adapters.remote.cancellation import Canceller
from imagen.adapters.remote.errors import mark_unsent
from imagen.adapters.remote.fetch import FileDownloader
from imagen.adapters.remote.files import JobFiles
from imagen.adapters.remote.http_library import httpx
from imagen.adapters.remote.reads import (
    FIRST_POLL_INTERVAL,
    MAX_OUTAGE,
    MAX_POLL_INTERVAL,
    JobReads,
    retry_after,
)
from imagen.adapters.remote.requests import JobRequests, run_free
from imagen.adapters.remote.submission import Answer, Submission, ended_error
from imagen.adapters.remote.updates import QUIET_INTERVAL, JobUpdates, StreamedEvents
from imagen.adapters.remote.vendor import (
    CorrectingVendor,
    Exchange,
    JobAccepted,
    JobFailed,
    JobRunning,
    JobStatus,
    JobSucceeded,
    PreparingVendor,
    PushVendor,
    RepeatingVendor,
    Vendor,
)
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    Misconfigured,
    OutOfCredit,
    ReferenceTaken,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext

SUBMIT_TIMEOUT = 30.0
"""Seconds to wait for the response to a submit request that returns a job id."""

MAX_SUBMISSIONS = 3
"""How often an idempotent submit request is sent."""

_BACKOFF = 1.25
_LOOKUPS = 3

Result = TypeVar("Result")


class RemoteJob:
    """One job of one vendor.

    Attributes:
        corrected: Whether another job was submitted after a refusal.
    """

    def __init__(
        self,
        vendor: Vendor,
        client: VendorClient,
        downloader: FileDownloader,
        *,
        job: ImageJob,
        key: str,
        context: JobContext,
        clock: Clock,
        reported: bool = False,
    ) -> None:
        """Prepare the job; nothing is sent yet.

        Args:
            vendor: The vendor file.
            client: The HTTP client of the vendor.
            downloader: Downloads the files.
            job: The job of imagen.
            key: The idempotency key, task id or client id for this job.
            context: The context of the job.
            clock: The clock.
            reported: Whether the context has a reference already.
        """
        self._vendor = vendor
        self._client = client
        self._job = job
        self._key = key
        self._context = context
        self._clock = clock
        self._reported = reported
        self._requests = JobRequests(vendor, client, job=job, key=key)
        self.corrected = False
        self._reads = JobReads(context, clock, clean=client.clean)
        self._files = JobFiles(
            downloader,
            self._reads,
            name=client.name,
            count=job.count,
            context=context,
            clock=clock,
        )
        self._ended: JobSucceeded | None = None
        self._request: httpx.Request | None = None
        self._resubmitted = False
        self._updates: JobUpdates | None = None
        self._canceller: Canceller | None = None

    def generate(self) -> Generated:
        """Submit the job, and return its images.

        Raises:
            OutputDeleted: the files were deleted, and the job can be repeated.
            ImagenError: as the port says.
        """
        self._files.repeatable = (
            self._requests.free
            and hasattr(self._vendor, "repeat")
            and not self._reported
        )
        with self._before_sending():
            request = self._prepare_request()
            if hasattr(self._vendor, "events"):
                vendor = cast("PushVendor", self._vendor)
                # Opened before the job is submitted, so that no event is missed.
                self._updates = JobUpdates(
                    vendor,
                    self._client,
                    self._reads,
                    key=self._key,
                    context=self._context,
                    clock=self._clock,
                )
        try:
            return self._follow(self._submit_or_correct(request))
        finally:
            if self._updates is not None:
                self._updates.close()

    def repeat(self) -> Exchange[Vendor]:
        """Return the exchange that makes the vendor file for the job once more."""
        return cast("RepeatingVendor", self._vendor).repeat()

    def resume(self, reference: str) -> Generated:
        """Return the images of a job that was submitted earlier.

        Raises:
            ImagenError: as the port says.
        """
        self._reads.reference = reference
        try:
            status = BackgroundCall(self._poll).result(self._context)
        except Cancelled as stopped:
            return self._cancel(stopped)
        except Throttled as error:
            if (error.retry_after or 0.0) <= MAX_OUTAGE:
                raise
            raise Unfinished(error.message, hint=error.hint) from error
        except (Unavailable, Unauthorized, OutOfCredit, Misconfigured):
            raise
        except ImagenError as error:
            # A response such as 404: the job may belong to another account.
            raise Unfinished(
                f"{self._client.name} has no job {reference}, or not for this key.",
                hint="Use the key of the account that paid for the job. If there is"
                " none, forget the job.",
            ) from error
        return self._finish(status)

    # Submission

    @contextmanager
    def _before_sending(self) -> Generator[None, None, None]:
        """Translate a bug of the vendor file, and mark that the job was not sent."""
        with mark_unsent():
            self._context.sleep(0)
            try:
                yield
            except ImagenError:
                raise
            except Exception as error:
                raise BackendError(
                    f"The adapter for {self._client.name} could not build the request"
                    f" ({type(error).__name__}: {error}).",
                    hint="Nothing was sent. Report it to the adapter's author.",
                ) from error

    def _prepare_request(self) -> httpx.Request:
        """Return the submit request; everything here is free."""
        if not hasattr(self._vendor, "prepare"):
            return self._build_request(self._job)
        vendor = cast("PreparingVendor", self._vendor)
        return self._build_request(self._run_exchange(vendor.prepare(self._job)))

    def _build_request(self, job: ImageJob) -> httpx.Request:
        """Return the encoded request: what cannot be encoded costs nothing."""
        long_call = job.timeout * job.count
        request = self._client.build(
            self._vendor.submit(job, self._key),
            timeout=SUBMIT_TIMEOUT if self._requests.can_poll else long_call,
        )
        self._job = self._requests.job = job
        self._request = request
        return request

    def _run_exchange(self, exchange: Exchange[Result]) -> Result:
        return run_free(exchange, self._client, self._context)

    def _submit_or_correct(self, request: httpx.Request) -> Answer:
        """Submit the job, and after a certain refusal perhaps a corrected one, once.

        Raises:
            ImagenError: the job does not exist, has ended, or is in an unknown state.
        """
        try:
            return self._submit(request)
        except ImagenError as error:
            # Nothing was consumed: the vendor certainly has not accepted the job.
            refused = error.used == UNTOUCHED and not isinstance(error, Cancelled)
            if not (refused and hasattr(self._vendor, "correct")):
                raise
            refusal = error
        vendor = cast("CorrectingVendor", self._vendor)
        with self._before_sending():
            job = self._run_exchange(vendor.correct(self._job, refusal))
            if job is None:
                raise refusal
            request = self._build_request(job)
        self.corrected = True
        return self._submit(request)

    def _submit(self, request: httpx.Request) -> Answer:
        """Send the submit request; again only under a key that makes it the same job.

        Raises:
            ImagenError: the job does not exist, has ended, or is in an unknown state.
        """
        idempotent = bool(getattr(self._vendor, "idempotent", False))
        pause = FIRST_POLL_INTERVAL
        for number in range(1, MAX_SUBMISSIONS + 1):
            try:
                return self._submit_once(request, repeated=number > 1)
            except Unfinished as error:
                if self._requests.named:
                    return self._recover(error)
                if not idempotent or number == MAX_SUBMISSIONS:
                    raise
                wait = max(pause, min(retry_after(error) or 0.0, MAX_OUTAGE))
            self._context.sleep(wait)
            pause = min(MAX_POLL_INTERVAL, pause * 2)
        raise AssertionError

    def _submit_once(self, request: httpx.Request, *, repeated: bool) -> Answer:
        submission = Submission(self._vendor, self._client, self._requests)
        events = StreamedEvents(self._vendor, self._reads, self._context)
        send = partial(
            submission.send, request, repeated=repeated, on_event=events.receive
        )
        began = self._clock.monotonic()
        with submission.sending(repeated=repeated):
            # If the response arrives after the caller has left, the job is cancelled.
            call = BackgroundCall(send, undo=self._cancel_answer)
        try:
            while not call.wait(CHECK_INTERVAL):
                self._context.sleep(0)
                events.report()
                if self._requests.has_progress:
                    self._report_own_progress()
                # The response can be lost although the job runs.
                if (
                    self._requests.named
                    and self._clock.monotonic() - began > QUIET_INTERVAL
                ):
                    began = self._clock.monotonic()
                    with suppress(Unavailable, Throttled, Unauthorized, BackendError):
                        if (status := self._look_up()) is not None:
                            return JobAccepted(reference=self._key, status=status)
            events.report()
            return call.result(self._context)
        except Cancelled as stopped:
            canceller = self._start_cancelling(stopped)
            answer = canceller.settle(call)
            if isinstance(answer, JobAccepted):
                self._accept(answer.reference)
                return canceller.end(answer.reference)
            return answer
        except BaseException:
            call.abandon()
            raise

    def _look_up(self) -> JobStatus | None:
        """Return the status of a named job; None if the vendor does not have it."""
        poll = partial(self._requests.poll, self._key)
        status = BackgroundCall(poll).result(self._context)
        return None if isinstance(status, JobFailed) and status.lost else status

    def _recover(self, lost: ImagenError) -> Answer:
        """Look for a named job whose response was lost.

        Raises:
            Unavailable: the vendor does not have it, and it cost nothing.
            ImagenError: the given error, if it may have cost something.
        """
        try:
            for _ in range(_LOOKUPS):
                status = self._reads.repeat(self._look_up, self._client.name)
                if status is not None:
                    return JobAccepted(reference=self._key, status=status)
                self._context.sleep(FIRST_POLL_INTERVAL)
        except Cancelled as stopped:
            return self._start_cancelling(stopped).end(self._key)
        if not isinstance(lost, Unfinished):
            raise lost
        message = f"{lost.message} The server does not have the job."
        if not self._requests.free:
            raise Unfinished(message, hint=lost.hint) from lost
        raise Unavailable(message, used=UNTOUCHED) from lost

    def _report_own_progress(self) -> None:
        """Report the progress of a long call, if the vendor can be asked now."""
        with suppress(Unavailable, Throttled, Unauthorized, BackendError):
            running = BackgroundCall(self._requests.read_progress).result(self._context)
            if running is not None:
                self._accept(self._key)
                self._reads.report(running)

    # Status

    def _follow(self, answer: Answer) -> Generated:
        if isinstance(answer, JobAccepted):
            self._accept(answer.reference)
            return self._finish(answer.status)
        if isinstance(answer, JobSucceeded):
            # The vendor has repeated an id, unless another call can find lost jobs and
            # has adopted this one. The image that came with it is kept.
            keep = _holds_content(answer) and not hasattr(self._vendor, "find")
            with suppress(*([ReferenceTaken] if keep else [])):
                self._accept(answer.reference)
        return self._finish(answer)

    def _accept(self, reference: str) -> None:
        if not reference:
            return
        self._reads.reference = reference
        if not self._reported:
            self._reported = True
            self._context.accepted(reference)

    def _finish(self, status: JobStatus) -> Generated:
        """Poll until the job has ended, and return its images.

        Raises:
            ImagenError: it made no image, or they cannot be downloaded now.
        """
        try:
            status = self._wait_for_end(status)
            while isinstance(status, JobFailed) and status.lost and self._was_away:
                status = self._wait_for_end(self._submit_lost())
            if isinstance(status, JobFailed) and status.cancel:
                cancel = partial(self._requests.cancel, self._reads.reference)
                with suppress(Unavailable, Throttled, Unauthorized, BackendError):
                    BackgroundCall(cancel).result(self._context)
            if isinstance(status, JobSucceeded):
                self._ended = status
            if not (status.final or (self._ended and _holds_content(self._ended))):
                self._poll_once_more(0.0 if self._ended else MAX_POLL_INTERVAL)
            return self._collect(self._ended or status)
        except Cancelled as stopped:
            if not self._reads.reference:
                raise
            return self._cancel(stopped)
        except ImagenError:
            raise
        except Exception as error:
            raise Unfinished(
                f"The adapter for {self._client.name} does not understand a response"
                f" ({type(error).__name__}).",
                hint="The job exists; it can be fetched with a corrected adapter.",
            ) from error

    def _wait_for_end(self, status: JobStatus) -> JobSucceeded | JobFailed:
        pause = FIRST_POLL_INTERVAL
        while isinstance(status, JobRunning):
            self._reads.report(status)
            self._wait_for_change(pause)
            pause = min(MAX_POLL_INTERVAL, pause * _BACKOFF)
            status = self._reads.repeat(self._poll, self._client.name)
            lost = isinstance(status, JobFailed) and status.lost
            # It may have ended, with messages that are not read yet.
            if lost and self._updates is not None and self._updates.catch_up():
                status = self._reads.repeat(self._poll, self._client.name)
        return status

    @property
    def _was_away(self) -> bool:
        """Whether the vendor was out of reach since the job was submitted."""
        pushed = self._updates is not None and self._updates.interrupted
        return self._request is not None and (pushed or self._reads.interrupted)

    def _submit_lost(self) -> JobStatus:
        """Submit a job again that a restart of the vendor lost, if it is free.

        Raises:
            Unfinished: it may have cost something.
            BackendError: a restart lost it a second time.
        """
        name = self._client.name
        if not self._requests.free or self._request is None:
            raise Unfinished(
                f"{name} was unavailable for a while and lost the job.",
                hint="It may have been billed, so imagen does not submit it again.",
            )
        if self._resubmitted:
            raise BackendError(
                f"{name} was restarted twice and lost the job each time.",
                hint="If the job itself crashes the server, use a smaller size.",
            )
        self._resubmitted = True
        note = "the server lost the job; submitting it again"
        self._context.progress(self._reads.fraction, note)
        try:
            answer = self._submit(self._request)
        except (BackendError, Unavailable) as error:
            # It may have the job after all, and refuse another one with the same id.
            answer = self._recover(error)
        if not isinstance(answer, JobAccepted):
            return answer
        self._accept(answer.reference)
        return answer.status

    def _poll_once_more(self, seconds: float) -> None:
        """Read the files, or figures about them, that the vendor adds late."""
        self._context.sleep(seconds)
        try:
            status = BackgroundCall(self._poll).result(self._context)
        except Cancelled:
            raise
        except ImagenError:
            return
        if isinstance(status, JobSucceeded):
            self._ended = status

    def _collect(self, status: JobSucceeded | JobFailed) -> Generated:
        """Return the images of a job that has ended."""
        if isinstance(status, JobFailed):
            raise ended_error(self._client.mask(status.error))
        return self._files.collect(self._client.hide_in(status))

    def _poll(self) -> JobStatus:
        return self._requests.poll(self._reads.reference)

    def _wait_for_change(self, seconds: float) -> None:
        """Wait for the next poll, or for an event that makes it worthwhile."""
        if self._updates is None:
            self._context.sleep(seconds)
        else:
            self._updates.wait(seconds)

    # Cancellation

    def _cancel(self, stopped: Cancelled) -> Generated:
        """Cancel the job; return its images if it had finished before.

        Raises:
            Cancelled: settled if the job has certainly ended without an image.
        """
        canceller = self._start_cancelling(stopped)
        # The job was finished before it was cancelled: its images were paid for.
        ended = self._ended or canceller.end(self._reads.reference)
        ended = self._client.hide_in(ended)
        generated = self._files.collect_cancelled(ended, canceller)
        if generated is None:
            raise canceller.unsettled() from stopped
        return generated

    def _start_cancelling(self, stopped: Cancelled) -> Canceller:
        """Return the canceller, whose two seconds begin with the first call."""
        if self._canceller is None:
            self._canceller = Canceller(
                self._requests, stopped, timeout=self._job.timeout
            )
        return self._canceller

    def _cancel_answer(self, answer: Answer) -> None:
        """Cancel a job whose submit response arrived after cancellation."""
        if isinstance(answer, JobAccepted) and self._requests.can_cancel:
            self._requests.cancel(answer.reference)


def _holds_content(answer: JobSucceeded) -> bool:
    """Return whether this process alone has a file, and must hand it over at once."""
    return any(output.content is not None for output in answer.outputs)
