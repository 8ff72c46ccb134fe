"""The state that all routes share: queues, workers, stores, metrics."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import TypeVar

import msgspec

from imagen.bootstrap.generation import build_resume
from imagen.bootstrap.library import read_stored_image
from imagen.bootstrap.runtime import Runtime, find_caller, load_server_secret
from imagen.domain.errors import ImagenError
from imagen.domain.money.budget import Budget
from imagen.domain.printable import escape_control
from imagen.domain.sidecar import Sidecar
from imagen.engine.cancellation import Cancellation
from imagen.server.jobs.backend_queue import BackendQueue
from imagen.server.jobs.cloud_sync import BackgroundSync
from imagen.server.jobs.job import StoredOutput
from imagen.server.metrics import Metrics
from imagen.server.workers.messages import to_picklable
from imagen.server.workers.pool import Workers
from imagen.server.workers.work_item import ORIGIN
from imagen.settings.environment import Environment
from imagen.settings.model import Settings

Result = TypeVar("Result")


class ServerContext:
    """The queues, workers and stores of one server.

    Attributes:
        runtime: Settings, stores and backends of this process.
        secret: Signs URLs and sessions; the same after a restart.
        caller: The caller's name where no key is required.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environment: Environment,
        log: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self._log = log
        self.runtime = Runtime(environment, settings=settings)
        self.started_at = self.now()
        self.metrics = Metrics()
        self.secret = load_server_secret(environment)
        self.stores = self.runtime.stores
        self.caller = find_caller(environment)
        limits = settings.serve
        self.queues = {
            name: BackendQueue(
                name, concurrency=limits.concurrency, waiting=limits.queue
            )
            for name in settings.backends
        }
        self._threads = ThreadPoolExecutor(_MAX_THREADS, "imagen")
        self._slow_threads = ThreadPoolExecutor(_MAX_SLOW_THREADS, "slow")
        self.workers = Workers(settings, log=self.log, on_worker_died=self._resume_soon)
        self.cloud_sync = BackgroundSync(self.runtime, log=self.log)

    def log(self, text: str) -> None:
        """Write one line to the log; control characters are escaped."""
        self._log(escape_control(text))

    async def in_thread(
        self, work: Callable[[], Result], *, slow: bool = False
    ) -> Result:
        """Run a blocking function in a thread and return its result.

        Args:
            slow: Whether it may wait for a backend; it does not delay quick ones then.
        """
        loop = asyncio.get_running_loop()
        threads = self._slow_threads if slow else self._threads
        return await loop.run_in_executor(threads, _run_contained, work)

    def replace_budgets(self, budgets: tuple[Budget, ...]) -> None:
        """Apply other budgets to the requests from now on."""
        self.settings = msgspec.structs.replace(self.settings, budgets=budgets)
        self.runtime.replace_budgets(budgets)
        self.workers.replace_budgets(budgets)

    def find_images(self, ids: Sequence[str]) -> tuple[StoredOutput, ...]:
        """Return the images whose files are unchanged since they were stored."""
        found = (self.stores.history.get(image_id) for image_id in ids)
        return tuple(
            StoredOutput(sidecar=entry.sidecar, content=content)
            for entry in found
            if entry is not None and (content := read_stored_image(entry)) is not None
        )

    def has_file(self, sidecar: Sidecar) -> bool:
        """Return True if the history knows the image, and its file has the size."""
        try:
            entry = self.stores.history.get(sidecar.id)
            return entry is not None and Path(entry.location).stat().st_size == (
                sidecar.bytes
            )
        except (ImagenError, OSError, ValueError):
            return False

    def resume(self, ids: Sequence[str]) -> None:
        """Resume these unfinished calls, as far as that is possible now."""
        use_case = build_resume(self.runtime)
        for call in self.stores.journal.list_open():
            if call.call.id in ids and not call.live:
                use_case.run(call, cancellation=Cancellation())

    def _resume_all(self) -> None:
        """Resume unfinished calls of earlier servers and dead workers."""
        use_case = build_resume(self.runtime)
        open_calls = [
            call
            for call in self.stores.journal.list_open()
            if call.call.origin == ORIGIN and not call.live
        ]
        if open_calls:
            self.log(f"resuming {len(open_calls)} unfinished calls")
        for resumed in use_case.outcomes(open_calls, Cancellation()):
            for image in resumed.stored:
                for each in (image, *image.extras):
                    self.log(f"stored {each.location}")
            if resumed.error is not None:
                self.log(f"{resumed.call_id}: {resumed.error}")

    def now(self) -> datetime:
        """Return the current time."""
        return self.runtime.clock.now()

    def start(self) -> None:
        """Start the first worker and the cloud sync, and resume unfinished calls."""
        self.workers.spawn()
        self.cloud_sync.start()
        self._resume_soon()

    async def close(self) -> None:
        """Close workers, connections and the database."""
        await self.workers.close()
        self.cloud_sync.close()
        for threads in (self._threads, self._slow_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        self.runtime.close()

    def _resume_soon(self) -> None:
        def resume() -> None:
            try:
                self._resume_all()
            except Exception as error:  # noqa: BLE001 - the server works without it
                self.log(f"could not resume unfinished calls: {error}")

        # Not in the pool: it can take minutes, and would delay quick lookups.
        Thread(target=resume, name="resume", daemon=True).start()


# For quick lookups in SQLite and reading files; requests run in the workers.
_MAX_THREADS = 16
# For interrupted requests, which wait until the backend has finished their jobs.
_MAX_SLOW_THREADS = 64


def _run_contained(work: Callable[[], Result]) -> Result:
    # asyncio cannot pass a StopIteration through a future, so that the request would
    # hang; a SystemExit or a KeyboardInterrupt of an adapter would end the server.
    try:
        return work()
    except (StopIteration, SystemExit, KeyboardInterrupt) as error:
        raise to_picklable(error) from error
