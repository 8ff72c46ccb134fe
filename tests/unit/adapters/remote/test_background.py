from collections.abc import Callable
from threading import Event

import pytest

from imagen.adapters.remote.background import BackgroundCall
from imagen.domain.errors import Cancelled
from imagen.testing.fakes import CancelledContext, RecordingContext


def test_a_call_returns_its_result() -> None:
    assert BackgroundCall(lambda: 7).result(RecordingContext()) == 7


def test_a_call_raises_its_error() -> None:
    def fail() -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        BackgroundCall(fail).result(RecordingContext())


def left_behind(undone: Callable[[int], object]) -> Event:
    """Abandon a call, and return the event that lets it return."""
    arrive = Event()

    def call() -> int:
        arrive.wait(60)
        return 7

    with pytest.raises(Cancelled):
        BackgroundCall(call, undo=undone).result(CancelledContext())
    return arrive


def test_the_result_of_an_abandoned_call_is_undone() -> None:
    undone, happened = [], Event()

    def undo(answer: int) -> None:
        undone.append(answer)
        happened.set()

    left_behind(undo).set()

    assert happened.wait(60)
    assert undone == [7]


def test_a_call_is_waited_for_with_a_limit() -> None:
    block = Event()
    call = BackgroundCall(lambda: block.wait(60))

    assert not call.wait(0.01)
    block.set()
    assert call.wait(60)


def test_an_abandoned_call_may_still_return_in_time() -> None:
    go, undone = Event(), Event()

    def undo(_: int) -> None:
        undone.set()

    call = BackgroundCall(lambda: go.wait(60) and 42, undo=undo)
    with pytest.raises(Cancelled):
        call.result(CancelledContext())

    assert call.result_within(0.01) is None
    go.set()
    assert call.result_within(60) == 42
    assert undone.wait(60)


def test_a_late_call_may_fail() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        BackgroundCall(fail).result_within(60)
