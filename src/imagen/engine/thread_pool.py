"""Several jobs at once, which end together when somebody cancels them."""

from collections.abc import Callable, Generator, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from imagen.engine.cancellation import Cancellation
from imagen.ports.clock import Clock

Outcome = TypeVar("Outcome")

GRACE = 3.0
"""Seconds that cancelled jobs get to end in good order (product: at most 3 s)."""


_NAP = 0.5
"""Seconds that the caller's thread waits at most before it hears signals again.

One that comes just before it waits is not heard while it does, and the wait may have no
end: seen once, on a machine with forty others at work.
"""


class _Cancelled:
    """Wakes the one who waits for outcomes."""


class _TaskFailed:
    """A task that raised, which is a fault of ours, and must not be waited for."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def run_tasks(
    tasks: Sequence[Callable[[], Outcome]],
    *,
    at_once: int,
    cancellation: Cancellation,
    clock: Clock,
) -> Generator[Outcome]:
    """Do what `run_task_groups` does, with one crew."""
    return run_task_groups([(tasks, at_once)], cancellation=cancellation, clock=clock)


def run_task_groups(
    groups: Sequence[tuple[Sequence[Callable[[], Outcome]], int]],
    *,
    cancellation: Cancellation,
    clock: Clock,
    inline: bool = False,
) -> Generator[Outcome]:
    """Yield the outcome of each task as it ends; each crew does so many at once.

    Tasks run in threads of their own, so that the caller's thread hears signals. They
    must not raise. After a cancellation those that do not end in time are left to
    themselves, and yield nothing. Closing the iterator cancels, and waits as long.

    With `here`, a task that is alone runs in the caller's thread, for as long as it
    takes: for callers that hear no signals, and have somebody else to be patient.
    """
    if inline and sum(len(tasks) for tasks, _ in groups) == 1:
        yield from (task() for tasks, _ in groups for task in tasks)
        return
    ended: SimpleQueue[Outcome | _Cancelled | _TaskFailed] = SimpleQueue()

    def work(waiting: SimpleQueue[Callable[[], Outcome]]) -> None:
        while True:
            try:
                task = waiting.get_nowait()
            except Empty:
                return
            try:
                ended.put(task())
            except BaseException as error:  # noqa: BLE001 - raised again where it is heard
                ended.put(_TaskFailed(error))

    cancellation.on_cancel(lambda: ended.put(_Cancelled()))
    workers: list[Thread] = []
    for tasks, at_once in groups:
        waiting: SimpleQueue[Callable[[], Outcome]] = SimpleQueue()
        for task in tasks:
            waiting.put(task)
        workers += [
            Thread(target=work, args=[waiting], daemon=True)
            for _ in range(min(at_once, len(tasks)))
        ]
    for worker in workers:
        worker.start()
    open_tasks = sum(len(tasks) for tasks, _ in groups)
    patience: float | None = None
    try:
        while open_tasks:
            left = None if patience is None else patience - clock.monotonic()
            try:
                item = ended.get(timeout=_NAP if left is None else max(0.0, left))
            except Empty:
                if left is None:
                    continue
                return
            if isinstance(item, _Cancelled):
                patience = clock.monotonic() + GRACE
                continue
            open_tasks -= 1
            if isinstance(item, _TaskFailed):
                raise item.error
            yield item
    finally:
        if open_tasks and patience is None:
            cancellation.cancel()
            patience = clock.monotonic() + GRACE
            for worker in workers:  # what is half done is done, or given up in order
                worker.join(max(0.0, patience - clock.monotonic()))
