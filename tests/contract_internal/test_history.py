from pathlib import Path

import pytest
from tests.contract_internal.contracts.history import HistoryContract

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.history import SqliteHistory


class TestSqliteHistory(HistoryContract):
    @pytest.fixture
    def history(self, tmp_path: Path) -> SqliteHistory:
        return SqliteHistory(Database(tmp_path))

    @pytest.fixture
    def another(self, tmp_path: Path) -> SqliteHistory:
        return SqliteHistory(Database(tmp_path))

    @pytest.fixture
    def broken_history(self, tmp_path: Path) -> SqliteHistory:
        (tmp_path / FILE).write_text("This is a text.")
        return SqliteHistory(Database(tmp_path))
