"""The port for image backends."""

from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import Cost
from imagen.domain.result import Generated
from imagen.ports.job_context import JobContext


class ImageBackend(Protocol):
    """A service that makes images.

    Construction uses no network and costs nothing. An instance is used from several
    threads at once and keeps no state from one job to the next.

    Each instance uses the secrets of its own `BackendContext`, and no environment
    variable. They are sent to the vendor's own hosts only, and certificates are
    verified. No secret appears in its `repr` or that of its options, in a log, or in
    any error (or its cause), parameter, note or reference.

    A call prints nothing, leaves no thread or file behind, and changes nothing that
    belongs to the whole process.

    Prove an implementation with `imagen.testing.BackendContract`, or with
    `HttpBackendContract` if its vendor is called over HTTP.
    """

    def capabilities(self) -> Capabilities:
        """Return what the backend supports: quickly, offline, always the same value."""
        ...

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Make the images of one call and return the vendor's bytes, unchanged.

        May assume that `capabilities` allows every parameter of the job. Every
        parameter reaches the vendor. The prompt is any text. Must not change the job or
        its options.

        Submits the job once; the caller decides about retries. An identical job is
        submitted again. The response to the submit request may take 30 s. Reports the
        id of the remote job before any further request about it. A status request or a
        download that fails is repeated, and then leaves the job `Unfinished`.

        Waits only through the context. On cancellation, cancels the remote job and
        returns within 2 s. Cancels and reports its own job only. Reports nothing after
        it has returned.

        Returns `job.count` images, fewer only if the vendor withheld some or they are
        `delayed`; images that the vendor made beyond them come last. Each has the
        job's size, the requested format, and a `media_type` that matches its bytes.
        Sets `seed` only to a seed that was used. Reports fractions from 0 to 1, as the
        vendor states them. The cost is the vendor's figure, never negative. Its
        `parameters` can be encoded as JSON.

        Raises:
            InvalidRequest: a name or value in `job.options` is invalid; nothing was
                sent.
            Refused: the vendor rejects the content of the request.
            Throttled: rate limit exceeded; `retry_after` if the vendor states it.
            Unavailable: not reached, or down before the vendor accepted the job.
            Unauthorized: the credentials are missing or rejected.
            OutOfCredit: the vendor's account has no credit left.
            Unfinished: the vendor may have accepted the job; its state is unknown.
            BackendError: any other failure at the vendor.
            Cancelled: raised by the context and passed on, as any other exception is;
                `settled` only if nothing was sent, or the vendor confirmed that the job
                has ended.

        An error that ends a job has in `used` what the job consumed, if known:
        `UNTOUCHED` if it certainly cost nothing.
        """
        ...


@runtime_checkable
class WarmupBackend(Protocol):
    """A backend that needs some time before it can submit its first job."""

    def prepare(self) -> None:
        """Load what a job needs, without sending anything.

        Called before the journal records that a job is about to be sent. That keeps the
        time short in which a crash leaves the state of the job unknown.

        Raises:
            Unauthorized, Misconfigured: no job could be sent.
        """
        ...


@runtime_checkable
class PerModelBackend(Protocol):
    """A backend whose capabilities depend on the model and must be looked up."""

    def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
        """Return what the backend supports with the model; "" is its default model.

        May use the network, costs nothing, and caches the result. The result is always
        the same and applies to the next job.

        Raises:
            InvalidRequest: the model does not exist.
            Throttled, Unavailable, Unauthorized, BackendError: as for `generate`.
            Cancelled: raised by the context and passed on.
        """
        ...


@runtime_checkable
class ResumableBackend(Protocol):
    """A backend that can continue a job that another process submitted."""

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        """Wait for the remote job with this id to end, and return its images.

        Submits nothing, costs nothing, may be repeated. Returns and raises the same as
        `generate` after acceptance, in the same order of outputs. Cancelling the
        context cancels the remote job.

        Raises:
            BackendError: the job failed, or the vendor has deleted it.
            Unfinished: the job is not found; it may belong to another account.
            Unavailable, Throttled, Unauthorized: the vendor cannot be queried now.
        """
        ...


@runtime_checkable
class LookupBackend(Protocol):
    """A backend that can find out whether it accepted a job of unknown state."""

    def find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Return the ids of all remote jobs since then that are identical to this one.

        The oldest comes first. Submits nothing and is free. Jobs not yet listed by the
        vendor may be missing.

        Args:
            job: The submitted job; its reference images may have no content.
            since: The earliest time of the submission, with allowance for clock skew.
            context: As for `generate`.

        Raises:
            Unavailable, Throttled, Unauthorized: the vendor cannot be queried now.
            Cancelled: raised by the context and passed on.
        """
        ...


@runtime_checkable
class CostBackend(Protocol):
    """A backend whose vendor can state the cost of a job after it has ended."""

    def look_up_cost(self, reference: str, context: JobContext) -> Cost:
        """Return the vendor's figure for the remote job with this id, or unknown.

        Any process may ask. Submits nothing, is free, may be repeated. `generate` never
        sends these requests: it returns images that have arrived at once. They are
        recorded before this method is called, for a result without a cost. They are not
        stored until it returns, so it is cancelled after a few seconds.

        Raises:
            Unavailable, Throttled, Unauthorized, BackendError: the vendor cannot be
                queried now. The cost stays unknown.
            Cancelled: raised by the context and passed on, within 2 s.
        """
        ...


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check of a backend.

    Attributes:
        name: What was checked, in a few words.
        ready: Whether the check passed.
        note: The version that was found; on failure what is missing and how to fix it.
    """

    # `imagen backends check --json` calls this field "what".
    name: str = msgspec.field(name="what")
    ready: bool
    note: str = ""


@runtime_checkable
class CheckableBackend(Protocol):
    """A backend that can check its setup without cost."""

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Check everything that a job needs, without cost and without errors.

        Only `Cancelled`, raised by the context, is passed on.
        """
        ...


@runtime_checkable
class CloseableBackend(Protocol):
    """A backend that holds resources such as connections."""

    def close(self) -> None:
        """Release the resources. The backend is not used afterwards."""
        ...
