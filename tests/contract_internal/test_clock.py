import pytest
from tests.contract_internal.contracts.clock import ClockContract

from imagen.adapters.system.clock import SystemClock
from imagen.ports.clock import Clock
from imagen.testing import FakeClock


class TestSystemClock(ClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()


class TestFakeClock(ClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return FakeClock()
