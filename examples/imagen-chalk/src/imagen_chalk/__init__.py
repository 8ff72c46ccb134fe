"""Generate images with Chalk: submit a drawing, poll its status, download the image."""

from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Annotated, Literal
from urllib.parse import quote

import httpx
import msgspec

from imagen.backend import (
    Adapter,
    BackendContext,
    BackendError,
    Cancelled,
    Capabilities,
    Cost,
    Generated,
    GeneratedImage,
    ImageBackend,
    ImageJob,
    ImagenError,
    InvalidRequest,
    JobContext,
    OutOfCredit,
    Readiness,
    Refused,
    SizeRule,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)

POLL_INTERVAL = 1.0
"""Seconds between two status requests."""

# A cancelled job must stop within 2 s. The request in progress and the request that
# cancels the drawing take at most this long each.
READ_TIMEOUT = 0.9

# The submit request creates a drawing and costs money. Giving up early would leave it
# unknown whether Chalk accepted it, so this request may take much longer.
SUBMIT_TIMEOUT = 30.0

CANCEL_CHECK_INTERVAL = 0.1
"""Seconds between two checks for cancellation while the submit request runs."""

LATE_ANSWER_TIMEOUT = 1.0
"""Seconds to wait, after cancellation, for the id of the drawing to cancel."""


class ChalkOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The config block of a Chalk backend."""

    base_url: Annotated[str, msgspec.Meta(description="URL of the Chalk API")] = (
        "https://api.chalk.example"
    )
    api_key_env: Annotated[
        str, msgspec.Meta(description="environment variable that contains the API key")
    ] = "CHALK_API_KEY"


class ChalkParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters that `--set` accepts."""

    mood: Literal["cheerful", "grave"] = "cheerful"


class Drawing(msgspec.Struct, frozen=True):
    """A drawing as Chalk reports it."""

    id: str
    state: Literal["drawing", "done", "refused", "failed"]
    progress: float = 0.0
    seed: int | None = None
    price_micros: int | None = None


class ChalkBackend:
    """A backend for one Chalk account."""

    def __init__(self, client: httpx.Client, *, has_key: bool) -> None:
        self._client = client
        self._has_key = has_key

    def __repr__(self) -> str:
        return f"ChalkBackend({str(self._client.base_url)!r})"

    def capabilities(self) -> Capabilities:
        """Return the capabilities that Chalk documents."""
        return Capabilities(
            model="chalk-1",
            sizes=SizeRule(multiple=8, smallest=64, largest=2048),
            largest_seed=2**32 - 1,
            formats=("image/png",),
            parameters={"mood": "cheerful or grave"},
        )

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Submit the job, poll until it ends, and download the image."""
        body = _request_body(job)
        drawing = self._submit(body, context)
        # Report the id first: with it, a crash from here on loses nothing.
        context.accepted(drawing.id)
        try:
            while drawing.state == "drawing":
                context.progress(min(1.0, max(0.0, drawing.progress)), "drawing")
                context.sleep(POLL_INTERVAL)
                drawing = self._poll(drawing)
            return _generated(drawing, self._download(drawing, context))
        except Cancelled:
            self._cancel(drawing)
            raise

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Request the account, which costs nothing."""
        context.sleep(0)
        if not self._has_key:
            return (Readiness(name="key", ready=False, note="it is not set"),)
        try:
            response = self._client.get("/v1/account")
        except httpx.HTTPError as error:
            note = f"Chalk did not answer ({type(error).__name__})"
            return (Readiness(name="account", ready=False, note=note),)
        note = "" if response.is_success else str(_error(response))
        return (Readiness(name="account", ready=response.is_success, note=note),)

    def close(self) -> None:
        """Close the HTTP client."""
        self._client.close()

    def _submit(self, body: dict[str, object], context: JobContext) -> Drawing:
        """Send the submit request in a thread, so that cancellation is noticed."""
        if not self._has_key:
            raise Unauthorized(
                "The API key for Chalk is not set.",
                hint="Set the environment variable that `api_key_env` names.",
            )
        submitted: Future[Drawing] = Future()
        sender = Thread(target=self._send, args=(body, submitted), daemon=True)
        sender.start()
        try:
            while not submitted.done():
                sender.join(CANCEL_CHECK_INTERVAL)
                if not submitted.done():
                    context.sleep(0)
        except Cancelled:
            # Runs at once if the response has arrived in the meantime.
            submitted.add_done_callback(self._cancel_late)
            sender.join(LATE_ANSWER_TIMEOUT)
            raise
        return submitted.result()

    def _send(self, body: dict[str, object], submitted: Future[Drawing]) -> None:
        try:
            drawing = self._post(body)
        except Exception as error:  # noqa: BLE001 - raised again by `submitted.result`
            submitted.set_exception(error)
        else:
            submitted.set_result(drawing)

    def _post(self, body: dict[str, object]) -> Drawing:
        try:
            response = self._client.post(
                "/v1/drawings", json=body, timeout=SUBMIT_TIMEOUT
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            # No connection was opened, so nothing was sent and a retry is safe.
            raise Unavailable(f"Chalk cannot be reached: {error}.") from error
        except httpx.HTTPError as error:
            # The request was sent and the response was lost: a retry could pay twice.
            raise Unfinished(
                "Chalk may have accepted the drawing, but the connection was lost."
            ) from error
        if not response.is_success:
            raise _error(response)
        try:
            return msgspec.json.decode(response.content, type=Drawing)
        except msgspec.DecodeError as error:
            raise Unfinished(
                "Chalk accepted the drawing, but its response is invalid."
            ) from error

    def _cancel_late(self, submitted: Future[Drawing]) -> None:
        if submitted.exception() is None:
            self._cancel(submitted.result())

    def _cancel(self, drawing: Drawing) -> None:
        # RuntimeError: the client was closed before a late response arrived.
        with suppress(httpx.HTTPError, RuntimeError):
            self._client.delete(_path(drawing))

    def _poll(self, drawing: Drawing) -> Drawing:
        """Return the current status; the previous one while Chalk is unavailable."""
        try:
            response = self._client.get(_path(drawing))
            if (
                response.is_server_error
                or response.status_code == httpx.codes.TOO_MANY_REQUESTS
            ):
                return drawing
            if not response.is_success:
                raise _not_downloaded(drawing)
            return msgspec.json.decode(response.content, type=Drawing)
        except httpx.HTTPError:
            return drawing
        except msgspec.DecodeError as error:
            raise BackendError(
                f"Chalk returned an invalid status for the drawing {drawing.id}."
            ) from error

    def _download(self, drawing: Drawing, context: JobContext) -> bytes:
        if drawing.state == "refused":
            raise Refused("Chalk refused the prompt.", hint="Change the prompt.")
        if drawing.state == "failed":
            raise BackendError(f"Chalk failed to finish the drawing {drawing.id}.")
        content = bytearray()
        try:
            with self._client.stream("GET", f"{_path(drawing)}/image") as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    context.sleep(0)
        except httpx.HTTPError as error:
            raise _not_downloaded(drawing) from error
        if not response.is_success:
            raise _not_downloaded(drawing)
        return bytes(content)


def _request_body(job: ImageJob) -> dict[str, object]:
    try:
        parameters = msgspec.convert(dict(job.options), ChalkParameters)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"Invalid parameter for Chalk: {error}.", hint="Change the value of --set."
        ) from error
    return {
        "prompt": job.prompt,
        "width": job.size.width,
        "height": job.size.height,
        "seed": job.seed,
        "mood": parameters.mood,
    }


def _generated(drawing: Drawing, content: bytes) -> Generated:
    image = GeneratedImage(content=content, media_type="image/png", seed=drawing.seed)
    known = drawing.price_micros is not None
    cost = Cost(micros=drawing.price_micros, source="reported") if known else Cost()
    return Generated(images=(image,), model="chalk-1", cost=cost)


def _error(response: httpx.Response) -> ImagenError:
    # Chalk answers 5xx only before it accepts a drawing: a retry cannot pay twice.
    match response.status_code:
        case 401 | 403:
            return Unauthorized("Chalk rejected the API key.", hint="Check the key.")
        case 402:
            return OutOfCredit("The Chalk account has no credit.")
        case 422:
            return Refused("Chalk refused the prompt.", hint="Change the prompt.")
        case 429:
            wait = response.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isascii() and wait.isdigit() else None
            return Throttled(
                "Chalk is rate limiting requests (HTTP 429).", retry_after=seconds
            )
        case 502 | 503 as status:
            return Unavailable(f"Chalk is unavailable (HTTP {status}).")
        case status:
            return BackendError(f"Chalk answered with HTTP {status}.")


def _not_downloaded(drawing: Drawing) -> ImagenError:
    return Unfinished(f"The drawing {drawing.id} could not be downloaded from Chalk.")


def _path(drawing: Drawing) -> str:
    return f"/v1/drawings/{quote(drawing.id, safe='')}"


def create(options: ChalkOptions, context: BackendContext) -> ImageBackend:
    """Create the backend; no request is sent."""
    key = context.secrets.get("api_key_env")
    client = httpx.Client(
        base_url=options.base_url,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=READ_TIMEOUT,
        # imagen limits the jobs of a backend; a pool limit would only add timeouts.
        limits=httpx.Limits(max_connections=None),
    )
    return ChalkBackend(client, has_key=key is not None)


adapter = Adapter(
    summary="Chalk drawings, by an imaginary vendor.",
    options=ChalkOptions,
    create=create,
)
