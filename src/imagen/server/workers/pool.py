"""The processes that carry out orders, and what each of them has to do."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Thread
from typing import TypeAlias

from imagen.bootstrap.runtime import count_processors
from imagen.domain.events import Listener
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.engine.cancellation import Cancellation
from imagen.registry import find_adapter
from imagen.server.errors import ErrorResponse
from imagen.server.workers.messages import (
    HEAD,
    SIGNALS,
    Cancel,
    Done,
    EventMessage,
    Message,
    Ready,
    ResultMessage,
    Run,
    Setup,
    decode_message,
    encode_message,
)
from imagen.server.workers.work_item import WorkItem
from imagen.settings.model import Settings

JOBS_PER_WORKER = 2
"""Orders that a process works on at once before another one is started: one thread of
Python runs at a time, so more of them in one process wait for each other."""
MAX_WORKERS = 4
"""Processes, where the config names no number; fewer where there are fewer cores."""
EXIT_TIMEOUT = 5.0
"""Seconds for one that has nothing to do any more to end."""


class WorkerDied(ErrorResponse):
    """The process that carried out the order is gone."""

    def __init__(self) -> None:
        super().__init__(
            502,
            "The part of the server that made this has died. What was paid for is "
            "asked for and kept; do not repeat it before you have looked.",
            type="server_error",
            code="interrupted",
        )


class WorkerStartFailed(ErrorResponse):
    """The process that was to carry out the order ended before it could begin."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "The part of the server that makes images did not start; nothing was sent.",
            type="server_error",
            code="unavailable",
            retry_after=5,
        )


class Workers:
    """As many as are needed, up to the config's number; of one event loop.

    Args:
        settings: The config.
        say: Tells whoever looks after the server.
        died: Called when one has died, from the event loop.
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
        self._workers: list[_WorkerProcess] = []
        self._max_workers = settings.serve.workers or min(
            MAX_WORKERS, count_processors()
        )
        self._multiprocess = {
            name: find_adapter(chosen.instance.adapter).multiprocess
            for name, chosen in settings.backends.items()
        }

    def start(self) -> None:
        """Have the first one get ready."""
        self._spawn()

    async def run(
        self,
        item: WorkItem,
        cancellation: Cancellation,
        *,
        listen: Listener,
        on_outcome: Callable[[StoredImage | FailedImage], object],
    ) -> GenerationReport:
        """Have an order carried out, and return what became of it.

        Args:
            order: What to make.
            cancellation: Ends it.
            listen: Hears what happens.
            keep: Gets what becomes of each image, as soon as it is known.

        Raises:
            WorkerDied: nobody knows.
            Failure, ImagenError: nothing was sent.
        """
        return await self._choose(item.backend).run(
            item, cancellation, listen=listen, on_outcome=on_outcome
        )

    async def close(self) -> None:
        """Have all of them end, once nothing is left to do."""
        await asyncio.gather(*(worker.close() for worker in self._workers))

    def kill(self) -> None:
        """End all of them at once, whatever they do."""
        for worker in self._workers:
            worker.kill()

    def _choose(self, backend: str) -> "_WorkerProcess":
        """Return the one with least to do; the first, of what is to be there once."""
        first = self._workers[0] if self._workers else self._spawn()
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
                self._spawn()
            except OSError as error:
                self._log(f"no further worker can be started: {error}")
        return least_loaded

    def _spawn(self) -> "_WorkerProcess":
        worker = _WorkerProcess(self._settings, on_exit=self._on_exit)
        self._workers.append(worker)
        return worker

    async def _on_exit(
        self, worker: "_WorkerProcess", reason: Exception | None
    ) -> None:
        self._workers.remove(worker)
        code = await worker.exit_code
        if reason is not None:
            self._log(f"a worker said what makes no sense, and was ended: {reason!r}")
        self._log(f"a worker has died with {code}; what it left open is asked for")
        self._on_worker_died()


class _PendingTask:
    """An order in the hands of a worker."""

    def __init__(
        self,
        listen: Listener,
        on_outcome: Callable[[StoredImage | FailedImage], object],
    ) -> None:
        self.listen = listen
        self.on_outcome = on_outcome
        self.outcomes: list[StoredImage | FailedImage] = []
        self.report: asyncio.Future[GenerationReport]
        self.report = asyncio.get_running_loop().create_future()

    def add(self, outcome: StoredImage | FailedImage) -> None:
        self.outcomes.append(outcome)
        self.on_outcome(outcome)

    def finish(self, error: BaseException | None) -> None:
        if self.report.done():
            return
        if error is not None:
            self.report.set_exception(error)
            return
        outcomes = sorted(self.outcomes, key=lambda outcome: outcome.number)
        self.report.set_result(
            GenerationReport(
                stored=tuple(one for one in outcomes if isinstance(one, StoredImage)),
                failed=tuple(one for one in outcomes if isinstance(one, FailedImage)),
            )
        )


class _WorkerProcess:
    """One process, from here."""

    def __init__(self, settings: Settings, *, on_exit: "_OnExit") -> None:
        self.ready = False
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[int, _PendingTask] = {}
        self._last_number = 0
        self._closing = False
        self._unsent: list[bytes] = [encode_message(Setup(settings))]
        self._writer: asyncio.StreamWriter | None = None
        server_end, worker_end = socket.socketpair()
        try:
            with worker_end, _signals_blocked():
                self._process = subprocess.Popen(  # noqa: S603 - a program of ours
                    # Without -P whatever lies in the folder where the server was
                    # started would be imported in place of what is installed.
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

    @property
    def load(self) -> int:
        """How many orders it works on."""
        return len(self._tasks)

    async def run(
        self,
        item: WorkItem,
        cancellation: Cancellation,
        *,
        listen: Listener,
        on_outcome: Callable[[StoredImage | FailedImage], object],
    ) -> GenerationReport:
        """Have it carried out."""
        self._last_number += 1
        number, task = self._last_number, _PendingTask(listen, on_outcome)
        self._tasks[number] = task
        try:
            self._send(Run(number, item))
            cancellation.then(partial(self._cancel, number))
            return await task.report
        finally:
            self._tasks.pop(number, None)

    async def close(self) -> None:
        """Have it end; it is made to, if it does not."""
        self._closing = True
        if self._writer is not None:
            self._writer.close()
        await asyncio.wait([self.exit_code], timeout=EXIT_TIMEOUT)
        self.kill()
        await self._reader_task

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def _cancel(self, number: int) -> None:
        def cancel() -> None:
            if number in self._tasks:
                self._send(Cancel(number))

        self._loop.call_soon_threadsafe(cancel)

    def _send(self, message: Message) -> None:
        if self._writer is None:
            self._unsent.append(encode_message(message))
        elif not self._writer.is_closing():  # else it is about to be found dead
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
            pass  # it is over
        except Exception as error:  # noqa: BLE001 - what follows cannot be heard
            reason = error
        finally:
            self._writer.close()
        if not self._closing:
            self._loop.call_later(_EXIT_GRACE, self.kill)  # whatever is left of it
            await self._on_exit(self, reason)
        for task in self._tasks.values():
            task.finish(WorkerDied() if self.ready else WorkerStartFailed())

    def _wait_for_exit(self) -> None:
        """Wait for its end, in a thread."""
        code = self._process.wait()
        with suppress(RuntimeError):  # the server was over before
            self._loop.call_soon_threadsafe(self._set_exit_code, code)

    def _set_exit_code(self, code: int) -> None:
        if not self.exit_code.done():
            self.exit_code.set_result(code)
        # What it started itself may live on and have its end of the socket.
        if self._writer is not None:
            self._loop.call_later(_EXIT_GRACE, self._writer.close)

    def _handle(self, message: Message) -> None:
        match message:
            case Ready():
                self.ready = True
            case EventMessage(number=number, event=event) if number in self._tasks:
                self._tasks[number].listen(event)
            case ResultMessage(number=number, outcome=outcome) if number in self._tasks:
                self._tasks[number].add(outcome)
            case Done(number=number, error=error) if number in self._tasks:
                self._tasks[number].finish(error)
            case _:
                pass


@contextmanager
def _signals_blocked() -> Generator[None]:
    """Have what is started meanwhile hear no signal before it can ignore them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_MODULE = "imagen.server.workers.process"
_READ_BUFFER = 1 << 20
_EXIT_GRACE = 1.0
"""Seconds for what a process says before its end to be heard, or be in the log."""
_OnExit: TypeAlias = Callable[[_WorkerProcess, Exception | None], Awaitable[None]]
