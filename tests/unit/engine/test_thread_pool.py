from collections.abc import Callable, Iterator
from threading import Barrier, Event, Lock

import pytest
from tests.unit.engine.threads import no_more_threads

from imagen.engine.cancellation import Cancellation
from imagen.engine.thread_pool import GRACE, run_tasks
from imagen.testing.fakes import FakeClock


class HurriedClock(FakeClock):
    """A clock on which each look takes longer than the grace."""

    def monotonic(self) -> float:
        self.wait(Event(), GRACE + 1)
        return super().monotonic()


def together(
    *tasks: Callable[[], str],
    at_once: int = 8,
    cancellation: Cancellation | None = None,
    clock: FakeClock | None = None,
) -> Iterator[str]:
    return run_tasks(
        [(tasks, at_once)],
        cancellation=cancellation or Cancellation(),
        clock=clock or FakeClock(),
    )


def saying(word: str) -> Callable[[], str]:
    return lambda: word


def until(event: Event, word: str) -> Callable[[], str]:
    def task() -> str:
        event.wait()
        return word

    return task


def test_yields_every_outcome() -> None:
    outcomes = together(*map(saying, "abcdef"), at_once=2)

    assert sorted(outcomes) == list("abcdef")


def test_has_nothing_to_do_without_tasks() -> None:
    assert list(together()) == []


def test_one_at_once_keeps_the_order() -> None:
    assert list(together(*map(saying, "abcdef"), at_once=1)) == list("abcdef")


def test_yields_as_soon_as_one_ends() -> None:
    end = Event()

    outcomes = together(until(end, "slow"), saying("quick"))

    assert next(outcomes) == "quick"
    end.set()
    assert list(outcomes) == ["slow"]


def test_runs_as_many_at_once_as_it_may() -> None:
    meeting = Barrier(3, timeout=60)

    def task() -> str:
        meeting.wait()
        return "met"

    assert list(together(task, task, task, at_once=3)) == ["met"] * 3


def test_runs_no_more_at_once_than_it_may() -> None:
    lock, running, seen = Lock(), list[int](), list[int]()

    def task() -> str:
        with lock:
            running.append(1)
            seen.append(len(running))
        with lock:
            running.pop()
        return ""

    list(together(*[task] * 200, at_once=2))

    assert max(seen) <= 2


def test_cancelled_tasks_end_in_good_order() -> None:
    cancellation = Cancellation()
    tasks = [until(cancellation.event, word) for word in "abc"]

    outcomes = together(*tasks, saying("quick"), cancellation=cancellation)

    assert next(outcomes) == "quick"
    cancellation.cancel()
    assert sorted(outcomes) == list("abc")


def test_leaves_stubborn_tasks_to_themselves() -> None:
    end, cancellation = Event(), Cancellation()
    cancellation.cancel()

    outcomes = list(
        together(
            until(end, "stubborn"), cancellation=cancellation, clock=HurriedClock()
        )
    )

    end.set()
    assert outcomes == []


def test_closing_cancels() -> None:
    cancellation = Cancellation()
    outcomes = together(
        saying("quick"),
        until(cancellation.event, "slow"),
        cancellation=cancellation,
    )
    next(outcomes)

    outcomes.close()  # type: ignore[attr-defined]  # it is a generator

    assert cancellation.event.is_set()


def test_an_interruption_cancels() -> None:
    cancellation = Cancellation()
    outcomes = together(
        saying("quick"),
        until(cancellation.event, "slow"),
        cancellation=cancellation,
    )
    next(outcomes)

    with pytest.raises(KeyboardInterrupt):
        outcomes.throw(KeyboardInterrupt())  # type: ignore[attr-defined]

    assert cancellation.event.is_set()


def test_the_end_cancels_nothing() -> None:
    cancellation = Cancellation()

    list(together(saying("a"), cancellation=cancellation))

    assert not cancellation.event.is_set()


@pytest.mark.parametrize("at_once", [1, 3])
def test_without_a_thread_each_task_ends_as_cancelled(at_once: int) -> None:
    cancellation, seen = Cancellation(), list[bool]()

    def task() -> str:
        seen.append(cancellation.event.is_set())
        return "ended"

    outcomes = together(*[task] * 3, at_once=at_once, cancellation=cancellation)

    with no_more_threads(), pytest.raises(RuntimeError, match="thread"):
        next(outcomes)

    assert seen == [True] * 3
