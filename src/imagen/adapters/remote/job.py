"""One remote job, from its submission to its files.

Everything that decides whether a paid image is lost or paid twice is here, once:

- a submit request is sent once, and `submission` decides what its response means;
- an accepted job is never given up because of a failed read: status requests and
  downloads are repeated while the vendor is unavailable, and then the job stays open;
- a bug in the vendor file closes no accepted job.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event
from types import MappingProxyType
from typing import TypeVar, cast

from imagen.adapters.remote.background import CHECK_INTERVAL, BackgroundCall
from imagen.adapters.remote.cancellation import Canceller, real_time
from imagen.adapters.remote.errors import mark_unsent
from imagen.adapters.remote.events import EventStream
from imagen.adapters.remote.fetch import (
    FileDownloader,
    NoImageReceived,
    OutputDeleted,
    TextReceived,
)
from imagen.adapters.remote.requests import JobRequests
from imagen.adapters.remote.submission import (
    Answer,
    Submission,
    UnknownState,
    ended_error,
)
from imagen.adapters.remote.vendor import (
    Accepted,
    CorrectingVendor,
    Exchange,
    Failed,
    HttpRequest,
    Output,
    PollNow,
    PreparingVendor,
    PushVendor,
    Running,
    Status,
    Succeeded,
    Vendor,
)
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.result import (
    DelayedOutput,
    Generated,
    GeneratedImage,
    ReceivedBody,
)
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext

SUBMIT_TIMEOUT = 30.0
"""Seconds to wait for the response to a submit request that returns a job id."""

# Some models take half a second, so polling starts at short intervals.
FIRST_POLL_INTERVAL, MAX_POLL_INTERVAL = 0.2, 2.0
"""Seconds between two polls, at first and at most."""

PUSH_POLL_INTERVAL = 10.0
"""Seconds between two polls of a vendor that pushes events: an event may be lost."""

MAX_OUTAGE = 60.0
"""Seconds for which the vendor may be unavailable while it has the job."""

MAX_PAGE_OUTAGE = 5.0
"""The same for a text beside the requested images, which is seldom meant to be one."""

MAX_SUBMISSIONS = 3
"""How often an idempotent submit request is sent."""

_BACKOFF = 1.25

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
        """
        self._vendor = vendor
        self._client = client
        self._downloader = downloader
        self._job = job
        self._key = key
        self._context = context
        self._clock = clock
        self._requests = JobRequests(vendor, client, job=job, key=key, clock=clock)
        self.corrected = False
        self._reference = ""
        self._fraction: float | None = None
        self._ended: Succeeded | None = None
        self._bodies: dict[int, ReceivedBody] = {}
        self._events: EventStream | None = None
        self._canceller: Canceller | None = None

    def generate(self) -> Generated:
        """Submit the job, and return its images.

        Raises:
            ImagenError: as the port says.
        """
        with self._before_sending():
            request = self._prepare_request()
        if hasattr(self._vendor, "events"):
            vendor = cast("PushVendor", self._vendor)
            # Opened before the job is submitted, so that no event is missed.
            self._events = EventStream(self._client, vendor.events(self._key))
        try:
            return self._follow(self._submit_or_correct(request))
        finally:
            if self._events is not None:
                self._events.close()

    def resume(self, reference: str) -> Generated:
        """Return the images of a job that was submitted earlier.

        Raises:
            ImagenError: as the port says.
        """
        self._reference = reference
        try:
            status = BackgroundCall(self._poll).result(self._context)
        except Cancelled as stopped:
            return self._cancel(stopped)
        except (Unavailable, Throttled, Unauthorized, OutOfCredit):
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

    def _prepare_request(self) -> HttpRequest:
        """Return the submit request; everything here is free."""
        job = self._job
        if hasattr(self._vendor, "prepare"):
            vendor = cast("PreparingVendor", self._vendor)
            job = self._run_exchange(vendor.prepare(job))
        return self._build_request(job)

    def _build_request(self, job: ImageJob) -> HttpRequest:
        request = self._vendor.submit(job, self._key)
        self._client.build(request)
        self._job = self._requests.job = job
        return request

    def _run_exchange(self, exchange: Exchange[Result]) -> Result:
        return run_exchange(
            exchange, self._client, context=self._context, clock=self._clock
        )

    def _submit_or_correct(self, request: HttpRequest) -> Answer:
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

    def _submit(self, request: HttpRequest) -> Answer:
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
                if not idempotent or number == MAX_SUBMISSIONS:
                    raise
                wait = max(pause, min(_retry_after(error) or 0.0, MAX_OUTAGE))
            self._context.sleep(wait)
            pause = min(MAX_POLL_INTERVAL, pause * 2)
        raise AssertionError

    def _submit_once(self, request: HttpRequest, *, repeated: bool) -> Answer:
        requests = self._requests
        long_call = self._job.timeout * self._job.count
        limit = SUBMIT_TIMEOUT if requests.can_poll else long_call
        submission = Submission(
            self._vendor, self._client, job=self._job, clock=self._clock
        )
        send = partial(submission.send, request, timeout=limit, repeated=repeated)
        # If the response arrives after the caller has left, the job is cancelled.
        call = BackgroundCall(send, undo=self._cancel_answer)
        try:
            while not call.wait(CHECK_INTERVAL):
                self._context.sleep(0)
                if requests.has_progress:
                    self._report_own_progress()
            return call.result(self._context)
        except Cancelled as stopped:
            canceller = self._start_cancelling(stopped)
            answer = canceller.settle(call)
            if isinstance(answer, Accepted):
                self._accept(answer.reference)
                return canceller.end(answer.reference)
            return answer
        except BaseException:
            call.abandon()
            raise

    def _report_own_progress(self) -> None:
        """Report the progress of a long call, if the vendor can be asked now."""
        with suppress(Unavailable, Throttled, Unauthorized, BackendError):
            running = BackgroundCall(self._requests.read_progress).result(self._context)
            if running is not None:
                self._accept(self._key)
                self._report(running)

    # Status

    def _follow(self, answer: Answer) -> Generated:
        if isinstance(answer, Accepted):
            self._accept(answer.reference)
            return self._finish(answer.status)
        if isinstance(answer, Succeeded):
            self._accept(answer.reference)
        return self._finish(answer)

    def _accept(self, reference: str) -> None:
        if reference and not self._reference:
            self._reference = reference
            self._context.accepted(reference)

    def _finish(self, status: Status) -> Generated:
        """Poll until the job has ended, and return its images.

        Raises:
            ImagenError: it made no image, or they cannot be downloaded now.
        """
        try:
            pause = FIRST_POLL_INTERVAL
            while isinstance(status, Running):
                self._report(status)
                self._wait_for_change(pause)
                pause = min(MAX_POLL_INTERVAL, pause * _BACKOFF)
                status = self._read_with_retries(self._poll, self._client.name)
            if isinstance(status, Succeeded):
                self._ended = status
                if not status.final:
                    self._poll_once_more()
            return self._collect(self._ended or status)
        except Cancelled as stopped:
            if not self._reference:
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

    def _poll_once_more(self) -> None:
        """Read figures that the vendor adds later than the files, if it has them."""
        try:
            status = BackgroundCall(self._poll).result(self._context)
        except Cancelled:
            raise
        except ImagenError:
            return
        if isinstance(status, Succeeded):
            self._ended = status

    def _collect(self, status: Succeeded | Failed) -> Generated:
        """Return the images of a job that has ended."""
        if isinstance(status, Failed):
            raise ended_error(self._client.mask(status.error))
        return self._download_all(status)

    def _poll(self) -> Status:
        return self._requests.poll(self._reference)

    def _wait_for_change(self, seconds: float) -> None:
        """Wait for the next poll, or for an event that makes it worthwhile."""
        if self._events is None:
            self._context.sleep(seconds)
            return
        vendor = cast("PushVendor", self._vendor)
        deadline = real_time() + PUSH_POLL_INTERVAL
        while (left := deadline - real_time()) > 0:
            message = self._events.next(min(CHECK_INTERVAL, left))
            self._context.sleep(0)
            if message is None:
                continue
            # An event is a hint; one that cannot be read is skipped.
            with suppress(Exception):
                event = vendor.event(self._reference, message)
                if isinstance(event, PollNow):
                    return
                if event is not None:
                    self._report(event)

    def _read_with_retries(
        self, read: Callable[[], Result], server: str, *, limit: float = MAX_OUTAGE
    ) -> Result:
        """Repeat a read until it succeeds or the limit in seconds is over.

        Raises:
            Unfinished: it did not succeed; the job exists.
        """
        outage, pause = 0.0, FIRST_POLL_INTERVAL
        while True:
            began = self._clock.monotonic()
            try:
                return BackgroundCall(read).result(self._context)
            except (Cancelled, Unfinished, OutputDeleted):
                raise
            except (Unauthorized, OutOfCredit) as error:
                raise self._left_open(error.message, error.hint) from error
            # A job that was there a moment ago is not gone, so an error such as 404 is
            # temporary as well.
            except ImagenError as error:
                reason = error
            wait = max(pause, _retry_after(reason) or 0.0)
            outage += self._clock.monotonic() - began + wait
            if outage > limit:
                message = f"{server} was not available for {limit:g} s"
                raise self._left_open(
                    f"{message}: {reason.message}",
                    "The job exists; its images can be fetched later.",
                ) from reason
            self._context.progress(self._fraction, f"waiting for {server}")
            self._context.sleep(wait)
            pause = min(2 * MAX_POLL_INTERVAL, pause * 2)

    def _left_open(self, message: str, hint: str) -> Unfinished:
        return Unfinished(f"{message} The job is {self._reference}.", hint=hint)

    def _report(self, running: Running) -> None:
        if running.fraction is not None:
            fraction = min(1.0, max(0.0, running.fraction))
            self._fraction = max(self._fraction or 0.0, fraction)
        self._context.progress(
            self._fraction, running.note, steps=running.steps or None
        )

    # Files

    def _download_all(self, status: Succeeded) -> Generated:
        """Return all files that can be downloaded now.

        Raises:
            Unfinished: files exist, and none can be downloaded now.
            BackendError: the files were deleted.
        """
        if self._fraction is not None:
            self._fraction = 1.0
        images: dict[int, GeneratedImage] = {}
        deleted: dict[int, OutputDeleted] = {}
        delayed: dict[int, Unfinished] = {}
        # First each file once, so that one that is delayed does not hold up the others.
        for limit in (0.0, MAX_OUTAGE):
            if delayed:
                self._context.sleep(max(map(_first_pause, delayed.values())))
            for number in tuple(delayed) if limit else range(len(status.outputs)):
                before = delayed.pop(number, None)
                # Some models name a page beside the images.
                page = (
                    before is not None
                    and isinstance(before.__cause__, TextReceived)
                    and len(images) >= self._job.count
                )
                try:
                    images[number] = self._download(
                        status.outputs[number],
                        number,
                        limit=MAX_PAGE_OUTAGE if page else limit,
                    )
                except OutputDeleted as error:
                    deleted[number] = error
                except Unfinished as error:
                    delayed[number] = error
        if delayed and not images and not self._bodies:
            raise delayed[min(delayed)]
        if deleted and not (images or delayed):
            first = deleted[min(deleted)]
            raise BackendError(
                first.message, hint=first.hint, used=status.used
            ) from first
        return self._build_result(
            status,
            [images[number] for number in sorted(images)],
            delayed={
                number: DelayedOutput(
                    reason=error.message, received=self._bodies.get(number)
                )
                for number, error in delayed.items()
            },
            deleted={number: error.message for number, error in deleted.items()},
        )

    def _download(self, output: Output, number: int, *, limit: float) -> GeneratedImage:
        self._context.progress(self._fraction, "downloading")
        stopped = Event()

        def fetch() -> bytes:
            try:
                return self._downloader.fetch(output, stopped)
            except NoImageReceived as error:
                # An empty body is nothing that could be kept.
                if error.content:
                    now, before = self._clock.now(), self._bodies.get(number)
                    body = ReceivedBody(
                        content=error.content, first_at=now, last_at=now
                    )
                    self._bodies[number] = body.after(before)
                raise

        try:
            server = "The server of the image"
            return _build_image(
                output, self._read_with_retries(fetch, server, limit=limit)
            )
        finally:
            stopped.set()

    def _build_result(
        self,
        status: Succeeded,
        images: Sequence[GeneratedImage],
        *,
        delayed: Mapping[int, DelayedOutput] = MappingProxyType({}),
        deleted: Mapping[int, str] = MappingProxyType({}),
    ) -> Generated:
        if not (images or delayed):
            raise Refused(
                f"{self._client.name} returned no image; it may have withheld it.",
                used=status.used,
            )
        return Generated(
            images=tuple(images),
            model=status.model,
            steps=status.steps,
            cost=status.cost,
            used=status.used,
            parameters=dict(status.parameters),
            delayed=delayed,
            deleted=deleted,
        )

    # Cancellation

    def _cancel(self, stopped: Cancelled) -> Generated:
        """Cancel the job; return its images if it had finished before.

        Raises:
            Cancelled: settled if the job has certainly ended without an image.
        """
        canceller, unwanted = self._start_cancelling(stopped), Event()
        ended = self._ended or canceller.end(self._reference)

        def fetch() -> list[GeneratedImage]:
            return [
                _build_image(output, self._downloader.fetch(output, unwanted))
                for output in ended.outputs
            ]

        # The job was finished before it was cancelled: its images were paid for.
        images = canceller.attempt(fetch)
        unwanted.set()
        if images is None:
            raise canceller.unsettled() from stopped
        return self._build_result(ended, images)

    def _start_cancelling(self, stopped: Cancelled) -> Canceller:
        """Return the canceller, whose two seconds begin with the first call."""
        if self._canceller is None:
            self._canceller = Canceller(
                self._requests, stopped, timeout=self._job.timeout
            )
        return self._canceller

    def _cancel_answer(self, answer: Answer) -> None:
        """Cancel a job whose submit response arrived after cancellation."""
        if isinstance(answer, Accepted) and self._requests.can_cancel:
            self._requests.cancel(answer.reference)


def run_exchange(
    exchange: Exchange[Result],
    client: VendorClient,
    *,
    context: JobContext,
    clock: Clock,
) -> Result:
    """Send the free requests of an exchange, and return its result.

    Raises:
        ImagenError: a request failed, and the exchange did not catch its error.
    """
    try:
        request = next(exchange)
        while True:
            if request.note:
                context.progress(None, request.note)
            read = partial(client.read, request, now=clock.now())
            try:
                response = BackgroundCall(read).result(context)
            except Cancelled:
                raise
            except ImagenError as error:
                request = exchange.throw(error)
            else:
                request = exchange.send(response)
    except StopIteration as end:
        return cast("Result", end.value)


def _retry_after(error: ImagenError) -> float | None:
    if isinstance(error, Throttled | UnknownState):
        return error.retry_after
    return None


def _first_pause(error: Unfinished) -> float:
    """Return the seconds to wait before a file is requested again."""
    reason = error.__cause__
    stated = _retry_after(reason) if isinstance(reason, ImagenError) else None
    return min(MAX_OUTAGE, max(FIRST_POLL_INTERVAL, stated or 0.0))


def _build_image(output: Output, content: bytes) -> GeneratedImage:
    try:
        media_type = read_facts(content).media_type
    except NotAnImage:
        media_type = "application/octet-stream"
    return GeneratedImage(content=content, media_type=media_type, seed=output.seed)
