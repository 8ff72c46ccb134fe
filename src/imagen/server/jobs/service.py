"""What the routes share: the backends, the accounts, and whoever works."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Thread
from typing import TypeVar

from imagen.bootstrap.cloud import build_delivery
from imagen.bootstrap.generation import build_resume
from imagen.bootstrap.library import read_stored_image
from imagen.bootstrap.runtime import Runtime, find_caller, load_server_secret
from imagen.domain.errors import Cancelled, ImagenError
from imagen.domain.events import Event, Listener, Warned, ignore_event
from imagen.domain.history import HistoryEntry
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.engine.cancellation import Cancellation
from imagen.ports.backend import ImageBackend
from imagen.server.jobs.backend_queue import BackendQueue
from imagen.server.jobs.cloud_sync import BackgroundSync
from imagen.server.jobs.results import StoredOutput
from imagen.server.metrics import Metrics
from imagen.server.workers.pool import Workers
from imagen.server.workers.work_item import ORIGIN, WorkItem
from imagen.settings.environment import Environment
from imagen.settings.model import BackendSettings, Settings
from imagen.usecases.resume import ResumeCalls

Result = TypeVar("Result")


def ignore_change(words: str) -> None:
    """Tell nobody."""


class ServerContext:
    """Carries out orders, so many at once for each backend.

    Args:
        settings: The config.
        environment: Where secrets are.
        say: Tells whoever looks after the server.

    Attributes:
        began: When the server was started.
        meters: What is counted.
        secret: Signs URLs; the same after a restart.
        runtime: The settings, stores and backends of this process.
        workers: The processes that carry them out.
        courier: Delivers what is owed to the cloud.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environment: Environment,
        say: Callable[[str], None] = ignore_change,
    ) -> None:
        self.settings = settings
        self.environment = environment
        self._say = say
        self.runtime = Runtime(environment, settings=settings)
        self.began = self.now()
        self.meters = Metrics()
        self.secret = load_server_secret(environment)
        self.accounts = self.runtime.stores
        self.caller = find_caller(environment)
        limits = settings.serve
        self.lanes = {
            name: BackendQueue(name, at_once=limits.concurrency, waiting=limits.queue)
            for name in settings.backends
        }
        self._pool = ThreadPoolExecutor(_THREADS, "imagen")
        self.workers = Workers(settings, say=self.say, died=self._resume_soon)
        self.courier = BackgroundSync(
            lambda listen: build_delivery(self.runtime, listen=listen),
            say=self.say,
        )

    def say(self, words: str) -> None:
        """Tell whoever looks after the server, on one line."""
        self._say("".join(c if c.isprintable() else " " for c in words))

    async def carry_out(
        self,
        order: WorkItem,
        cancellation: Cancellation,
        *,
        listen: Listener,
        keep: Callable[[StoredImage | FailedImage], object],
    ) -> GenerationReport:
        """Have it made, once it is its turn, and return what became of it.

        Args:
            order: What to make.
            cancellation: Ends it.
            listen: Hears what happens.
            keep: Gets what becomes of each image, as soon as it is known.

        Raises:
            Failure: too many wait for the backend, or a worker has died.
            ImagenError: as `GenerateImages.run` does.
        """

        def hear(event: Event) -> None:
            if isinstance(event, Warned):
                self.say(f"{order.backend}: {event.message}")
            listen(event)

        def count(outcome: StoredImage | FailedImage) -> None:
            self.meters.count(order.backend, outcome)
            if isinstance(outcome, FailedImage):
                self._say_why(order, outcome.error)
            keep(outcome)

        async with self.lanes[order.backend]:
            report = await self.workers.make(
                order, cancellation, listen=hear, keep=count
            )
        self.courier.wake()
        return report

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Do what blocks, and let the others go on meanwhile."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, work)

    def find(self, name: str | None) -> BackendSettings:
        """Return an instance of the config, or its default one.

        Raises:
            InvalidRequest: there is none of that name.
        """
        return self.runtime.find_backend(name)

    def backend(self, name: str) -> ImageBackend:
        """Return one to ask what it can do; workers have theirs."""
        return self.runtime.get_backend(name)

    def find_images(self, ids: Sequence[str]) -> tuple[StoredOutput, ...]:
        """Return those of the images that are still what was stored."""
        found = (self.accounts.history.get(image_id) for image_id in ids)
        read = (read_image(entry) for entry in found if entry is not None)
        return tuple(image for image in read if image is not None)

    def resume(self, ids: Sequence[str]) -> None:
        """Finish calls that were left open, as far as that is possible now."""
        use_case = self._build_resume()
        for call in self.accounts.journal.list_open():
            if call.call.id in ids and not call.live:
                use_case.run(call, cancellation=Cancellation())

    def resume_all(self) -> None:
        """Finish what a server before this one left open; whatever fails is said."""
        try:
            self._resume_all()
        except Exception as error:  # noqa: BLE001 - the server is there all the same
            self.say(f"what was left open stays so: {error}")

    def _resume_all(self) -> None:
        use_case = self._build_resume()
        there = [
            call
            for call in self.accounts.journal.list_open()
            if call.call.origin == ORIGIN and not call.live
        ]
        if there:
            self.say(f"{len(there)} calls were left open; asking for them")
        for resumed in use_case.outcomes(there, Cancellation()):
            for image in resumed.stored:
                self.say(f"stored {image.location}")
            if resumed.error is not None:
                self.say(f"{resumed.call_id}: {resumed.error}")

    def _build_resume(self) -> ResumeCalls:
        return build_resume(self.runtime, listen=ignore_event)

    def now(self) -> datetime:
        """Return this moment."""
        return self.runtime.clock.now()

    def start(self) -> None:
        """Finish what was left open, and have the first worker get ready."""
        self.workers.start()
        self.courier.start()
        self._resume_soon()

    async def close(self) -> None:
        """Let go of workers, connections and the database."""
        await self.workers.close()
        self.courier.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.runtime.close()

    def _resume_soon(self) -> None:
        # A thread of its own, for nobody waits for it.
        Thread(target=self.resume_all, name="resume", daemon=True).start()

    def _say_why(self, order: WorkItem, error: BaseException) -> None:
        """Have the server's log say what the client is not told."""
        if not isinstance(error, Cancelled):
            words = error.message if isinstance(error, ImagenError) else repr(error)
            self.say(f"{order.backend}: {words}")


_THREADS = 16
"""For what is quick, such as looking something up."""


def read_image(entry: HistoryEntry) -> StoredOutput | None:
    """Return the image; None if its file is gone, or something else by now."""
    content = read_stored_image(entry)
    return (
        None
        if content is None
        else StoredOutput(sidecar=entry.sidecar, content=content)
    )
