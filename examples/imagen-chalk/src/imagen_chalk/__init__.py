"""Draws with Chalk: submit, look until it is done, fetch."""

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

A_LOOK_EVERY = 1.0
LONGEST_READ = 0.9
"""Seconds for a look or a cancelling, so that cancelling ends within 2."""

LONGEST_SUBMISSION = 30.0
"""Seconds. It creates, and costs: cut off early, nobody would know whether it did."""

A_SLICE = 0.1
LAST_CHANCE = 1.0
"""Seconds in which a cancelled order may still be answered, to be cancelled there."""


class ChalkOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Chalk's own block of the config."""

    base_url: Annotated[str, msgspec.Meta(description="where Chalk is")] = (
        "https://api.chalk.example"
    )
    api_key_env: Annotated[
        str, msgspec.Meta(description="the environment variable that holds the key")
    ] = "CHALK_API_KEY"


class Wishes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `--set` may name."""

    mood: Literal["cheerful", "grave"] = "cheerful"


class Drawing(msgspec.Struct, frozen=True):
    """What Chalk says of a drawing."""

    id: str
    state: Literal["drawing", "done", "refused", "failed"]
    progress: float = 0.0
    seed: int | None = None
    price_micros: int | None = None


class ChalkBackend:
    """One account at Chalk."""

    def __init__(self, client: httpx.Client, *, has_key: bool) -> None:
        self._client = client
        self._has_key = has_key

    def __repr__(self) -> str:
        return f"ChalkBackend({str(self._client.base_url)!r})"

    def capabilities(self) -> Capabilities:
        """What the documentation of Chalk says."""
        return Capabilities(
            model="chalk-1",
            sizes=SizeRule(multiple=8, smallest=64, largest=2048),
            largest_seed=2**32 - 1,
            formats=("image/png",),
            parameters={"mood": "cheerful or grave"},
        )

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Submit, look until it is done, fetch."""
        order = _order(job)
        drawing = self._submit(order, context)
        context.accepted(drawing.id)
        try:
            while drawing.state == "drawing":
                context.progress(min(1.0, max(0.0, drawing.progress)), "drawing")
                context.sleep(A_LOOK_EVERY)
                drawing = self._look(drawing)
            return _generated(drawing, self._fetch(drawing, context))
        except Cancelled:
            self._cancel(drawing)
            raise

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Ask for the account, which costs nothing."""
        context.sleep(0)
        if not self._has_key:
            return (Readiness(name="key", ready=False, note="it is not set"),)
        try:
            answer = self._client.get("/v1/account")
        except httpx.HTTPError as error:
            note = f"Chalk did not answer ({type(error).__name__})"
            return (Readiness(name="account", ready=False, note=note),)
        note = "" if answer.is_success else str(_error(answer))
        return (Readiness(name="account", ready=answer.is_success, note=note),)

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _submit(self, order: dict[str, object], context: JobContext) -> Drawing:
        """Send the order in another thread, so that this one hears of a cancelling."""
        if not self._has_key:
            raise Unauthorized("The key for Chalk is not set.")
        answer: Future[Drawing] = Future()
        sending = Thread(target=self._send, args=(order, answer), daemon=True)
        sending.start()
        try:
            while not answer.done():
                sending.join(A_SLICE)
                if not answer.done():
                    context.sleep(0)
        except Cancelled:
            answer.add_done_callback(self._take_back)  # at once if it came meanwhile
            sending.join(LAST_CHANCE)
            raise
        return answer.result()

    def _send(self, order: dict[str, object], answer: Future[Drawing]) -> None:
        try:
            drawing = self._ordered(order)
        except Exception as error:  # noqa: BLE001 - raised where the answer is awaited
            answer.set_exception(error)
        else:
            answer.set_result(drawing)

    def _ordered(self, order: dict[str, object]) -> Drawing:
        try:
            answer = self._client.post(
                "/v1/drawings", json=order, timeout=LONGEST_SUBMISSION
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unavailable(f"Chalk was not reached: {error}.") from error
        except httpx.HTTPError as error:
            # It was sent, and the answer is lost: Chalk may be drawing all the same.
            raise Unfinished(
                "Chalk took the order, perhaps, and fell silent."
            ) from error
        if not answer.is_success:
            raise _error(answer)
        try:
            return msgspec.json.decode(answer.content, type=Drawing)
        except msgspec.DecodeError as error:
            raise Unfinished("Chalk took the order and made no sense.") from error

    def _take_back(self, answer: Future[Drawing]) -> None:
        if answer.exception() is None:
            self._cancel(answer.result())

    def _cancel(self, drawing: Drawing) -> None:
        with suppress(httpx.HTTPError, RuntimeError):  # the latter: it is closed
            self._client.delete(_path(drawing))

    def _look(self, drawing: Drawing) -> Drawing:
        """Look once; a look that fails is followed by the next one."""
        try:
            answer = self._client.get(_path(drawing))
            if (
                answer.is_server_error
                or answer.status_code == httpx.codes.TOO_MANY_REQUESTS
            ):
                return drawing
            if not answer.is_success:
                raise _lost(drawing)
            return msgspec.json.decode(answer.content, type=Drawing)
        except httpx.HTTPError:
            return drawing
        except msgspec.DecodeError as error:
            raise BackendError("Chalk's word on the drawing makes no sense.") from error

    def _fetch(self, drawing: Drawing, context: JobContext) -> bytes:
        if drawing.state == "refused":
            raise Refused("Chalk will not draw this.", hint="Change the prompt.")
        if drawing.state == "failed":
            raise BackendError("Chalk broke while it was drawing.")
        content = bytearray()
        try:
            with self._client.stream("GET", f"{_path(drawing)}/image") as answer:
                for chunk in answer.iter_bytes():
                    content += chunk
                    context.sleep(0)
        except httpx.HTTPError as error:
            raise _lost(drawing) from error
        if not answer.is_success:
            raise _lost(drawing)
        return bytes(content)


def _order(job: ImageJob) -> dict[str, object]:
    try:
        wishes = msgspec.convert(dict(job.options), Wishes)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"Chalk: {error}.", hint="See --set.") from error
    return {
        "prompt": job.prompt,
        "width": job.size.width,
        "height": job.size.height,
        "seed": job.seed,
        "mood": wishes.mood,
    }


def _generated(drawing: Drawing, content: bytes) -> Generated:
    image = GeneratedImage(content=content, media_type="image/png", seed=drawing.seed)
    known = drawing.price_micros is not None
    cost = Cost(micros=drawing.price_micros, source="reported") if known else Cost()
    return Generated(images=(image,), model="chalk-1", cost=cost)


def _error(answer: httpx.Response) -> ImagenError:
    """Translate a refused order; Chalk answers 5xx only before it takes one."""
    match answer.status_code:
        case 401 | 403:
            return Unauthorized("Chalk does not know the key.")
        case 402:
            return OutOfCredit("The account at Chalk is empty.")
        case 422:
            return Refused("Chalk will not draw this.", hint="Change the prompt.")
        case 429:
            asked = answer.headers.get("Retry-After", "")
            seconds = float(asked) if asked.isascii() and asked.isdigit() else None
            return Throttled("Chalk asks us to slow down.", retry_after=seconds)
        case 502 | 503:
            return Unavailable("Chalk is down.")
        case status:
            return BackendError(f"Chalk answered with status {status}.")


def _lost(drawing: Drawing) -> ImagenError:
    return Unfinished(f"Chalk drew {drawing.id}, but it could not be fetched.")


def _path(drawing: Drawing) -> str:
    return f"/v1/drawings/{quote(drawing.id, safe='')}"


def create(options: ChalkOptions, context: BackendContext) -> ImageBackend:
    """Build the backend; nothing is sent yet."""
    key = context.secrets.get("api_key_env")
    client = httpx.Client(
        base_url=options.base_url,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=LONGEST_READ,
        limits=httpx.Limits(max_connections=None),
    )
    return ChalkBackend(client, has_key=key is not None)


adapter = Adapter(
    summary="Chalk drawings, by an imaginary vendor.",
    options=ChalkOptions,
    create=create,
)
