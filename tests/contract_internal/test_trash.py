from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.contract_internal.contracts.trash import TrashContract

from imagen.adapters.system.trash import FolderTrash


def build_trash(folder: Path) -> FolderTrash:
    return FolderTrash(lambda: folder, now=lambda: datetime.now(UTC))


class TestFolderTrash(TrashContract):
    @pytest.fixture
    def trash(self, tmp_path: Path) -> FolderTrash:
        return build_trash(tmp_path / "bin")

    @pytest.fixture
    def another_trash(self, tmp_path: Path) -> FolderTrash:
        return build_trash(tmp_path / "bin")

    @pytest.fixture
    def broken_trash(self, tmp_path: Path) -> FolderTrash:
        (tmp_path / "bin").write_text("This is a text.")
        return build_trash(tmp_path / "bin")
