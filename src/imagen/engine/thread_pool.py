"""Run several tasks in threads that end together on cancellation."""

from collections.abc import Callable, Generator, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from imagen.engine.cancellation import Cancellation
from imagen.ports.clock import Clock

Outcome = TypeVar("Outcome")

GRACE = 3.0
"""Seconds that cancelled tasks have to end by themselves (product: at most 3 s)."""


# A signal that arrives just before the wait begins is not handled during the wait, and
# that wait may never end: seen once, on a machine with forty other processes at work.
_POLL_INTERVAL = 0.5
"""Seconds after which the caller's thread interrupts its wait to handle signals."""


# Not a `concurrent.futures.ThreadPoolExecutor`: Python waits for its threads when the
# program ends, so a task that ignores a cancellation would keep the program running.
# These threads are daemons, which are left behind after the grace period.
def run_tasks(
    groups: Sequence[tuple[Sequence[Callable[[], Outcome]], int]],
    *,
    cancellation: Cancellation,
    clock: Clock,
    inline: bool = False,
) -> Generator[Outcome]:
    """Yield the outcome of each task as soon as it ends.

    The tasks run in threads of their own, so that the caller's thread can handle
    signals. After a cancellation, tasks that do not end within `GRACE` seconds are
    abandoned and yield nothing. Closing the generator cancels the tasks, and waits as
    long for them.

    Args:
        groups: The tasks of each group, and how many of the group run at the same time.
        inline: Run a single task in the caller's thread, without a time limit. For
            callers that handle no signals, and that are waited for with a time limit.

    Raises:
        BaseException: the error of a task; tasks should not raise.
    """
    if inline and sum(len(tasks) for tasks, _ in groups) == 1:
        yield from (task() for tasks, _ in groups for task in tasks)
        return
    # The outcome of a task, or its error; None after a cancellation.
    results: SimpleQueue[tuple[list[Outcome], BaseException | None] | None] = (
        SimpleQueue()
    )

    def work(waiting: SimpleQueue[Callable[[], Outcome]]) -> None:
        while True:
            try:
                task = waiting.get_nowait()
            except Empty:
                return
            try:
                results.put(([task()], None))
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                results.put(([], error))

    cancellation.on_cancel(lambda: results.put(None))
    workers: list[Thread] = []
    queues: list[SimpleQueue[Callable[[], Outcome]]] = []
    for tasks, at_once in groups:
        waiting: SimpleQueue[Callable[[], Outcome]] = SimpleQueue()
        queues.append(waiting)
        for task in tasks:
            waiting.put(task)
        workers += [
            Thread(target=work, args=[waiting], daemon=True)
            for _ in range(min(at_once, len(tasks)))
        ]
    open_tasks = sum(len(tasks) for tasks, _ in groups)
    deadline: float | None = None
    try:
        try:
            for worker in workers:
                worker.start()
        except BaseException:
            cancellation.cancel()
            for waiting in queues:
                work(waiting)  # each task notices that it is cancelled, and ends
            raise
        while open_tasks:
            left = None if deadline is None else deadline - clock.monotonic()
            try:
                item = results.get(
                    timeout=_POLL_INTERVAL if left is None else max(0.0, left)
                )
            except Empty:
                if left is None:
                    continue
                return
            if item is None:
                deadline = clock.monotonic() + GRACE
                continue
            open_tasks -= 1
            outcomes, error = item
            if error is not None:
                raise error
            yield from outcomes
    finally:
        if open_tasks and deadline is None:
            cancellation.cancel()
            deadline = clock.monotonic() + GRACE
            # Gives each task the time to store an image that it has, or to stop.
            for worker in filter(Thread.is_alive, workers):
                worker.join(max(0.0, deadline - clock.monotonic()))
