"""A correct spool and broken ones; each lists the contract tests that must fail.

Not collected by itself: `test_the_contracts.py` runs it and compares.
"""

import time
from collections.abc import Collection
from typing import ClassVar

import pytest
from tests.contract_internal.contracts.spool import SpoolContract
from tests.contract_internal.fakes.delivery import MemorySpool

from imagen.domain.errors import JournalError


class Unusable(MemorySpool):
    """Can be neither read nor written."""

    def write(self, image_id: str, content: bytes) -> None:
        raise JournalError("The disk is broken.")

    def read(self, image_id: str) -> bytes | None:
        raise JournalError("The disk is broken.")


class Staged(SpoolContract):
    Made: ClassVar[type[MemorySpool]] = MemorySpool
    Broken: ClassVar[type[MemorySpool]] = Unusable
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def spool(self) -> MemorySpool:
        return self.Made()

    @pytest.fixture
    def another_spool(self, spool: MemorySpool) -> MemorySpool:
        another = type(spool)()
        another.contents = spool.contents
        return another

    @pytest.fixture
    def broken_spool(self) -> MemorySpool:
        return self.Broken()


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class FirstBytes(MemorySpool):
    def write(self, image_id: str, content: bytes) -> None:
        self.contents.setdefault(image_id, content)


class TestKeepsTheFirstBytes(Staged):
    Made = FirstBytes
    breaks: ClassVar[set[str]] = {"test_returns_the_bytes_unchanged"}


class Hoarder(MemorySpool):
    def discard(self, image_ids: Collection[str]) -> None:
        pass


class TestNeverDiscards(Staged):
    Made = Hoarder
    breaks: ClassVar[set[str]] = {
        "test_discards_bytes",
        "test_shares_bytes_between_instances",
    }


class Sweeper(MemorySpool):
    def discard(self, image_ids: Collection[str]) -> None:
        self.contents.clear()


class TestDiscardsEverything(Staged):
    Made = Sweeper
    breaks: ClassVar[set[str]] = {"test_discards_bytes"}


class TestIsNotShared(Staged):
    breaks: ClassVar[set[str]] = {"test_shares_bytes_between_instances"}

    @pytest.fixture
    def another_spool(self) -> MemorySpool:
        return MemorySpool()


class Torn(MemorySpool):
    """Writes a file in two parts, without a draft."""

    def write(self, image_id: str, content: bytes) -> None:
        half = len(content) // 2
        self.contents[image_id] = content[:half]
        time.sleep(0.1)
        self.contents[image_id] += content[half:]


class TestMixesTheBytesOfWriters(Staged):
    Made = Torn
    breaks: ClassVar[set[str]] = {"test_is_written_by_many_threads"}


class Crashing(MemorySpool):
    """Raises an error that says nothing."""

    def write(self, image_id: str, content: bytes) -> None:
        raise ZeroDivisionError

    def read(self, image_id: str) -> bytes | None:
        raise ZeroDivisionError


class TestReportsNothing(Staged):
    Broken = Crashing
    breaks: ClassVar[set[str]] = {"test_reports_what_is_wrong"}


class Strict(Unusable):
    """Raises when it cannot discard."""

    def discard(self, image_ids: Collection[str]) -> None:
        raise JournalError("The disk is broken.")


class TestFailsToDiscard(Staged):
    Broken = Strict
    breaks: ClassVar[set[str]] = {"test_ignores_errors_when_it_discards"}
