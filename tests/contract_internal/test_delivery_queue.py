from pathlib import Path

import pytest
from tests.contract_internal.contracts.delivery_queue import (
    DeliveryQueueContract,
    DeliveryQueues,
)
from tests.contract_internal.databases import QuickDatabase, damaged_database

from imagen.adapters.database.connection import Database
from imagen.adapters.database.delivery_queue import (
    SqliteImageQueue,
    SqliteUndeliveredUsage,
    SqliteUsageQueue,
)
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.ledger import SqliteLedger


def sqlite_queues(database: Database) -> DeliveryQueues:
    return DeliveryQueues(
        usage=SqliteUsageQueue(database),
        images=SqliteImageQueue(database),
        undelivered=SqliteUndeliveredUsage(database),
    )


class TestSqliteDeliveryQueues(DeliveryQueueContract):
    @pytest.fixture
    def queues(self, tmp_path: Path) -> DeliveryQueues:
        return sqlite_queues(QuickDatabase(tmp_path))

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqliteLedger:
        return SqliteLedger(QuickDatabase(tmp_path))

    @pytest.fixture
    def history(self, tmp_path: Path) -> SqliteHistory:
        return SqliteHistory(QuickDatabase(tmp_path))

    @pytest.fixture
    def other_queues(self, tmp_path: Path) -> DeliveryQueues:
        return sqlite_queues(QuickDatabase(tmp_path))

    @pytest.fixture
    def broken_queues(self, tmp_path: Path) -> DeliveryQueues:
        return sqlite_queues(damaged_database(tmp_path))
