from pathlib import Path

import pytest

from imagen.adapters.history.sqlite import SqliteHistory
from imagen.adapters.ledger.sqlite import SqliteLedger
from imagen.adapters.outbox.sqlite import SqliteOutbox
from imagen.adapters.sqlite import FILE, Database
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
