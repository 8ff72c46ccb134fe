from pathlib import Path

import pytest

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.ledger import SqliteLedger
from imagen.testing import LedgerContract


class TestSqliteLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqliteLedger:
        return SqliteLedger(Database(tmp_path))

    @pytest.fixture
    def another(self, tmp_path: Path) -> SqliteLedger:
        return SqliteLedger(Database(tmp_path))

    @pytest.fixture
    def broken_ledger(self, tmp_path: Path) -> SqliteLedger:
        (tmp_path / FILE).write_text("This is a text.")
        return SqliteLedger(Database(tmp_path))
