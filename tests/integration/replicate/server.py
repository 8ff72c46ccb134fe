"""A Replicate of our own: its protocol on a real socket, trouble included.

    with ReplicateServer() as server:                  # 127.0.0.1, a port of its own
        client = Client(server.url)                    # with `server.token`
        server.trouble(accepts_then="drop", times=1)   # for the next prediction only
        server.spoil("/predictions", status=502, times=2)
        ...
        assert server.created == 1                     # predictions that were accepted
        assert server.paid == 1                        # those that cost
        server.calm()                                  # no more trouble

`PredictionTrouble` and `RequestTrouble` in `trouble.py` list all the trouble there is.
A prediction advances when it is polled: after two polls it is done; with
`seconds` it takes that long instead. Every accepted prediction costs, unless it fails,
or is cancelled before it began. Nothing happens by chance. `test_recordings.py` holds
its answers against recordings.
"""

import asyncio
import secrets
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from tests.integration.replicate.life import Prediction
from tests.integration.replicate.models import SKETCH, Model, models
from tests.integration.replicate.routes import Routes
from tests.integration.replicate.trouble import PredictionTrouble, RequestTrouble

TOKEN = "r8_test"
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class ReplicateServer:
    """A Replicate that does as it is told; see the module for how to use it."""

    def __init__(
        self,
        *,
        token: str = TOKEN,
        seconds: float = 0.0,
    ) -> None:
        self.token, self.host, self.port = token, "127.0.0.1", 0
        self.seconds, self.looks, self.page_size = seconds, 2, 100
        self.ahead = timedelta()
        """How far its clock is ahead of ours."""
        self.base = "/v1"
        self.models: dict[str, Model] = models()
        self.deployments = {"acme/studio": SKETCH}

        self.requests: list[Request] = []
        self.predictions: list[Prediction] = []
        self.served: list[bytes] = []
        self.files: dict[str, tuple[str, str, bytes]] = {}

        self.released = asyncio.Event()
        self._troubles: list[tuple[dict[str, Any], list[int]]] = []
        self._spoilt: list[tuple[RequestTrouble, list[int]]] = []
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="replicate", daemon=True
        )
        self._runner: web.AppRunner | None = None

    # Its life

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        self._on_loop(self._listen())
        return self

    def stop(self) -> None:
        """Stop the server, also in the middle of a request."""
        if not self._thread.is_alive():
            return
        self._on_loop(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://{self.host}:{self.port}{self.base}"

    @property
    def files_at(self) -> str:
        """Where it hands out what was made."""
        return f"http://{self.host}:{self.port}/out"

    # Trouble

    def trouble(self, *, times: int | None = None, **trouble: Any) -> None:
        """Order trouble for the predictions to come; see `PredictionTrouble`.

        With `times` for so many only. Where two orders name the same thing, the later
        one counts.
        """
        PredictionTrouble(**trouble)  # a word that it does not know is told here
        self._do(lambda: self.order_trouble(times=times, **trouble))

    def spoil(self, path: str, *, times: int | None = None, **trouble: Any) -> None:
        """Order trouble for requests to a path and below; see `RequestTrouble`."""
        self._do(lambda: self.order_spoiling(path, times=times, **trouble))

    def calm(self) -> None:
        """Take back all trouble that was ordered and did not happen yet."""
        self._do(self.forget_trouble)

    def end(self, number: int = 0, status: str = "succeeded") -> None:
        """End a prediction between two requests."""
        self._do(lambda: self.predictions[number].end(status))

    def release(self) -> None:
        """Send the answers that were `held`, and hold none from now on."""
        self._do(self.released.set)

    # What happened

    @property
    def created(self) -> int:
        """How many predictions were accepted."""
        return len(self.predictions)

    @property
    def paid(self) -> int:
        """How many of them cost."""
        return sum(prediction.paid for prediction in list(self.predictions))

    @property
    def looked(self) -> bool:
        """Whether a prediction was polled."""
        return any(prediction.looks for prediction in list(self.predictions))

    @property
    def fetched(self) -> list[Request]:
        """Every request for what was made."""
        return [
            request
            for request in list(self.requests)
            if request.path.startswith(("/out/", "/elsewhere/"))
        ]

    @property
    def orders(self) -> list[Request]:
        """Every request that was to create a prediction."""
        return [
            request
            for request in list(self.requests)
            if request.method == "POST" and request.path.endswith("predictions")
        ]

    def count(self, method: str, path: str) -> int:
        """Count the requests of a method to a path."""
        return len(self.asked(method, path))

    def asked(self, method: str, path: str) -> list[Request]:
        """List the requests of a method to exactly this path."""
        return [
            request
            for request in list(self.requests)
            if (request.method, request.path) == (method, path)
        ]

    def wait_until(
        self, condition: Callable[[], object], *, seconds: float = 60.0
    ) -> None:
        """Wait for something that the server does or is asked, without polling."""
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise TimeoutError(f"It did not come to that within {seconds} s.")

    # For its routes, which run on the loop

    def note(self) -> None:
        """Wake the threads in `wait_until`."""
        with self._changed:
            self._changed.notify_all()

    def note_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        named = {name.lower(): value for name, value in headers.items()}
        self.requests.append(Request(method, path, named, body))
        self.note()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def date(self) -> str:
        """This moment, as a header has it."""
        return format_datetime(self.now(), usegmt=True)

    def accept(
        self,
        model: Model,
        version: str,
        given: dict[str, Any],
        *,
        trouble: PredictionTrouble,
        deployment: str | None,
    ) -> Prediction:
        prediction = Prediction(
            id="".join(secrets.choice(LETTERS) for _ in range(26)),
            model=model,
            version=version,
            given=given,
            created=self.now(),
            trouble=trouble,
            files_at=self.files_at,
            deployment=deployment,
            looks_needed=self.looks,
            seconds=self.seconds,
        )
        self.predictions.append(prediction)
        self.note()
        return prediction

    def by_id(self, prediction_id: str) -> Prediction | None:
        found = (each for each in self.predictions if each.id == prediction_id)
        return next(found, None)

    def keep_file(self, name: str, kind: str, content: bytes) -> str:
        file_id = f"file-{len(self.files) + 1}"
        self.files[file_id] = name, kind, content
        return file_id

    def order_trouble(self, *, times: int | None = None, **trouble: Any) -> None:
        PredictionTrouble(**trouble)
        self._troubles.append((trouble, [] if times is None else [times]))

    def order_spoiling(
        self, path: str, *, times: int | None = None, **trouble: Any
    ) -> None:
        order = RequestTrouble(path=path, times=times, **trouble)
        self._spoilt.append((order, [] if times is None else [times]))

    def forget_trouble(self) -> None:
        self._troubles.clear()
        self._spoilt.clear()

    def trouble_of_prediction(self) -> PredictionTrouble:
        """Add up the trouble for the prediction that comes now."""
        wanted: dict[str, Any] = {}
        for order, left in self._troubles:
            if left and left[0] == 0:
                continue
            if left:
                left[0] -= 1
            wanted.update(order)
        return PredictionTrouble(**wanted)

    def trouble_of_request(self, method: str, path: str) -> RequestTrouble | None:
        """Find the trouble for the request that comes now."""
        for order, left in reversed(self._spoilt):
            if left and left[0] == 0:
                continue
            if order.method not in {None, method}:
                continue
            if path != order.path and not path.startswith(order.path + "/"):
                continue
            if left:
                left[0] -= 1
            return order
        return None

    # Inside

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _do(self, act: Callable[[], object]) -> None:
        async def run() -> None:
            act()
            self.note()

        self._on_loop(run())

    async def _listen(self) -> None:
        self._runner = web.AppRunner(
            Routes(self).app(), access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        listening = socket.create_server((self.host, self.port))
        self.port = listening.getsockname()[1]
        await web.SockSite(self._runner, listening).start()

    async def _end(self) -> None:
        self.released.set()
        if self._runner is not None:
            await self._runner.cleanup()
        # aiohttp forgets the handler of a client that has hung up.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
