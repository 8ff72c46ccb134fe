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
    Ready,
    ResultMessage,
    Run,
    Setup,
    Word,
    decode_message,
    encode_message,
)
from imagen.server.workers.work_item import WorkItem
from imagen.settings.model import Settings

ENOUGH = 2
"""Orders that a process works on at once before another one is started: one thread of
Python runs at a time, so more of them in one process wait for each other."""
MOST = 4
"""Processes, where the config names no number; fewer where there are fewer cores."""
PATIENCE = 5.0
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
        say: Callable[[str], None],
        died: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._say = say
        self._died = died
        self._all: list[_WorkerProcess] = []
        self._most = settings.serve.workers or min(MOST, count_processors())
        self._multiprocess = {
            name: find_adapter(chosen.instance.adapter).multiprocess
            for name, chosen in settings.backends.items()
        }

    def start(self) -> None:
        """Have the first one get ready."""
        self._hire()

    async def make(
        self,
        order: WorkItem,
        cancellation: Cancellation,
        *,
        listen: Listener,
        keep: Callable[[StoredImage | FailedImage], object],
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
        return await self._choose(order.backend).make(
            order, cancellation, listen=listen, keep=keep
        )

    async def close(self) -> None:
        """Have all of them end, once nothing is left to do."""
        await asyncio.gather(*(worker.close() for worker in self._all))

    def kill(self) -> None:
        """End all of them at once, whatever they do."""
        for worker in self._all:
            worker.kill()

    def _choose(self, backend: str) -> "_WorkerProcess":
        """Return the one with least to do; the first, of what is to be there once."""
        first = self._all[0] if self._all else self._hire()
        if not self._multiprocess[backend]:
            return first
        ready = [worker for worker in self._all if worker.ready] or [first]
        least = min(ready, key=lambda worker: worker.load)
        hired = len(self._all) == len(ready)
        if hired and least.load >= ENOUGH and len(ready) < self._most:
            try:
                self._hire()
            except OSError as error:
                self._say(f"no further worker can be started: {error}")
        return least

    def _hire(self) -> "_WorkerProcess":
        worker = _WorkerProcess(self._settings, lost=self._lose)
        self._all.append(worker)
        return worker

    async def _lose(self, worker: "_WorkerProcess", trouble: Exception | None) -> None:
        self._all.remove(worker)
        code = await worker.ended
        if trouble is not None:
            self._say(f"a worker said what makes no sense, and was ended: {trouble!r}")
        self._say(f"a worker has died with {code}; what it left open is asked for")
        self._died()


class _PendingTask:
    """An order in the hands of a worker."""

    def __init__(
        self,
        listen: Listener,
        keep: Callable[[StoredImage | FailedImage], object],
    ) -> None:
        self.listen = listen
        self.keep = keep
        self.outcomes: list[StoredImage | FailedImage] = []
        self.over: asyncio.Future[GenerationReport]
        self.over = asyncio.get_running_loop().create_future()

    def take(self, outcome: StoredImage | FailedImage) -> None:
        self.outcomes.append(outcome)
        self.keep(outcome)

    def end(self, refused: BaseException | None) -> None:
        if self.over.done():
            return
        if refused is not None:
            self.over.set_exception(refused)
            return
        made = sorted(self.outcomes, key=lambda outcome: outcome.number)
        self.over.set_result(
            GenerationReport(
                stored=tuple(one for one in made if isinstance(one, StoredImage)),
                failed=tuple(one for one in made if isinstance(one, FailedImage)),
            )
        )


class _WorkerProcess:
    """One process, from here."""

    def __init__(self, settings: Settings, *, lost: "_Lost") -> None:
        self.ready = False
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._errands: dict[int, _PendingTask] = {}
        self._last = 0
        self._closing = False
        self._words: list[bytes] = [encode_message(Setup(settings))]
        self._writer: asyncio.StreamWriter | None = None
        ours, theirs = socket.socketpair()
        try:
            with theirs, _deaf():
                self._process = subprocess.Popen(  # noqa: S603 - a program of ours
                    # Without -P whatever lies in the folder where the server was
                    # started would be imported in place of what is installed.
                    [sys.executable, "-P", "-m", _PROGRAM, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
        except BaseException:
            ours.close()
            raise
        self.ended: asyncio.Future[int] = self._loop.create_future()
        Thread(target=self._wait, name="worker", daemon=True).start()
        self._task = asyncio.create_task(self._listen(ours))

    @property
    def load(self) -> int:
        """How many orders it works on."""
        return len(self._errands)

    async def make(
        self,
        order: WorkItem,
        cancellation: Cancellation,
        *,
        listen: Listener,
        keep: Callable[[StoredImage | FailedImage], object],
    ) -> GenerationReport:
        """Have it carried out."""
        self._last += 1
        number, errand = self._last, _PendingTask(listen, keep)
        self._errands[number] = errand
        try:
            self._send(Run(number, order))
            cancellation.on_cancel(partial(self._cancel, number))
            return await errand.over
        finally:
            self._errands.pop(number, None)

    async def close(self) -> None:
        """Have it end; it is made to, if it does not."""
        self._closing = True
        if self._writer is not None:
            self._writer.close()
        await asyncio.wait([self.ended], timeout=PATIENCE)
        self.kill()
        await self._task

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def _cancel(self, number: int) -> None:
        def cancel() -> None:
            if number in self._errands:
                self._send(Cancel(number))

        self._loop.call_soon_threadsafe(cancel)

    def _send(self, word: Word) -> None:
        if self._writer is None:
            self._words.append(encode_message(word))
        elif not self._writer.is_closing():  # else it is about to be found dead
            self._writer.write(encode_message(word))

    async def _listen(self, ours: socket.socket) -> None:
        reader, self._writer = await asyncio.open_unix_connection(
            sock=ours, limit=_BUFFER
        )
        for words in self._words:
            self._writer.write(words)
        self._words.clear()
        trouble: Exception | None = None
        try:
            while True:
                [length] = HEAD.unpack(await reader.readexactly(HEAD.size))
                self._heard(decode_message(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, OSError):
            pass  # it is over
        except Exception as error:  # noqa: BLE001 - what follows cannot be heard
            trouble = error
        finally:
            self._writer.close()
        if not self._closing:
            self._loop.call_later(_LAST_WORDS, self.kill)  # whatever is left of it
            await self._lost(self, trouble)
        for errand in self._errands.values():
            errand.end(WorkerDied() if self.ready else WorkerStartFailed())

    def _wait(self) -> None:
        """Wait for its end, in a thread."""
        code = self._process.wait()
        with suppress(RuntimeError):  # the server was over before
            self._loop.call_soon_threadsafe(self._end, code)

    def _end(self, code: int) -> None:
        if not self.ended.done():
            self.ended.set_result(code)
        # What it started itself may live on and have its end of the socket.
        if self._writer is not None:
            self._loop.call_later(_LAST_WORDS, self._writer.close)

    def _heard(self, word: Word) -> None:
        match word:
            case Ready():
                self.ready = True
            case EventMessage(number=number, event=event) if number in self._errands:
                self._errands[number].listen(event)
            case ResultMessage(number=number, outcome=outcome) if (
                number in self._errands
            ):
                self._errands[number].take(outcome)
            case Done(number=number, refused=refused) if number in self._errands:
                self._errands[number].end(refused)
            case _:
                pass


@contextmanager
def _deaf() -> Generator[None]:
    """Have what is started meanwhile hear no signal before it can ignore them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_PROGRAM = "imagen.server.workers.process"
_BUFFER = 1 << 20
_LAST_WORDS = 1.0
"""Seconds for what a process says before its end to be heard, or be in the log."""
_Lost: TypeAlias = Callable[[_WorkerProcess, Exception | None], Awaitable[None]]
