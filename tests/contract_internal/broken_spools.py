"""A correct spool and broken ones; each lists the contract tests that must fail.

Not collected by itself: `test_broken.py` runs it and compares.
"""

from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import pytest
from tests.contract.broken import Rendezvous
from tests.contract_internal.contracts.spool import SpoolContract

from imagen.adapters.database.connection import Database
from imagen.adapters.database.files import FileSpool
from imagen.domain.errors import JournalError


class Staged(SpoolContract):
    """Builds spools of a class over one folder.

    Attributes:
        Made: The class.
        Broken: The class of the spool whose folder is a file.
        is_shared: Whether the second instance has the same files.
    """

    Made: ClassVar[type[FileSpool]] = FileSpool
    Broken: ClassVar[type[FileSpool]] = FileSpool
    is_shared: ClassVar[bool] = True
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def spool(self, tmp_path: Path) -> FileSpool:
        return self.Made(Database(tmp_path))

    @pytest.fixture
    def another_spool(self, tmp_path: Path) -> FileSpool:
        return self.Made(Database(tmp_path if self.is_shared else tmp_path / "other"))

    @pytest.fixture
    def broken_spool(self, tmp_path: Path) -> FileSpool:
        (tmp_path / "outbox").write_text("This is a text.")
        return self.Broken(Database(tmp_path))


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class FirstBytes(FileSpool):
    def write(self, image_id: str, content: bytes) -> None:
        if self.read(image_id) is None:
            super().write(image_id, content)


class TestKeepsTheFirstBytes(Staged):
    Made = FirstBytes
    breaks: ClassVar[set[str]] = {"test_returns_the_bytes_unchanged"}


class Hoarder(FileSpool):
    def discard(self, image_ids: Collection[str]) -> None:
        pass


class TestNeverDiscards(Staged):
    Made = Hoarder
    breaks: ClassVar[set[str]] = {
        "test_discards_bytes",
        "test_shares_bytes_between_instances",
    }


class Sweeper(FileSpool):
    def discard(self, image_ids: Collection[str]) -> None:
        super().discard([path.name for path in self._folder.iterdir()])


class TestDiscardsEverything(Staged):
    Made = Sweeper
    breaks: ClassVar[set[str]] = {"test_discards_bytes"}


class TestIsNotShared(Staged):
    is_shared = False
    breaks: ClassVar[set[str]] = {"test_shares_bytes_between_instances"}


class Torn(FileSpool):
    """Writes a file in two parts, without a draft."""

    crowd = Rendezvous()

    def write(self, image_id: str, content: bytes) -> None:
        half = len(content) // 2
        super().write(image_id, content[:half])
        self.crowd.wait()
        with (self._folder / image_id).open("ab") as file:
            file.write(content[half:])


class TestMixesTheBytesOfWriters(Staged):
    Made = Torn
    breaks: ClassVar[set[str]] = {"test_is_written_by_many_threads"}


class Crashing(FileSpool):
    """Raises an error that says nothing."""

    def write(self, image_id: str, content: bytes) -> None:
        raise ZeroDivisionError

    def read(self, image_id: str) -> bytes | None:
        raise ZeroDivisionError


class TestReportsNothing(Staged):
    Broken = Crashing
    breaks: ClassVar[set[str]] = {"test_reports_what_is_wrong"}


class Strict(FileSpool):
    """Raises when it cannot discard."""

    def discard(self, image_ids: Collection[str]) -> None:
        raise JournalError("The disk is broken.")


class TestFailsToDiscard(Staged):
    Broken = Strict
    breaks: ClassVar[set[str]] = {"test_ignores_errors_when_it_discards"}
