import pytest
from tests.contract_internal.contracts.cloud import CloudContract, SharedLedgerContract
from tests.contract_internal.fakes.cloud import MemoryCloud, MemorySharedLedger

from imagen.domain.errors import Unauthorized, Unavailable


class TestMemoryCloud(CloudContract):
    @pytest.fixture
    def cloud(self) -> MemoryCloud:
        return MemoryCloud()

    @pytest.fixture
    def owner(self) -> str:
        return "6f0c7f7e-3b1f-4a53-9d4c-0f6a2f0b7c11"

    @pytest.fixture
    def another(self, cloud: MemoryCloud) -> MemoryCloud:
        return cloud

    @pytest.fixture
    def away(self) -> MemoryCloud:
        cloud = MemoryCloud()
        cloud.trouble = Unavailable("It is not reached.")
        return cloud

    @pytest.fixture
    def closed(self) -> MemoryCloud:
        cloud = MemoryCloud()
        cloud.trouble = Unauthorized("It does not take the key.", hint="Get another.")
        return cloud


class TestMemorySharedLedger(SharedLedgerContract):
    @pytest.fixture
    def shared(self) -> MemorySharedLedger:
        return MemorySharedLedger()

    @pytest.fixture
    def another_shared(self, shared: MemorySharedLedger) -> MemorySharedLedger:
        return shared

    @pytest.fixture
    def away(self) -> MemorySharedLedger:
        ledger = MemorySharedLedger()
        ledger.trouble = Unavailable("It is not reached.")
        return ledger

    @pytest.fixture
    def closed(self) -> MemorySharedLedger:
        ledger = MemorySharedLedger()
        ledger.trouble = Unauthorized("It does not take the key.", hint="Get another.")
        return ledger
