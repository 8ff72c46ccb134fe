"""The contract of `Clock`."""

from threading import Event, get_ident

import pytest

from imagen.ports.clock import Clock
from imagen.testing.contracts.base import Contract

SHORT_DELAY = 0.03
LONG_DELAY = 60.0


class ClockContract(Contract):
    """The tests that every `Clock` must pass. Override `clock`."""

    @pytest.fixture
    def clock(self) -> Clock:
        """A clock."""
        raise NotImplementedError("Override the fixture `clock`.")

    def test_knows_its_offset(self, clock: Clock) -> None:
        """`now` has a UTC offset."""
        assert clock.now().utcoffset() is not None

    def test_never_runs_backwards(self, clock: Clock) -> None:
        """`monotonic` never decreases."""
        seen = [clock.monotonic() for _ in range(100)]

        assert seen == sorted(seen)

    def test_lets_as_much_time_pass_as_it_is_told(self, clock: Clock) -> None:
        """`wait` returns False after the given seconds."""
        before = clock.monotonic()
        happened = clock.wait(Event(), SHORT_DELAY)

        assert happened is False
        # 0.9, because two clocks of a system may differ in resolution.
        assert SHORT_DELAY * 0.9 <= clock.monotonic() - before < LONG_DELAY

    def test_does_not_wait_for_what_has_happened(self, clock: Clock) -> None:
        """`wait` returns True at once if the event is set."""
        event, before = Event(), clock.monotonic()
        event.set()
        happened = clock.wait(event, LONG_DELAY)

        assert happened is True
        assert clock.monotonic() - before < LONG_DELAY / 2

    def test_stops_waiting_when_it_happens(self, clock: Clock) -> None:
        """`wait` returns True as soon as the event is set."""
        event, before = Event(), clock.monotonic()
        clock.after(SHORT_DELAY, event.set)
        happened = clock.wait(event, LONG_DELAY)

        assert happened is True
        assert clock.monotonic() - before < LONG_DELAY / 2

    def test_looks_without_waiting(self, clock: Clock) -> None:
        """`wait` of 0 or fewer seconds only returns the state of the event."""
        before = clock.monotonic()

        assert clock.wait(Event(), 0) is False
        assert clock.wait(Event(), -1) is False
        assert clock.monotonic() - before < LONG_DELAY / 2

    def test_calls_later_in_another_thread(self, clock: Clock) -> None:
        """`after` calls the function after the delay, in another thread."""
        called = Event()
        seen: list[tuple[int, float]] = []
        before = clock.monotonic()

        def call() -> None:
            seen.append((get_ident(), clock.monotonic()))
            called.set()

        clock.after(SHORT_DELAY, call)
        clock.wait(called, LONG_DELAY)

        [(thread, moment)] = seen
        assert thread != get_ident()
        assert moment - before >= SHORT_DELAY * 0.9

    def test_does_not_call_what_was_called_off(self, clock: Clock) -> None:
        """A cancelled call is not made."""
        called = Event()
        cancel = clock.after(SHORT_DELAY, called.set)
        cancel()

        assert clock.wait(called, 3 * SHORT_DELAY) is False

    def test_may_be_called_off_too_late(self, clock: Clock) -> None:
        """Cancelling a call twice, or after it was made, does nothing."""
        called = Event()
        cancel = clock.after(0, called.set)
        clock.wait(called, LONG_DELAY)

        cancel()
        cancel()

        assert called.is_set()
