from pathlib import Path

import pytest
from tests.contract_internal.contracts.delivery_queue import (
    DeliveryQueueContract,
    DeliveryQueues,
)

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.delivery_queue import (
    SqliteImageQueue,
    SqliteUndeliveredUsage,
    SqliteUsageQueue,
)
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.ledger import SqliteLedger


def sqlite_queues(folder: Path) -> DeliveryQueues:
    database = Database(folder)
    return DeliveryQueues(
        usage=SqliteUsageQueue(database),
        images=SqliteImageQueue(database),
        undelivered=SqliteUndeliveredUsage(database),
    )


class TestSqliteDeliveryQueues(DeliveryQueueContract):
    @pytest.fixture
    def queues(self, tmp_path: Path) -> DeliveryQueues:
        return sqlite_queues(tmp_path)

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqliteLedger:
        return SqliteLedger(Database(tmp_path))

    @pytest.fixture
    def history(self, tmp_path: Path) -> SqliteHistory:
        return SqliteHistory(Database(tmp_path))

    @pytest.fixture
    def other_queues(self, tmp_path: Path) -> DeliveryQueues:
        return sqlite_queues(tmp_path)

    @pytest.fixture
    def broken_queues(self, tmp_path: Path) -> DeliveryQueues:
        (tmp_path / FILE).write_text("This is a text.")
        return sqlite_queues(tmp_path)
