"""Call a function in many threads at the same moment."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import TypeVar

from imagen.testing.contracts.observation import outcome_of

CROWD = 8
"""Threads that use one object at once."""

Outcome = TypeVar("Outcome")


def run_at_once(
    call: Callable[[int], Outcome], *, crowd: int = CROWD
) -> list[Outcome | Exception | None]:
    """Call the function with 0, 1, 2, ... in one thread each.

    Returns:
        The results or exceptions, in the order of the numbers.
    """
    outcomes: list[Outcome | Exception | None] = [None] * crowd
    # Threads that start one after the other rarely collide: all wait for the last.
    start = Barrier(crowd, timeout=30)

    def run(number: int) -> None:
        start.wait()
        outcomes[number] = outcome_of(lambda: call(number))

    threads = [Thread(target=run, args=[n], daemon=True) for n in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
