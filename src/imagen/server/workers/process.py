"""The main module of a worker process.

The server starts it as `python -m imagen.server.workers.process FD`, where FD is the
file descriptor of the socket to the server.
"""

import os
import signal
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Lock

import msgspec

from imagen.bootstrap.generation import build_generate
from imagen.bootstrap.runtime import Runtime
from imagen.domain.call import Call
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import JournalError
from imagen.domain.events import Event, Planned, Previewed, Progressed, Warned
from imagen.domain.idempotency import UNKEYED_REQUESTS
from imagen.domain.result import FailedImage, StoredImage
from imagen.engine.cancellation import Cancellation
from imagen.engine.store import Numbering
from imagen.server.process_limits import end_with_parent, set_process_limits
from imagen.server.workers.messages import (
    SIGNALS,
    Cancel,
    Done,
    LearnedCapabilities,
    Message,
    Ping,
    Pong,
    Ready,
    Run,
    SetBudgets,
    UpdateMessage,
    to_picklable,
)
from imagen.server.workers.work_item import ORIGIN, WorkItem
from imagen.settings.environment import process_environment
from imagen.settings.model import Settings

_MAX_CHECKS = 4
"""Requests that one worker checks at once."""


class Worker:
    """Runs items, each in a thread of its own."""

    def __init__(self, settings: Settings, connection: Connection) -> None:
        self._runtime = Runtime(process_environment(), settings=settings)
        self._connection = connection
        self._send_lock = Lock()
        self._numbering = Numbering()
        self._running: dict[int, Cancellation] = {}
        self._known: dict[tuple[str, str], Capabilities] = {}
        self._threads = ThreadPoolExecutor(
            settings.serve.concurrency * len(settings.backends), "worker"
        )
        self._checks = ThreadPoolExecutor(_MAX_CHECKS, "check")

    def run(self) -> None:
        """Handle the server's messages until it closes the socket."""
        with suppress(OSError, EOFError):
            self._send(Ready())
            while True:
                match self._connection.recv():
                    case Run(number=number, item=item):
                        self._running[number] = cancellation = Cancellation()
                        # Running items may have all threads for hours.
                        threads = self._checks if item.check_only else self._threads
                        threads.submit(self._run, number, item, cancellation)
                    case Cancel(number=number):
                        # Another thread may have finished it: `in` followed by a lookup
                        # raised a KeyError that ended the worker with all its items.
                        if (running := self._running.get(number)) is not None:
                            running.cancel()
                    case Ping():
                        self._send(Pong())
                    case SetBudgets(budgets=budgets):
                        self._runtime.replace_budgets(budgets)
                    case _:
                        pass
        # The server is gone: do not wait for running items, the next server resumes
        # their calls.
        if self._running:
            os._exit(0)
        self._threads.shutdown()
        self._checks.shutdown()
        self._runtime.close()

    def _send(self, message: Message) -> None:
        with self._send_lock:
            self._connection.send(message)

    def _run(self, number: int, item: WorkItem, cancellation: Cancellation) -> None:
        failure: BaseException | None = None
        last: StoredImage | FailedImage | None = None
        try:
            for missing, outcome in self._generate(number, item, cancellation):
                if missing:
                    self._send(UpdateMessage(number, outcome))
                else:
                    last = outcome
        except BaseException as error:  # noqa: BLE001 - raised again in the server
            failure = to_picklable(error)
        self._running.pop(number, None)
        self._send(Done(number, failure, last))

    def _generate(
        self, number: int, item: WorkItem, cancellation: Cancellation
    ) -> Generator[tuple[int, StoredImage | FailedImage]]:
        """Yield each outcome, with the number of those that are still missing."""
        runtime = self._runtime
        capabilities = runtime.get_backend(item.backend).capabilities()
        priced = runtime.find_backend(item.backend).instance.price is not None

        def forward(event: Event) -> None:
            if isinstance(event, Planned | Warned) or (
                item.report_progress and isinstance(event, Progressed | Previewed)
            ):
                self._send(UpdateMessage(number, event))

        def record_calls(calls: Sequence[Call]) -> None:
            key, stores = item.key, runtime.stores
            if key is None:
                return
            if not key.caller.startswith(UNKEYED_REQUESTS):
                stores.keys.record_calls(key, calls)
            elif any(call.may_cost for call in calls):
                try:
                    stores.joinable.record(
                        key, calls, at=runtime.clock.now(), retries=item.retries
                    )
                except JournalError as error:
                    use_case.records.skip_record(error)

        use_case = build_generate(
            runtime,
            item.backend,
            output=item.output,
            listen=forward,
            live=item.live and capabilities.live,
            caller=item.caller,
            durable=priced or capabilities.may_cost,
            numbering=self._numbering,
        )
        use_case = msgspec.structs.replace(
            use_case, origin=ORIGIN, before_calls=record_calls, inline=True
        )
        request = item.resolve(use_case)
        plan = use_case.plan(request)
        model = request.model or ""
        # Not of every name that a client makes up, where any is accepted.
        if not model or model in (capabilities.models or ()):
            self._report(item.backend, model, use_case.capabilities(model))
        if item.check_only:
            use_case.check_budget(plan, use_case.build_calls(plan))
            return
        missing = plan.count
        for outcome in use_case.outcomes(plan, cancellation):
            if isinstance(outcome, FailedImage):
                outcome = msgspec.structs.replace(  # noqa: PLW2901 - the same outcome
                    outcome, error=to_picklable(outcome.error)
                )
            missing -= 1
            yield missing, outcome

    def _report(self, backend: str, model: str, capabilities: Capabilities) -> None:
        """Tell the server what a backend supports, if that is news."""
        if self._known.get((backend, model)) != capabilities:
            self._known[backend, model] = capabilities
            self._send(LearnedCapabilities(backend, model, capabilities))


def main(socket_fd: int) -> None:
    """Run the worker for the server at the other end of the socket."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    end_with_parent()
    set_process_limits()
    with Connection(socket_fd) as connection, suppress(OSError, EOFError):
        settings = connection.recv()
        if isinstance(settings, Settings):
            Worker(settings, connection).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
