from pathlib import Path

import pytest
from tests.contract_internal.contracts.spool import SpoolContract

from imagen.adapters.database.connection import Database
from imagen.adapters.database.files import FileSpool


class TestFileSpool(SpoolContract):
    @pytest.fixture
    def spool(self, tmp_path: Path) -> FileSpool:
        return FileSpool(Database(tmp_path))

    @pytest.fixture
    def another_spool(self, tmp_path: Path) -> FileSpool:
        return FileSpool(Database(tmp_path))

    @pytest.fixture
    def broken_spool(self, tmp_path: Path) -> FileSpool:
        (tmp_path / "outbox").write_text("This is a text.")
        return FileSpool(Database(tmp_path))
