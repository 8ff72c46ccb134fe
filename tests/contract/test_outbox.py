from pathlib import Path

import pytest

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.ledger import SqliteLedger
from imagen.adapters.database.outbox import SqliteOutbox
from imagen.testing import (
    MemoryHistory,
    MemoryLedger,
    MemoryOutbox,
    OutboxContract,
)


class TestSqliteOutbox(OutboxContract):
    @pytest.fixture
    def outbox(self, tmp_path: Path) -> SqliteOutbox:
        return SqliteOutbox(Database(tmp_path))

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqliteLedger:
        return SqliteLedger(Database(tmp_path))

    @pytest.fixture
    def history(self, tmp_path: Path) -> SqliteHistory:
        return SqliteHistory(Database(tmp_path))

    @pytest.fixture
    def another(self, tmp_path: Path) -> SqliteOutbox:
        return SqliteOutbox(Database(tmp_path))

    @pytest.fixture
    def broken_outbox(self, tmp_path: Path) -> SqliteOutbox:
        (tmp_path / FILE).write_text("This is a text.")
        return SqliteOutbox(Database(tmp_path))


class TestMemoryOutbox(OutboxContract):
    @pytest.fixture
    def outbox(self, ledger: MemoryLedger, history: MemoryHistory) -> MemoryOutbox:
        return MemoryOutbox(ledger, history)

    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger()

    @pytest.fixture
    def history(self) -> MemoryHistory:
        return MemoryHistory()
