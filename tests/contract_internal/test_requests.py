from collections.abc import Callable
from pathlib import Path

import pytest
from tests.contract_internal.contracts.requests import RequestKeysContract

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.idempotency import SqliteRequestKeys
from imagen.adapters.database.journal import SqliteJournal


def _sqlite(folder: Path) -> tuple[SqliteRequestKeys, SqliteJournal]:
    database = Database(folder)
    journal = SqliteJournal(database)
    return SqliteRequestKeys(database, journal.process_lock), journal


class TestSqliteRequestKeys(RequestKeysContract):
    @pytest.fixture
    def process(self, tmp_path: Path) -> tuple[SqliteRequestKeys, SqliteJournal]:
        return _sqlite(tmp_path)

    @pytest.fixture
    def keys(
        self, process: tuple[SqliteRequestKeys, SqliteJournal]
    ) -> SqliteRequestKeys:
        return process[0]

    @pytest.fixture
    def journal(
        self, process: tuple[SqliteRequestKeys, SqliteJournal]
    ) -> SqliteJournal:
        return process[1]

    @pytest.fixture
    def another(self, tmp_path: Path) -> SqliteRequestKeys:
        return _sqlite(tmp_path)[0]

    @pytest.fixture
    def end(self, journal: SqliteJournal) -> Callable[[], None]:
        return journal.close

    @pytest.fixture
    def broken_keys(self, tmp_path: Path) -> SqliteRequestKeys:
        (tmp_path / FILE).write_text("This is a text.")
        return _sqlite(tmp_path)[0]
