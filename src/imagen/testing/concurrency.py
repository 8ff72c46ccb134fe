"""Many threads that do something at the same moment."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import TypeVar

CROWD = 8
"""Threads that use one thing at once."""

Outcome = TypeVar("Outcome")


def run_at_once(
    do: Callable[[int], Outcome], *, crowd: int = CROWD
) -> list[Outcome | Exception | None]:
    """Return what came of it for each number; all begin at the same moment."""
    outcomes: list[Outcome | Exception | None] = [None] * crowd
    start = Barrier(crowd, timeout=30)

    def one(number: int) -> None:
        start.wait()
        try:
            outcomes[number] = do(number)
        except Exception as error:  # noqa: BLE001 - whatever comes out is looked at
            outcomes[number] = error

    threads = [Thread(target=one, args=[n], daemon=True) for n in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
