"""A pool of worker processes that run requests, with events and cancellation."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TypeAlias

import msgspec

from imagen.bootstrap.runtime import count_processors
from imagen.domain.capabilities import Capabilities
from imagen.domain.money.budget import Budget
from imagen.engine.cancellation import Cancellation
from imagen.registry import find_adapter
from imagen.server.errors import ErrorResponse
from imagen.server.workers.messages import (
    HEAD,
    SIGNALS,
    Cancel,
    Done,
    LearnedCapabilities,
    Message,
    Ping,
    Ready,
    Run,
    SetBudgets,
    Update,
    UpdateMessage,
    decode_message,
    encode_message,
)
from imagen.server.workers.work_item import WorkItem
from imagen.settings.model import Settings

# One thread of Python runs at a time, so more jobs in one process wait for each other:
# before there were workers, a busy server used one core, however many there were.
JOBS_PER_WORKER = 2
"""Running jobs per worker above which another worker is started."""
MAX_WORKERS = 4
"""The default limit of worker processes; fewer with fewer cores."""
EXIT_TIMEOUT = 5.0
"""Seconds that an idle worker has to exit before it is killed."""
HEARTBEAT_INTERVAL = 10.0
"""Seconds between pings."""
MAX_UNANSWERED = 6
"""Pings without an answer after which a worker is killed.

Counted, not measured: a server that was stopped for a while must not kill its workers.
"""
START_TIMEOUT = 120.0
"""Seconds in which a new worker has to become ready."""

OnUpdate: TypeAlias = Callable[[Update], object]


class WorkerDied(ErrorResponse):
    """The worker that ran the job has died (502)."""

    def __init__(self) -> None:
        super().__init__(
            502,
            "The worker process that ran this request has died. The server resumes "
            "the request and stores images that were paid for. Look for them before "
            "you repeat the request.",
            code="interrupted",
        )


# concurrent.futures.ProcessPoolExecutor was not enough: when one process dies it fails
# the jobs of all others, a running job cannot be cancelled, and a job cannot report
# events or finished images before it returns.
class Workers:
    """Worker processes, started when needed up to a limit; of one event loop.

    Attributes:
        known: What each backend supports with a model ("": its default), as far as a
            worker has found out.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        log: Callable[[str], None],
        on_worker_died: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._log = log
        self._on_worker_died = on_worker_died
        self.known: dict[tuple[str, str], Capabilities] = {}
        self._workers: list[_WorkerProcess] = []
        self._failed_to_start = False
        self._max_workers = settings.serve.workers or min(
            MAX_WORKERS, count_processors()
        )
        self._multiprocess = {
            name: find_adapter(chosen.instance.adapter).multiprocess
            for name, chosen in settings.backends.items()
        }

    async def run(
        self, item: WorkItem, cancellation: Cancellation, on_update: OnUpdate
    ) -> None:
        """Run an item in a worker; `on_update` receives each image and event.

        Raises:
            WorkerDied: the outcome is unknown.
            ErrorResponse, ImagenError: nothing was sent to the backend.
        """
        await self._choose(item.backend).run(item, cancellation, on_update)

    async def close(self) -> None:
        """Let all idle workers exit; call it when no job is running."""
        await asyncio.gather(*(worker.close() for worker in self._workers))

    @property
    def available(self) -> bool:
        """True if a worker can run items and answers, or one can be started."""
        if not self._workers:
            return not self._failed_to_start
        return any(each.ready and each.unanswered <= 1 for each in self._workers)

    def kill(self) -> None:
        """Kill all workers at once."""
        for worker in self._workers:
            worker.kill()

    def replace_budgets(self, budgets: tuple[Budget, ...]) -> None:
        """Apply other budgets to the items from now on."""
        self._settings = msgspec.structs.replace(self._settings, budgets=budgets)
        for worker in self._workers:
            worker.send(SetBudgets(budgets))

    def _choose(self, backend: str) -> "_WorkerProcess":
        """Return the worker with the fewest jobs, and start another if all are busy."""
        first = self._workers[0] if self._workers else self.spawn()
        # Such a backend may hold a model in memory: one instance, in the first worker.
        if not self._multiprocess[backend]:
            return first
        ready = [worker for worker in self._workers if worker.ready] or [first]
        least_loaded = min(ready, key=lambda worker: worker.load)
        all_ready = len(self._workers) == len(ready)
        if (
            all_ready
            and least_loaded.load >= JOBS_PER_WORKER
            and len(ready) < self._max_workers
        ):
            try:
                self.spawn()
            except OSError as error:
                self._log(f"cannot start another worker: {error}")
        return least_loaded

    def spawn(self) -> "_WorkerProcess":
        """Start a worker."""
        worker = _WorkerProcess(
            self._settings, self._on_exit, known=self.known, log=self._log
        )
        self._workers.append(worker)
        return worker

    async def _on_exit(
        self, worker: "_WorkerProcess", reason: Exception | None
    ) -> None:
        self._workers.remove(worker)
        code = await worker.exit_code
        if reason is not None:
            self._log(f"a worker sent an invalid message and was killed: {reason!r}")
        self._log(f"a worker exited with code {code}; resuming its unfinished calls")
        self._on_worker_died()
        self._failed_to_start = not worker.ready
        if worker.was_silent and worker.ready and not self._workers:
            self.spawn()


class _PendingTask(msgspec.Struct, frozen=True):
    """A job that was sent to a worker."""

    on_update: OnUpdate
    done: asyncio.Future[None]

    def finish(self, error: BaseException | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class _WorkerProcess:
    """A worker process, seen from the server.

    Attributes:
        ready: True once it can run items.
        unanswered: The number of pings since its last message.
        was_silent: True if it was killed because it did not respond.
    """

    def __init__(
        self,
        settings: Settings,
        on_exit: "Callable[[_WorkerProcess, Exception | None], Awaitable[None]]",
        *,
        known: dict[tuple[str, str], Capabilities],
        log: Callable[[str], None],
    ) -> None:
        self.ready = False
        self._known = known
        self.unanswered = 0
        self.was_silent = False
        self._log = log
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[int, _PendingTask] = {}
        self._last_number = 0
        self._closing = False
        self._unsent: list[bytes] = [encode_message(settings)]
        self._writer: asyncio.StreamWriter | None = None
        server_end, worker_end = socket.socketpair()
        try:
            with worker_end, _signals_blocked():
                self._process = subprocess.Popen(  # noqa: S603 - imagen's own module
                    # Without -P a file such as `msgspec.py` in the folder where the
                    # server was started would be imported in place of the library.
                    [sys.executable, "-P", "-m", _MODULE, str(worker_end.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[worker_end.fileno()],
                )
        except BaseException:
            server_end.close()
            raise
        self.exit_code: asyncio.Future[int] = self._loop.create_future()
        Thread(target=self._wait_for_exit, name="worker", daemon=True).start()
        self._reader_task = asyncio.create_task(self._read_messages(server_end))
        self._timer = self._loop.call_later(START_TIMEOUT, self._kill_silent)

    @property
    def load(self) -> int:
        return len(self._tasks)

    async def run(
        self, item: WorkItem, cancellation: Cancellation, on_update: OnUpdate
    ) -> None:
        """Run an item, as `Workers.run` does."""
        self._last_number += 1
        number, done = self._last_number, self._loop.create_future()
        self._tasks[number] = _PendingTask(on_update, done)

        def cancel() -> None:
            self._loop.call_soon_threadsafe(self._cancel, number)

        try:
            self.send(Run(number, item))
            cancellation.on_cancel(cancel)
            await done
        finally:
            self._tasks.pop(number, None)

    async def close(self) -> None:
        """Let the process exit; kill it after `EXIT_TIMEOUT` seconds."""
        self._closing = True
        if self._writer is not None:
            self._writer.close()
        await asyncio.wait([self.exit_code], timeout=EXIT_TIMEOUT)
        self.kill()
        await self._reader_task

    def kill(self) -> None:
        self._process.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ping(self) -> None:
        """Ask for an answer, or kill a worker that has not answered for long.

        It is frozen, or in a library that lets no other thread run.
        """
        self._timer.cancel()
        if self.unanswered > MAX_UNANSWERED:
            self._kill_silent()
            return
        self.unanswered += 1
        self.send(Ping())
        self._timer = self._loop.call_later(HEARTBEAT_INTERVAL, self.ping)

    def _kill_silent(self) -> None:
        self.was_silent = True
        self._log("a worker did not respond and was killed")
        self.kill()

    def _cancel(self, number: int) -> None:
        if number in self._tasks:
            self.send(Cancel(number))

    def send(self, message: Message) -> None:
        """Send a message, now or as soon as the worker has connected."""
        if self._writer is None:
            self._unsent.append(encode_message(message))
        # A closing writer means that the worker died; `_read_messages` handles that.
        elif not self._writer.is_closing():
            self._writer.write(encode_message(message))

    async def _read_messages(self, server_end: socket.socket) -> None:
        reader, self._writer = await asyncio.open_unix_connection(
            sock=server_end, limit=_READ_BUFFER
        )
        for data in self._unsent:
            self._writer.write(data)
        self._unsent.clear()
        reason: Exception | None = None
        try:
            while True:
                [length] = HEAD.unpack(await reader.readexactly(HEAD.size))
                self._handle(decode_message(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, OSError):
            pass  # the worker has closed its end of the socket
        except Exception as error:  # noqa: BLE001 - the stream cannot be read further
            reason = error
        finally:
            self._timer.cancel()
            self._writer.close()
        if not self._closing:
            self._loop.call_later(_EXIT_GRACE, self.kill)
            await self._on_exit(self, reason)
        for task in self._tasks.values():
            task.finish(WorkerDied() if self.ready else _start_failed())

    def _wait_for_exit(self) -> None:
        # Runs in a thread, because Popen has no asynchronous wait.
        code = self._process.wait()
        with suppress(RuntimeError):  # the event loop is closed already
            self._loop.call_soon_threadsafe(self._set_exit_code, code)

    def _set_exit_code(self, code: int) -> None:
        if not self.exit_code.done():
            self.exit_code.set_result(code)
        # A process that the worker started may live on with the worker's end of the
        # socket: without this the requests of the dead worker hung forever.
        if self._writer is not None:
            self._loop.call_later(_EXIT_GRACE, self._writer.close)

    def _handle(self, message: Message) -> None:
        self.unanswered = 0
        match message:
            case Ready():
                self.ready = True
                self.ping()
            case LearnedCapabilities(backend=backend, model=model):
                self._known[backend, model] = message.capabilities
            case UpdateMessage(number=number, update=update) if number in self._tasks:
                self._tasks[number].on_update(update)
            case Done(number=number, error=error) if number in self._tasks:
                if message.last is not None:
                    self._tasks[number].on_update(message.last)
                self._tasks[number].finish(error)
            case _:
                pass


def _start_failed() -> ErrorResponse:
    return ErrorResponse(
        503,
        "The worker process could not start; nothing was sent to the backend.",
        code="unavailable",
        retry_after=5,
    )


@contextmanager
def _signals_blocked() -> Generator[None]:
    """Block SIGINT and SIGTERM in child processes until they can ignore them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_MODULE = "imagen.server.workers.process"
_READ_BUFFER = 1 << 20
# Seconds for the last messages and log lines of a process that exits.
_EXIT_GRACE = 1.0
