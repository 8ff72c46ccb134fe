from collections.abc import Callable
from threading import Event

import pytest

from imagen.adapters.remote.background import BackgroundCall
from imagen.domain.errors import (
    Cancelled,
)
from imagen.testing.fakes import CancelledContext, RecordingContext


def test_an_errand_brings_back_its_answer() -> None:
    assert BackgroundCall(lambda: 7).result(RecordingContext()) == 7


def test_an_errand_brings_back_its_error() -> None:
    def fail() -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        BackgroundCall(fail).result(RecordingContext())


def left_behind(undone: Callable[[int], object]) -> Event:
    """Leave an call behind, and return what lets it arrive."""
    arrive = Event()

    def call() -> int:
        arrive.wait(5)
        return 7

    with pytest.raises(Cancelled):
        BackgroundCall(call, undo=undone).result(CancelledContext())
    return arrive


def test_what_nobody_waits_for_is_undone() -> None:
    undone, happened = [], Event()

    def undo(answer: int) -> None:
        undone.append(answer)
        happened.set()

    left_behind(undo).set()

    assert happened.wait(5)
    assert undone == [7]


def test_an_errand_ends_in_time_or_not() -> None:
    block = Event()
    call = BackgroundCall(lambda: block.wait(5))

    assert not call.wait(0.01)
    block.set()
    assert call.wait(5)


def test_a_call_that_was_left_may_still_bring_something() -> None:
    go, undone = Event(), Event()

    def undo(_: int) -> None:
        undone.set()

    call = BackgroundCall(lambda: go.wait(5) and 42, undo=undo)
    with pytest.raises(Cancelled):
        call.result(CancelledContext())

    assert call.result_within(0.01) is None
    go.set()
    assert call.result_within(5) == 42
    assert undone.wait(5)


def test_a_late_call_may_fail() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        BackgroundCall(fail).result_within(5)
