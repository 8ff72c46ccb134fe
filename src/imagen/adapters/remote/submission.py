"""The submit request, and the rule of money.

Not connected, a 4xx status except 408, 425 and 499, or one of the vendor's
`refuses_with`: the job does not exist and cost nothing. One of `fails_with`: it has
ended. Any other response that is not a readable success leaves the job in an unknown
state. Nothing that the vendor file returns or raises changes that.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NoReturn, TypeAlias, cast

from imagen.adapters.remote.http_library import httpx
from imagen.adapters.remote.requests import JobRequests
from imagen.adapters.remote.vendor import (
    HttpResponse,
    JobAccepted,
    JobFailed,
    JobSucceeded,
    TracingVendor,
    UnreadableResponse,
    Vendor,
)
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import BackendError, ImagenError, Unavailable, Unfinished

# 408 and 425 are about the request; with 499 Google and nginx report that a request was
# cancelled which may have begun.
_REFUSALS = frozenset(range(400, 500)) - {408, 425, 499}

Answer: TypeAlias = JobAccepted | JobSucceeded | JobFailed
"""The meaning of a successful response to a submit request."""


class UnknownState(Unfinished):
    """The response to the submit request does not say whether the job exists."""

    def __init__(self, message: str, *, hint: str, retry_after: float | None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Submission:
    """Sends the submit requests of one job, and decides what became of the job."""

    def __init__(
        self, vendor: Vendor, client: VendorClient, requests: JobRequests
    ) -> None:
        self._vendor = vendor
        self._client = client
        self._requests = requests

    def send(
        self,
        request: httpx.Request,
        *,
        repeated: bool,
        on_event: Callable[[str], None] | None = None,
    ) -> Answer:
        """Send the submit request, and return the meaning of the response.

        Args:
            request: The submit request.
            repeated: Whether the same request was sent before, under the same key.
            on_event: Called with each event, if the response is a stream of events.

        Raises:
            Unfinished: the job may exist.
            ImagenError: the job does not exist, or has ended.
        """
        try:
            with self.sending(repeated=repeated):
                response = self._client.send(request, creates=True, on_event=on_event)
            if response.ok:
                return self._read_answer(response)
            return self._reject(response, repeated=repeated)
        except Unfinished as error:
            if hasattr(self._vendor, "trace"):
                trace = cast("TracingVendor", self._vendor).trace(self._requests.key)
                error.args = (f"{error.message} {trace}",)
            raise

    @contextmanager
    def sending(self, *, repeated: bool) -> Generator[None, None, None]:
        """Decide what it means if the request was not sent."""
        try:
            yield
        except Unavailable as error:
            if repeated:
                name = self._client.name
                raise Unfinished(f"{name} may have accepted the job.") from error
            error.used = UNTOUCHED
            raise

    def _reject(self, response: HttpResponse, *, repeated: bool) -> NoReturn:
        """Raise the error for a response without success."""
        name, status = self._client.name, response.status
        error = self._client.to_error(response, self._vendor)
        refused = status in _REFUSALS | self._vendor.refuses_with
        # A refusal of a repeated request says nothing about the first one.
        if refused and not repeated:
            error.used = error.used or UNTOUCHED
            raise error
        if status in self._vendor.fails_with:
            raise ended_error(error)
        raise UnknownState(
            f"{name} may have accepted the job, but returned HTTP {status}.",
            hint=error.message,
            retry_after=self._client.retry_after(response),
        ) from error

    def _read_answer(self, response: HttpResponse) -> Answer:
        try:
            return _check_answer(self._vendor.submitted(self._requests.job, response))
        except Exception as error:
            # A success that cannot be read may come from a proxy, but also from the
            # vendor, which would then have accepted a job that costs money.
            raise Unfinished(
                f"{self._client.name} may have accepted the job, but its response is"
                f" invalid{_describe(error)}",
                hint=error.hint if isinstance(error, ImagenError) else "",
            ) from error


def ended_error(error: ImagenError) -> ImagenError:
    """Return the error of a job that has ended.

    An error that would allow a retry becomes a BackendError, unless the vendor file
    says that nothing was consumed.
    """
    if error.may_have_cost or error.used == UNTOUCHED:
        return error
    ended = BackendError(error.message, hint=error.hint, used=error.used)
    ended.__cause__ = error
    return ended


def _describe(error: Exception) -> str:
    if isinstance(error, ImagenError):
        return f": {error.message}"
    return f" ({type(error).__name__})."


def _check_answer(answer: Answer) -> Answer:
    if isinstance(answer, JobAccepted) and not answer.reference:
        raise UnreadableResponse("The response has no job id.")
    return answer
