"""The language between a vendor file and the remote job: values, no network.

A vendor file is pure. It maps a job to an HTTP request, and an HTTP response to a
status; it has no client, thread, retry, sleep or clock. `RemoteBackend` does the rest.
"""

from base64 import b64encode
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.consumption import Used
from imagen.domain.errors import ImagenError, InvalidRequest, Unavailable
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import Cost
from imagen.ports.backend import Readiness

T = TypeVar("T")
OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


class UnreadableResponse(Unavailable):
    """The response is not what the vendor's API sends; it may come from a proxy."""


FormFile: TypeAlias = tuple[str, bytes, str]
"""A file of a form: its name, content and media type."""


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the vendor. The credentials are added when it is sent.

    Attributes:
        method: The HTTP method.
        path: Relative to the base URL, or a URL on one of the vendor's `hosts`.
        query: Query parameters.
        headers: Additional headers, without credentials.
        json: A body that is sent as JSON; None for none.
        content: A body as bytes; None for none.
        files: The files of a multipart form, each with the name of its field.
        form: The other fields of the form.
        timeout: Seconds without a byte; None for the default of this kind of request.
        reads: Statuses without success whose response is returned, for a vendor that
            reports the end of a job with them; others raise the error. Not for a submit
            request.
        note: The activity that is reported while the request runs; "" for none.
    """

    method: str = "GET"
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    json: object = None
    content: bytes | None = None
    files: Sequence[tuple[str, FormFile]] = ()
    form: Mapping[str, str] = {}
    timeout: float | None = None
    reads: frozenset[int] = frozenset()
    note: str = ""


class WebSocketRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A WebSocket on which the vendor pushes events. The credentials are added.

    Attributes:
        path: Relative to the base URL.
        query: Query parameters.
        first: A text message that is sent as soon as it is open; "" for none.
    """

    path: str
    query: Mapping[str, str] = {}
    first: str = ""


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One complete response; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = {}
    content: bytes = b""

    @property
    def ok(self) -> bool:
        """True for a status from 200 to 299."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the range of RFC 9110

    def json(self, kind: type[T]) -> T:
        """Return the body as a value of the type.

        Raises:
            UnreadableResponse: the body is not JSON, or of another shape.
        """
        try:
            return decode_json(self.content, kind)
        except (ValueError, RecursionError) as error:
            raise UnreadableResponse(
                "The response is not from this API.",
                hint="Check base_url, and whether the network requires a sign-in.",
            ) from error


class JobOutput(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a job made.

    Attributes:
        url: Address of the file, absolute or relative to the base URL; "" if the
            response contains the file.
        content: The file, if the response contains it.
        seed: Seed of this image, as reported by the vendor.
        kept_until: Time at which the vendor deletes the file; None if unknown.
        deleted_with: Statuses with which the vendor says that it has deleted the file;
            without them, such as 404, the file is downloaded again later.
        lost: Why the file can never be had; "" if it can.
    """

    url: str = ""
    content: bytes | None = None
    seed: int | None = None
    kept_until: datetime | None = None
    deleted_with: frozenset[int] = frozenset()
    lost: str = ""


class JobRunning(msgspec.Struct, frozen=True, kw_only=True):
    """The job has not ended.

    Attributes:
        fraction: Progress from 0 to 1; None if unknown.
        note: The current activity, in one or two words.
        steps: The total number of steps; None if unknown.
        reference: Id of the job, if the response has it: a response about another job
            is not believed.
    """

    fraction: float | None = None
    note: str = "drawing"
    steps: int | None = None
    reference: str = ""


class JobSucceeded(msgspec.Struct, frozen=True, kw_only=True):
    """The job has ended with these files.

    Attributes:
        outputs: All files, including those that were not requested.
        reference: Id of the job, if the response has it: a status about another job is
            not believed.
        model: Model that was used; "" if the vendor does not say.
        steps: Number of steps; None if the vendor does not say.
        cost: Cost of the job, if the vendor reports it.
        used: Consumption, as far as the vendor reports it.
        parameters: Other values that the vendor reports; stored in the sidecar.
        final: False if the files are complete, and the vendor may still add figures
            such as the seed or the cost: the backend polls once more, unless an output
            has its `content`, which this process alone has then.
        warnings: What the user should know about the result; each is stored in the
            sidecar.
        flagged: Whether the vendor reports unsafe content. An image that is all black
            then gets a warning: many models return one in place of what they withhold.
        transparent: Whether a transparent background was requested. An image without
            transparent pixels then gets a warning.
    """

    outputs: tuple[JobOutput, ...]
    reference: str = ""
    model: str = ""
    steps: int | None = None
    cost: Cost = Cost()
    used: Used = Used()
    parameters: Mapping[str, object] = {}
    final: bool = True
    warnings: tuple[str, ...] = ()
    flagged: bool = False
    transparent: bool = False


class JobFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The job has ended without a file.

    Attributes:
        error: The reason, with what the job consumed in `used` if that is known. An
            error that would allow a retry is reported as a BackendError unless its
            `used` is UNTOUCHED.
        reference: As for JobRunning.
        final: False if files may still appear: the backend polls once more.
        lost: True if the vendor does not have the job: it was deleted, or never there.
        cancel: True if the vendor still has the job, and it must not be drawn.
    """

    error: ImagenError
    reference: str = ""
    final: bool = True
    lost: bool = False
    cancel: bool = False


class PollNow(msgspec.Struct, frozen=True, kw_only=True):
    """A pushed event after which a status request is worthwhile at once."""


class JobPreview(msgspec.Struct, frozen=True, kw_only=True):
    """A pushed preview of the unfinished image: a complete, small image file."""

    content: bytes
    media_type: str


JobStatus: TypeAlias = JobRunning | JobSucceeded | JobFailed


class JobAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The vendor has the job.

    Attributes:
        reference: The id of the job.
        status: The status, if the response contains it.
    """

    reference: str
    status: JobStatus = JobRunning(note="queued")


Exchange: TypeAlias = Generator[HttpRequest, HttpResponse, T]
"""Several free requests: yields each, receives its successful response, returns T.

A request without one raises its error at the `yield`.
"""

Checks: TypeAlias = tuple[Readiness, ...]


class Vendor(Protocol):
    """The requests and responses of one HTTP service.

    A vendor may also have the methods of the protocols below and these attributes:
    `idempotent` (True: the same submit request with the same key is one job), `named`
    (True: the key is the id of the job, so that a job whose response was lost can be
    polled) and `hosts` (names of the vendor's other hosts, to which the credentials may
    be sent; a name stands for its subdomains, too, and `*` for one label).

    Attributes:
        name: The vendor's name, for messages.
        refuses_with: Statuses from 500 that mean that the job was not accepted.
        fails_with: Statuses from 500 that mean that the job has ended without an image.
    """

    @property
    def name(self) -> str:
        """The vendor's name, for messages."""
        ...

    @property
    def refuses_with(self) -> frozenset[int]:
        """Statuses from 500 that mean that the job was not accepted."""
        ...

    @property
    def fails_with(self) -> frozenset[int]:
        """Statuses from 500 that mean that the job has ended without an image."""
        ...

    def capabilities(self) -> Capabilities:
        """Return what the vendor supports, always the same value."""
        ...

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        """Return the request that creates the job.

        Args:
            job: The job.
            key: An id that is new for each job: an idempotency key or a task id.

        Raises:
            InvalidRequest: a value in `job.options` is invalid.
        """
        ...

    def submitted(
        self, job: ImageJob, response: HttpResponse
    ) -> JobAccepted | JobSucceeded | JobFailed:
        """Return the meaning of a successful response to the submit request.

        An exception leaves the job in an unknown state: it may exist.
        """
        ...

    def error(self, response: HttpResponse) -> ImagenError | str | None:
        """Return the error for another response, without success.

        It supplies the words. Whether the job may exist is decided by the status; an
        error with `used=Used()` says that a refused job may have cost something.

        Returns:
            The error; or the vendor's own message, for the usual error of the status;
            None for that error without a message.
        """
        ...


class PollingVendor(Vendor, Protocol):
    """A vendor with job ids: the backend can be polled and resumed."""

    def poll(self, reference: str) -> "HttpRequest | Exchange[JobStatus]":
        """Return the request for the status of a job, which `status` reads.

        Or yield several requests, and return the status.
        """
        ...

    def status(self, job: ImageJob, response: HttpResponse) -> JobStatus:
        """Return the meaning of a successful response to a status request."""
        ...


class CancellingVendor(Vendor, Protocol):
    """A vendor that can cancel a job."""

    def cancel(self, reference: str) -> "HttpRequest | Exchange[None]":
        """Return the request that cancels a job, or yield several."""
        ...


class ProgressVendor(CancellingVendor, Protocol):
    """A vendor whose submit request lasts as long as the job.

    A `cancel` request may stop the job that the vendor draws at the moment, so it is
    sent only directly after `progressed` has recognised the own job.
    """

    def progress(self, key: str) -> HttpRequest:
        """Return the request for the progress of the current job."""
        ...

    def progressed(self, key: str, response: HttpResponse) -> JobRunning | None:
        """Return the progress of the job with this key; None if another one runs."""
        ...


class PreparingVendor(Vendor, Protocol):
    """A vendor that needs free requests before the submit request, such as uploads."""

    def prepare(self, job: ImageJob) -> Exchange[ImageJob]:
        """Yield the requests, and return the job to submit."""
        ...


class CorrectingVendor(PreparingVendor, Protocol):
    """A vendor whose refusal can show how the job must be submitted instead."""

    def correct(self, job: ImageJob, refusal: ImagenError) -> Exchange[ImageJob | None]:
        """Yield requests, and return another job to submit; None if there is none.

        Called once, for a job that was certainly not accepted. The other job has the
        same key.

        Args:
            job: The job that was submitted.
            refusal: The error, as returned by `error`.
        """
        ...


class LookupVendor(PollingVendor, Protocol):
    """A vendor that lists its jobs, so that a lost one can be found."""

    def find(self, job: ImageJob, since: datetime) -> Exchange[tuple[str, ...]]:
        """Yield the requests, and return the ids of all identical jobs since then.

        The oldest comes first.
        """
        ...


class TracingVendor(Vendor, Protocol):
    """A vendor that shows its jobs to the user by a name that is sent with them."""

    def trace(self, key: str) -> str:
        """Return a sentence about where the user finds the job with this key.

        It is added to the error for a job whose response was lost.
        """
        ...


class CheckableVendor(Vendor, Protocol):
    """A vendor with a free request that needs the credentials."""

    def check(self) -> HttpRequest | Mapping[str, Exchange[str | Checks]]:
        """Return the request; or several checks by name, which return a note.

        A check may return several results instead of a note. The first check that
        raises an ImagenError is the last.
        """
        ...


class PerModelVendor(Vendor, Protocol):
    """A vendor whose capabilities depend on the model."""

    def look_up_model(self, model: str) -> Exchange[Capabilities]:
        """Yield the requests, and return the capabilities with this model."""
        ...


class CostVendor(Vendor, Protocol):
    """A vendor that states the cost of a job after it has ended."""

    def look_up_cost(self, reference: str) -> Exchange[Cost]:
        """Yield the requests, and return the cost of the job; an unknown one for none.

        Called after the images are recorded, if `JobSucceeded` has no cost.
        """
        ...


class PushVendor(PollingVendor, Protocol):
    """A vendor that pushes events. They are hints: the status request decides."""

    def events(self, key: str) -> HttpRequest | WebSocketRequest:
        """Return what opens the stream of events, before the submission.

        An HttpRequest opens a stream of server-sent events.
        """
        ...

    def event(
        self, reference: str, message: str | bytes
    ) -> JobRunning | JobPreview | PollNow | None:
        """Return the meaning of an event for this job; None if it is about another."""
        ...


class StreamingVendor(Vendor, Protocol):
    """A vendor whose response to the submit request can be a stream of events.

    `submitted` reads the whole stream when it has ended.
    """

    def streamed(self, message: str) -> JobRunning | JobPreview | None:
        """Return the meaning of an event of this job, as soon as it arrives."""
        ...


class JobVendor(Vendor, Protocol):
    """A vendor that needs what it learns about a job later, such as pushed events."""

    def for_job(self, job: ImageJob, *, previews: bool) -> Vendor:
        """Return a vendor file that is used for this job only, and may keep values.

        Args:
            job: The job.
            previews: Whether previews are shown.
        """
        ...


class RepeatingVendor(JobVendor, Protocol):
    """A vendor whose jobs can be repeated. Done once, and only if they cost nothing."""

    def repeat(self) -> Exchange[Vendor]:
        """Return what `for_job` returns, for a job whose files were deleted.

        Yields requests if they are needed to make the files again.
        """
        ...


def decode_json(content: bytes | str, kind: type[T]) -> T:
    """Return JSON as a value of the type; NaN and Infinity are None.

    Raises:
        ValueError: it is not JSON, or of another shape.
        RecursionError: it is nested too deeply.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError:
        import json  # noqa: PLC0415 - rare

        # A figure that is not a number, such as NaN or 1e999, must not hide a job.
        # The standard library reads it, and it becomes null.
        valid = msgspec.json.encode(json.loads(content))
        return msgspec.json.decode(valid, type=kind)


def decode_options(job: ImageJob, kind: type[OptionsT], *, vendor: str) -> OptionsT:
    """Return the options of a job (`--set`) as a value of the Struct.

    Raises:
        InvalidRequest: an option is unknown, or its value is invalid.
    """
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    for name in job.options:
        if name not in known:
            raise InvalidRequest(
                f"{vendor} has no parameter {name!r}.",
                hint=f"Parameters for --set: {', '.join(sorted(known)) or 'none'}.",
            )
    try:
        return msgspec.convert(dict(job.options), kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"Invalid parameter for {vendor}: {error}.",
            hint="Change the value of --set.",
        ) from error


def quote_segment(text: str) -> str:
    """Return the text as one segment of a URL's path."""
    return quote(text, safe="")


def bearer(key: str) -> Mapping[str, str]:
    """Return the header `Authorization: Bearer KEY`."""
    return {"Authorization": f"Bearer {key}"}


def basic_auth(login: str) -> Mapping[str, str]:
    """Return the header of basic authentication for `user:password`."""
    return {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}
