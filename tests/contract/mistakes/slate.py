"""Generate images with Slate, an imaginary vendor, by a backend written by hand.

It is correct. `broken_backends.py` changes its text as an author would get it wrong.
"""

import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from io import BytesIO
from threading import Event, Lock, Thread
from time import monotonic
from typing import Annotated, Literal, TypeVar

import httpx
import msgspec
from PIL import Image

from imagen.backend import (
    UNTOUCHED,
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
    decode_options,
    quote_segment,
)

JOBS = "v1/jobs"
SUBMIT_TIMEOUT, READ_TIMEOUT = 60.0, 0.6
BUSY = 503  # Slate documents it as "not accepted"
PATIENCE = 60.0  # seconds for which a status or a file is asked for again
MODELS = ("slate-1", "slate-2")

T = TypeVar("T")


class SlateOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    base_url: str = "https://api.slate.example"
    api_key_env: str = "SLATE_API_KEY"


class Parameters(msgspec.Struct, frozen=True):
    grain: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    chalk: str = "white"


class Job(msgspec.Struct, frozen=True):
    id: str
    state: Literal["drawing", "done", "failed", "refused", "cancelled"] = "drawing"
    fraction: float = 0.0
    files: tuple[str, ...] = ()
    seed: int | None = None
    steps: int | None = None
    model: str = ""
    price_micros: int | None = None


class Listed(msgspec.Struct, frozen=True):
    id: str
    created: datetime
    request: dict[str, object]


class Bill(msgspec.Struct, frozen=True):
    micros: int | None = None


class Slate:
    def __init__(self, options: SlateOptions, context: BackendContext) -> None:
        self._base_url = options.base_url
        self._key = context.secrets.get("api_key_env")
        self._clock = context.clock
        self._lock = Lock()
        self._client: httpx.Client | None = None
        self._models: dict[str, Capabilities] = {}

    def __repr__(self) -> str:
        return "<backend for Slate>"

    def capabilities(self) -> Capabilities:
        return Capabilities(
            model="slate-1",
            models=MODELS,
            sizes=SizeRule(multiple=8, smallest=64, largest=2048),
            largest_seed=2**32 - 1,
            negative=True,
            steps=True,
            formats=("image/png", "image/webp"),
            parameters={"grain": "0 to 1", "chalk": "a colour"},
            references=2,
            mask=True,
            may_cost=True,
        )

    def prepare(self) -> None:
        self._open()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        body = self._body(job)
        context.sleep(0)
        reference = self._submit({**body, "files": _encode(job)}, context)
        context.accepted(reference)
        with self._cancelling(reference):
            return self._finish(reference, context)

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        with self._cancelling(reference):
            try:
                self._ask(_path(reference), context)
            except BackendError as error:
                raise Unfinished(f"Slate has no job {reference}.") from error
            return self._finish(reference, context)

    def find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        listed = self._decode(self._ask(JOBS, context), list[Listed])
        body = self._body(job)
        return tuple(
            each.id for each in listed if each.created >= since and each.request == body
        )

    def look_up_cost(self, reference: str, context: JobContext) -> Cost:
        content = self._ask(f"v1/bills/{quote_segment(reference)}", context)
        price = self._decode(content, Bill).micros
        return Cost() if price is None else Cost(micros=price, source="reported")

    def capabilities_of(self, model: str, context: JobContext) -> Capabilities:
        model = model or self.capabilities().model
        if model not in self._models:
            try:
                self._ask(f"v1/models/{quote_segment(model)}", context)
            except BackendError as error:
                raise InvalidRequest(f"Slate has no model {model!r}.") from error
            self._models[model] = self.capabilities()
        return self._models[model]

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        try:
            self._ask("v1/account", context)
        except Cancelled:
            raise
        except ImagenError as error:
            return (Readiness(name="Slate", ready=False, note=error.message),)
        return (Readiness(name="Slate", ready=True),)

    # Submission

    def _body(self, job: ImageJob) -> dict[str, object]:
        parameters = decode_options(job, Parameters, vendor="Slate")
        return {
            "prompt": job.prompt,
            "negative": job.negative,
            "width": job.size.width,
            "height": job.size.height,
            "seed": job.seed,
            "steps": job.steps,
            "model": job.model or "slate-1",
            "format": job.media_type or "image/png",
            "grain": parameters.grain,
            "chalk": parameters.chalk,
            "images": [image.sha256 for image in job.images],
            "mask": job.mask.sha256 if job.mask else None,
        }

    def _submit(self, body: dict[str, object], context: JobContext) -> str:
        call = _in_background(lambda: self._create(body))
        try:
            while not _is_done(call, within=0.02):
                context.sleep(0)
        except BaseException:
            call.add_done_callback(self._cancel_late)
            raise
        return call.result()

    def _create(self, body: dict[str, object]) -> str:
        """Send the submit request, and return the id of the job."""
        with _translate_errors(creates=True):
            response = self._send("POST", JOBS, body=body, timeout=SUBMIT_TIMEOUT)
        if not response.is_success:
            raise self._submit_error(response)
        try:
            return msgspec.json.decode(response.content, type=Job).id
        except ValueError as error:
            raise Unfinished("Slate may have accepted the job.") from error

    def _submit_error(self, response: httpx.Response) -> ImagenError:
        status = response.status_code
        maybe = status in {408, 425} or not 400 <= status < 500
        if maybe and status != BUSY:
            return Unfinished(f"Slate may have accepted the job (HTTP {status}).")
        error = self._error(response)
        error.used = UNTOUCHED
        return error

    def _cancel_late(self, call: Future[str]) -> None:
        """Cancel a job whose id arrives after the cancellation."""
        if call.exception() is None:
            self._ignore_errors(lambda: self._delete(call.result()))

    # The accepted job

    def _finish(self, reference: str, context: JobContext) -> Generated:
        job = self._wait(reference, context)
        price = job.price_micros
        images = [
            self._repeat(lambda file=file: self._download(file, job.seed), context)
            for file in job.files
        ]
        return Generated(
            images=tuple(images),
            model=job.model,
            steps=job.steps,
            cost=Cost() if price is None else Cost(micros=price, source="reported"),
        )

    def _wait(self, reference: str, context: JobContext) -> Job:
        while True:
            job = self._repeat(lambda: self._status(reference), context)
            context.progress(job.fraction, job.state)
            match job.state:
                case "done":
                    return job
                case "refused":
                    raise Refused("Slate refused the prompt.")
                case "failed" | "cancelled":
                    raise BackendError(f"Slate did not finish the job {reference}.")
            context.sleep(1)

    def _repeat(self, read: Callable[[], T], context: JobContext) -> T:
        """Read again while the read fails: the job exists, and it was paid for."""
        waited, pause = 0.0, 1.0
        while True:
            try:
                return read()
            except ImagenError as error:
                if waited > PATIENCE:
                    raise Unfinished(
                        "Slate cannot be read; the job exists.", hint=error.message
                    ) from error
            context.sleep(pause)
            waited, pause = waited + pause, min(10.0, pause * 2)

    def _status(self, reference: str) -> Job:
        return self._decode(self._read(_path(reference)), Job)

    def _download(self, file: str, seed: int | None) -> GeneratedImage:
        """Return one image; files need no key."""
        with _translate_errors():
            response = self._open().get(file)
        content, kind = response.content, response.headers.get("Content-Type", "")
        if not response.is_success or not _is_whole(content):
            raise Unavailable("The file cannot be downloaded now.")
        return GeneratedImage(content=content, media_type=kind, seed=seed)

    # Cancellation

    @contextmanager
    def _cancelling(self, reference: str) -> Iterator[None]:
        try:
            yield
        except Cancelled as stopped:
            raise self._cancel(reference, stopped) from stopped

    def _cancel(self, reference: str, stopped: Cancelled) -> Cancelled:
        """Cancel the job; return the exception, settled if the job has ended."""
        deadline, settled = monotonic() + 0.4, False
        while monotonic() < deadline and not settled:
            deleted = self._ignore_errors(lambda: self._delete(reference))
            settled = deleted and self._ignore_errors(lambda: self._ended(reference))
        return Cancelled(stopped.message, hint=stopped.hint, settled=settled)

    def _delete(self, reference: str) -> bool:
        return self._send("DELETE", _path(reference), timeout=0.3).is_success

    def _ended(self, reference: str) -> bool:
        return self._status(reference).state == "cancelled"

    def _ignore_errors(self, call: Callable[[], bool]) -> bool:
        try:
            return call()
        except (httpx.HTTPError, ImagenError, RuntimeError):  # or was closed
            Event().wait(0.1)  # the context raises at once when it is cancelled
            return False

    # HTTP

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    base_url=self._base_url, timeout=READ_TIMEOUT, verify=_trust()
                )
            return self._client

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, object] | None = None,
        timeout: float = READ_TIMEOUT,
    ) -> httpx.Response:
        """Send a request with the key, which only the API gets, not a file."""
        if not self._key:
            raise Unauthorized("There is no key for Slate.", hint="Set SLATE_API_KEY.")
        return self._open().request(
            method,
            path,
            json=body,
            headers={"X-Slate-Key": self._key},
            timeout=timeout,
        )

    def _ask(self, path: str, context: JobContext) -> bytes:
        """Read once; raise Cancelled if it was cancelled meanwhile."""
        context.sleep(0)
        try:
            return self._read(path)
        except ImagenError:
            context.sleep(0)
            raise

    def _read(self, path: str) -> bytes:
        with _translate_errors():
            response = self._send("GET", path)
        if not response.is_success:
            raise self._error(response)
        return response.content

    def _decode(self, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except ValueError as error:
            raise Unavailable("The response is not from Slate.") from error

    def _error(self, response: httpx.Response) -> ImagenError:
        match response.status_code:
            case 401 | 403:
                return Unauthorized("Slate does not accept the key.")
            case 402:
                return OutOfCredit("The account at Slate is empty.")
            case 422:
                return Refused("Slate refused the prompt.")
            case 429:
                seconds = self._seconds(response.headers.get("Retry-After", ""))
                return Throttled("Slate is rate limiting.", retry_after=seconds)
            case 500 | 502 | 503 | 504:
                return Unavailable("Slate is not available.")
            case status:
                return BackendError(f"Slate returned HTTP {status}.")

    def _seconds(self, retry_after: str) -> float | None:
        if retry_after.isdecimal():
            return float(retry_after)
        try:
            moment = parsedate_to_datetime(retry_after).astimezone(UTC)
        except ValueError:
            return None
        return max(0.0, (moment - self._clock.now()).total_seconds())


@cache
def _trust() -> ssl.SSLContext:
    """Return the trusted certificates; loading them takes longer than a request."""
    return ssl.create_default_context()


def _encode(job: ImageJob) -> dict[str, str]:
    """Return the reference images and the mask in Base64, by their hash."""
    files = (*job.images, job.mask)
    return {one.sha256: b64encode(one.content).decode() for one in files if one}


@contextmanager
def _translate_errors(*, creates: bool = False) -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        down = Unavailable("Slate was not reached.")
        down.used = UNTOUCHED
        raise down from error
    except httpx.HTTPError as error:
        if creates:
            raise Unfinished("Slate may have accepted the job.") from error
        raise Unavailable("Slate did not respond.") from error


def _in_background(work: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def _is_done(call: Future[str], *, within: float) -> bool:
    try:
        call.exception(timeout=within)
    except TimeoutError:
        return False
    return True


def _is_whole(content: bytes) -> bool:
    try:
        with Image.open(BytesIO(content)) as image:
            image.load()
    except (OSError, SyntaxError):
        return False
    return True


def _path(reference: str) -> str:
    return f"{JOBS}/{quote_segment(reference)}"


def create(options: SlateOptions, context: BackendContext) -> ImageBackend:
    return Slate(options, context)


adapter = Adapter(summary="Slate drawings.", options=SlateOptions, create=create)
