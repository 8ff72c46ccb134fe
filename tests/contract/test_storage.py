import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from imagen.adapters.storage.local import LocalStorage
from imagen.ports.storage import Storage
from imagen.testing import MemoryStorage, StorageContract


class TestLocalStorage(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return LocalStorage(tmp_path)

    @pytest.fixture
    def another(self, tmp_path: Path) -> Storage:
        return LocalStorage(tmp_path)

    @pytest.fixture
    def kept(self, tmp_path: Path) -> Callable[[], Mapping[str, bytes]]:
        return lambda: {
            path.relative_to(tmp_path).as_posix(): path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file()
        }

    @pytest.fixture
    def broken_storage(self, tmp_path: Path) -> Storage:
        (tmp_path / "a-file").write_bytes(b"")
        return LocalStorage(tmp_path / "a-file")


class TestLocalStorageThatNamesItsDrafts(TestLocalStorage):
    @pytest.fixture(autouse=True)
    def old_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Old kernels take no notice of the flag, and then a folder cannot be written.
        monkeypatch.setattr(os, "O_TMPFILE", 0, raising=False)


class TestMemoryStorage(StorageContract):
    @pytest.fixture
    def storage(self) -> MemoryStorage:
        return MemoryStorage()

    @pytest.fixture
    def kept(self, storage: MemoryStorage) -> Callable[[], Mapping[str, bytes]]:
        return lambda: storage.kept
