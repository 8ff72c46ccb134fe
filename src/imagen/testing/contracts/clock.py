"""The promises that every `Clock` keeps."""

from threading import Event, get_ident

import pytest

from imagen.ports.clock import Clock
from imagen.testing.contracts.base import Contract

A_MOMENT = 0.03
FOREVER = 60.0


class ClockContract(Contract):
    """Override `clock`."""

    @pytest.fixture
    def clock(self) -> Clock:
        """A clock."""
        raise NotImplementedError("Override the fixture `clock` to return yours.")

    def test_knows_its_offset(self, clock: Clock) -> None:
        """The time that it tells has its offset."""
        assert clock.now().utcoffset() is not None

    def test_never_runs_backwards(self, clock: Clock) -> None:
        """Its seconds never run backwards."""
        seen = [clock.monotonic() for _ in range(100)]

        assert seen == sorted(seen)

    def test_lets_as_much_time_pass_as_it_is_told(self, clock: Clock) -> None:
        """A wait comes back so many seconds later, and says that nothing happened."""
        before = clock.monotonic()
        happened = clock.wait(Event(), A_MOMENT)

        assert happened is False
        assert A_MOMENT * 0.9 <= clock.monotonic() - before < FOREVER

    def test_does_not_wait_for_what_has_happened(self, clock: Clock) -> None:
        """A wait comes back at once when the event is set, and says so."""
        event, before = Event(), clock.monotonic()
        event.set()
        happened = clock.wait(event, FOREVER)

        assert happened is True
        assert clock.monotonic() - before < FOREVER / 2

    def test_stops_waiting_when_it_happens(self, clock: Clock) -> None:
        """A wait comes back when the event is set, and says so."""
        event, before = Event(), clock.monotonic()
        clock.after(A_MOMENT, event.set)
        happened = clock.wait(event, FOREVER)

        assert happened is True
        assert clock.monotonic() - before < FOREVER / 2

    def test_looks_without_waiting(self, clock: Clock) -> None:
        """A wait of no seconds only says whether the event is set."""
        before = clock.monotonic()

        assert clock.wait(Event(), 0) is False
        assert clock.wait(Event(), -1) is False
        assert clock.monotonic() - before < FOREVER / 2

    def test_calls_later_in_another_thread(self, clock: Clock) -> None:
        """What it is to call later is called so many seconds from now, elsewhere."""
        called = Event()
        seen: list[tuple[int, float]] = []
        before = clock.monotonic()

        def call() -> None:
            seen.append((get_ident(), clock.monotonic()))
            called.set()

        clock.after(A_MOMENT, call)
        clock.wait(called, FOREVER)

        [(thread, moment)] = seen
        assert thread != get_ident()
        assert moment - before >= A_MOMENT * 0.9

    def test_does_not_call_what_was_called_off(self, clock: Clock) -> None:
        """What is called off is not called."""
        called = Event()
        call_off = clock.after(A_MOMENT, called.set)
        call_off()

        assert clock.wait(called, 3 * A_MOMENT) is False

    def test_may_be_called_off_too_late(self, clock: Clock) -> None:
        """Calling off what was called already, or called off, does nothing."""
        called = Event()
        call_off = clock.after(0, called.set)
        clock.wait(called, FOREVER)

        call_off()
        call_off()

        assert called.is_set()
