from collections.abc import Callable
from pathlib import Path

import pytest
from tests.contract_internal.contracts.joining import JoinableRequestsContract

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.idempotency import SqliteRequestKeys
from imagen.adapters.database.joining import SqliteJoinableRequests
from imagen.adapters.database.journal import SqliteJournal


class TestSqliteJoinableRequests(JoinableRequestsContract):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        return Database(tmp_path)

    @pytest.fixture
    def journal(self, database: Database) -> SqliteJournal:
        return SqliteJournal(database)

    @pytest.fixture
    def keys(self, database: Database, journal: SqliteJournal) -> SqliteRequestKeys:
        return SqliteRequestKeys(database, journal.process_lock)

    @pytest.fixture
    def joinable(
        self, database: Database, journal: SqliteJournal
    ) -> SqliteJoinableRequests:
        return SqliteJoinableRequests(database, journal.process_lock)

    @pytest.fixture
    def another(self, tmp_path: Path) -> SqliteJoinableRequests:
        database = Database(tmp_path)
        return SqliteJoinableRequests(database, SqliteJournal(database).process_lock)

    @pytest.fixture
    def end(self, journal: SqliteJournal) -> Callable[[], None]:
        return journal.close

    @pytest.fixture
    def broken(self, tmp_path: Path) -> SqliteJoinableRequests:
        (tmp_path / FILE).write_text("This is a text.")
        database = Database(tmp_path)
        return SqliteJoinableRequests(database, SqliteJournal(database).process_lock)
