"""What the routes share: the backends, the accounts, and the threads that work."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import TypeVar

import msgspec

from imagen import bootstrap
from imagen.bootstrap import Accounts, Door, Wish
from imagen.domain.call import Call
from imagen.domain.errors import Cancelled, ImagenError
from imagen.domain.events import Listener, unheard
from imagen.domain.history import HistoryEntry
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.ports.backend import CloseableBackend, ImageBackend
from imagen.server.answers import Made
from imagen.server.courier import Courier
from imagen.server.lane import Lane
from imagen.server.meters import Meters
from imagen.settings.environment import Environment
from imagen.settings.model import BackendSettings, Settings
from imagen.usecases.cancellation import Cancellation
from imagen.usecases.generate import GenerateImages
from imagen.usecases.numbering import Numbering
from imagen.usecases.resume import ResumeCalls

Result = TypeVar("Result")

AskFor = Callable[[GenerateImages], GenerationRequest]
"""Says what is asked for, once it is known who makes it; called in a thread."""


def unheeded(what: object) -> None:
    """Do nothing about it."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants made.

    Attributes:
        backend: The instance that makes it.
        ask: Says what.
        count: How many images.
        caller: Who wants it.
        wish: Where the files go.
        live: Whether previews are wanted, if the backend has them.
        listen: Hears what happens, from any thread.
        keep: Gets what becomes of each image, likewise, as soon as it is known.
        begun: Told of the calls that are about to be made; if it raises, none is.
    """

    backend: str
    ask: AskFor
    count: int = 1
    caller: str = ""
    wish: Wish = Wish()
    live: bool = False
    listen: Listener = unheard
    keep: Callable[[StoredImage | FailedImage], object] = unheeded
    begun: Callable[[Sequence[Call]], object] = unheeded


class Workshop:
    """Carries out orders, so many at once for each backend.

    Args:
        settings: The config.
        environment: Where secrets are.
        say: Tells whoever looks after the server.

    Attributes:
        began: When the server was started.
        meters: What is counted.
        secret: Signs URLs; the same after a restart.
        courier: Delivers what is owed to the cloud.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environment: Environment,
        say: Callable[[str], None] = unheeded,
    ) -> None:
        self.settings = settings
        self.environment = environment
        self._say = say
        self.began = bootstrap.now()
        self.meters = Meters()
        self.secret = bootstrap.server_secret(environment)
        self.accounts: Accounts = bootstrap.open_accounts(environment)
        self.caller = bootstrap.find_caller(environment)
        limits = settings.serve
        self.lanes = {
            name: Lane(name, at_once=limits.concurrency, waiting=limits.queue)
            for name in settings.backends
        }
        self._pool = ThreadPoolExecutor(
            limits.concurrency * len(self.lanes) + _SPARE_THREADS, "imagen"
        )
        self._backends: dict[str, ImageBackend] = {}
        self._numbering = Numbering()
        self._lock = Lock()
        self.courier = Courier(
            lambda listen: bootstrap.build_deliver(
                settings,
                environment=environment,
                accounts=self.accounts,
                listen=listen,
            ),
            say=self.say,
        )

    def say(self, words: str) -> None:
        """Tell whoever looks after the server, on one line."""
        self._say("".join(c if c.isprintable() else " " for c in words))

    async def carry_out(
        self, order: Order, cancellation: Cancellation
    ) -> GenerationReport:
        """Have it made, once it is its turn, and return what became of it.

        Raises:
            Failure: too many wait for the backend.
            ImagenError: as `GenerateImages.run` does.
        """
        async with self.lanes[order.backend]:
            return await self.in_thread(lambda: self._make(order, cancellation))

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Do what blocks, and let the others go on meanwhile."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, work)

    def find(self, name: str | None) -> BackendSettings:
        """Return an instance of the config, or its default one.

        Raises:
            InvalidRequest: there is none of that name.
        """
        return bootstrap.find_backend(self.settings, name)

    def backend(self, name: str) -> ImageBackend:
        """Return the one that is shared by all orders, built when first asked for."""
        with self._lock:
            if name not in self._backends:
                self._backends[name] = bootstrap.build_backend(
                    self.find(name), environment=self.environment
                )
            return self._backends[name]

    def find_images(self, ids: Sequence[str]) -> tuple[Made, ...]:
        """Return those of the images that are still what was stored."""
        found = (self.accounts.history.get(image_id) for image_id in ids)
        read = (read_image(entry) for entry in found if entry is not None)
        return tuple(image for image in read if image is not None)

    def resume(self, ids: Sequence[str]) -> None:
        """Finish calls that were left open, as far as that is possible now."""
        with self._resuming() as use_case:
            for call in self.accounts.journal.unfinished():
                if call.call.id in ids and not call.live:
                    use_case.run(call, cancellation=Cancellation())

    def resume_all(self) -> None:
        """Finish what a server before this one left open; whatever fails is said."""
        try:
            self._resume_all()
        except Exception as error:  # noqa: BLE001 - the server is there all the same
            self.say(f"what was left open stays so: {error}")

    def _resume_all(self) -> None:
        with self._resuming() as use_case:
            there = [
                call
                for call in self.accounts.journal.unfinished()
                if call.call.origin == ORIGIN and not call.live
            ]
            if there:
                self.say(f"{len(there)} calls were left open; asking for them")
            for resumed in use_case.outcomes(there, Cancellation()):
                for image in resumed.stored:
                    self.say(f"stored {image.location}")
                if resumed.error is not None:
                    self.say(f"{resumed.call_id}: {resumed.error}")

    def _resuming(self) -> AbstractContextManager[ResumeCalls]:
        return bootstrap.resuming(
            self.settings,
            environment=self.environment,
            accounts=self.accounts,
            listen=unheard,
        )

    def now(self) -> datetime:
        """Return this moment."""
        return bootstrap.now()

    def close(self) -> None:
        """Let go of connections and of the database."""
        self.courier.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for backend in self._backends.values():
            if isinstance(backend, CloseableBackend):
                backend.close()
        self.accounts.close()

    def _make(self, order: Order, cancellation: Cancellation) -> GenerationReport:
        chosen, backend = self.find(order.backend), self.backend(order.backend)
        can = backend.capabilities()
        priced = chosen.instance.price is not None
        use_case = bootstrap.build_generate(
            self.settings,
            chosen,
            backend,
            environment=self.environment,
            accounts=self.accounts,
            wish=order.wish,
            count=order.count,
            listen=order.listen,
            live=order.live and can.live,
            door=Door(
                caller=order.caller,
                origin=ORIGIN,
                begun=order.begun,
                here=True,
                for_good=priced or can.may_cost,
                numbering=self._numbering,
            ),
        )
        plan = use_case.plan(order.ask(use_case))
        stored: list[StoredImage] = []
        failed: list[FailedImage] = []
        for outcome in use_case.outcomes(plan, cancellation):
            order.keep(outcome)
            self.meters.count(order.backend, outcome)
            if isinstance(outcome, StoredImage):
                stored.append(outcome)
            else:
                failed.append(outcome)
                self._say_why(order, outcome.error)
        self.courier.wake()
        number = attrgetter("number")
        return GenerationReport(
            stored=tuple(sorted(stored, key=number)),
            failed=tuple(sorted(failed, key=number)),
        )

    def _say_why(self, order: Order, error: BaseException) -> None:
        """Have the server's log say what the client is not told."""
        if not isinstance(error, Cancelled):
            words = error.message if isinstance(error, ImagenError) else repr(error)
            self.say(f"{order.backend}: {words}")


ORIGIN = "serve"
"""How the journal calls what was asked for here."""

_SPARE_THREADS = 8
"""For what is quick, such as looking something up."""


def read_image(entry: HistoryEntry) -> Made | None:
    """Return the image; None if its file is gone, or something else by now."""
    try:
        content = Path(entry.location).read_bytes()
    except (OSError, ValueError):
        return None
    if sha256(content).hexdigest() != entry.sidecar.sha256:
        return None
    return Made(sidecar=entry.sidecar, content=content)
