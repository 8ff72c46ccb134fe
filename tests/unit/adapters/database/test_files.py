"""Bytes that no upload needs are deleted, and no others, whoever else is at work."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.contract_internal.samples import sample_entry

from imagen.adapters.database.connection import Database
from imagen.adapters.database.delivery_queue import SqliteImageQueue
from imagen.adapters.database.files import FileSpool
from imagen.adapters.database.history import SqliteHistory
from imagen.testing.samples import sample_id


class Account:
    """The stores of one process."""

    def __init__(self, folder: Path) -> None:
        database = Database(folder)
        self.spool = FileSpool(database)
        self.history = SqliteHistory(database)
        self.queue = SqliteImageQueue(database)
        self.folder = folder / "outbox"

    def write(self, number: int) -> None:
        self.spool.write(sample_id(number), b"image")

    def add(self, number: int) -> None:
        self.history.add([msgspec.structs.replace(sample_entry(number), owner="me")])

    def kept(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Account:
    """The stores of another process over the same files."""
    return Account(tmp_path)


def test_bytes_of_pending_and_failed_images_stay(account: Account) -> None:
    for number in (1, 2, 3):
        account.write(number)
        account.add(number)
    account.queue.mark_failed({sample_id(2): "No."})
    account.queue.mark_delivered([sample_id(3)])

    account.spool.sweep()

    assert account.kept() == [sample_id(1), sample_id(2)]
    account.queue.retry_failed()
    account.spool.sweep()
    assert account.kept() == [sample_id(1), sample_id(2)]


@pytest.mark.parametrize(
    "forget",
    [
        lambda history: history.forget(sample_id(1)),
        lambda history: history.forget_older(datetime(2100, 1, 1, tzinfo=UTC)),
    ],
    ids=["by the user", "by age"],
)
def test_bytes_of_forgotten_images_go(
    forget: Callable[[SqliteHistory], object], account: Account
) -> None:
    account.write(1)
    account.add(1)
    account.queue.mark_failed({sample_id(1): "No."})
    forget(account.history)

    account.spool.sweep()

    assert account.kept() == []


def test_what_dead_processes_left_goes(account: Account) -> None:
    account.write(1)  # it died before the row
    (account.folder / f"{sample_id(2)}.0123.part").write_bytes(b"ima")  # or in the file

    account.spool.sweep()

    assert account.kept() == []


def test_bytes_whose_image_is_just_being_added_stay(
    account: Account, other: Account
) -> None:
    with account.spool.adding():
        account.write(1)
        other.spool.sweep()
        assert other.kept() == [sample_id(1)]
        account.add(1)

    other.spool.sweep()
    assert other.kept() == [sample_id(1)]


def test_two_processes_add_at_once(account: Account, other: Account) -> None:
    with account.spool.adding(), other.spool.adding():
        account.write(1)
        other.write(2)
        other.add(2)

    account.spool.sweep()

    assert account.kept() == [sample_id(2)]


def test_bytes_are_added_where_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("This is a text.")
    account = Account(tmp_path)

    with account.spool.adding():
        account.add(1)
    account.spool.sweep()

    assert account.queue.status().pending == 1


def test_nothing_is_created_to_sweep_it(account: Account) -> None:
    account.spool.sweep()

    assert not account.folder.exists()
