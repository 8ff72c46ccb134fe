from pathlib import Path

import pytest
from tests.contract_internal.contracts.cloud import CloudContract, SharedLedgerContract
from tests.contract_internal.databases import QuickDatabase
from tests.contract_internal.fakes.cloud import LocalSharedLedger, MemoryCloud

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


class TestLocalSharedLedger(SharedLedgerContract):
    @pytest.fixture
    def shared(self, tmp_path: Path) -> LocalSharedLedger:
        return LocalSharedLedger(QuickDatabase(tmp_path))

    @pytest.fixture
    def another_shared(self, tmp_path: Path) -> LocalSharedLedger:
        return LocalSharedLedger(QuickDatabase(tmp_path))

    @pytest.fixture
    def away(self, tmp_path: Path) -> LocalSharedLedger:
        ledger = LocalSharedLedger(QuickDatabase(tmp_path))
        ledger.trouble = Unavailable("It is not reached.")
        return ledger

    @pytest.fixture
    def closed(self, tmp_path: Path) -> LocalSharedLedger:
        ledger = LocalSharedLedger(QuickDatabase(tmp_path))
        ledger.trouble = Unauthorized("It does not take the key.", hint="Get another.")
        return ledger
