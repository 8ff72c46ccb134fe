from collections.abc import Callable
from pathlib import Path

import pytest
from tests.contract_internal.contracts.journal import JournalContract

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.ledger import SqliteLedger


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    def journal(self, tmp_path: Path) -> SqliteJournal:
        return SqliteJournal(Database(tmp_path))

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqliteLedger:
        return SqliteLedger(Database(tmp_path))

    @pytest.fixture
    def another(self, tmp_path: Path) -> SqliteJournal:
        return SqliteJournal(Database(tmp_path))

    @pytest.fixture
    def end(self, journal: SqliteJournal) -> Callable[[], None]:
        return journal.close

    @pytest.fixture
    def broken_journal(self, tmp_path: Path) -> SqliteJournal:
        (tmp_path / FILE).write_text("This is a text.")
        return SqliteJournal(Database(tmp_path))
