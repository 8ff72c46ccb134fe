"""What is forgotten is what was named, all of it or nothing."""

import pytest
from tests.contract_internal.databases import temporary_database, temporary_spool
from tests.contract_internal.samples import sample_entry

from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.idempotency import SqliteRequestKeys
from imagen.adapters.database.journal import SqliteJournal
from imagen.domain.errors import InvalidRequest
from imagen.domain.history import HistoryEntry
from imagen.testing.samples import sample_id
from imagen.usecases.history import forget_images


@pytest.fixture
def history() -> SqliteHistory:
    history = SqliteHistory(temporary_database())
    history.add([sample_entry(1), sample_entry(2), sample_entry(3)])
    return history


def forget(history: SqliteHistory, names: list[str]) -> tuple[HistoryEntry, ...]:
    return forget_images(
        names, history=history, spool=temporary_spool(), keys=no_keys()
    )


def no_keys() -> SqliteRequestKeys:
    database = temporary_database()
    return SqliteRequestKeys(database, SqliteJournal(database).process_lock)


def test_images_are_named_by_their_ids_or_beginnings_or_as_the_last(
    history: SqliteHistory,
) -> None:
    gone = forget(history, [sample_id(1), sample_id(1)[:10].upper(), "last"])

    assert [entry.sidecar.id for entry in gone] == [sample_id(1), sample_id(3)]
    assert list(history.find()) == [sample_entry(2)]


def test_their_bytes_are_not_kept_for_the_cloud_any_more(
    history: SqliteHistory,
) -> None:
    spool = temporary_spool()
    spool.write(sample_id(1), b"forgotten")
    spool.write(sample_id(2), b"kept")

    forget_images([sample_id(1)], history=history, spool=spool, keys=no_keys())

    assert spool.read(sample_id(1)) is None
    assert spool.read(sample_id(2)) == b"kept"


@pytest.mark.parametrize("name", ["nothing", "", "019a"])
def test_one_that_names_none_or_several_keeps_them_all(
    history: SqliteHistory, name: str
) -> None:
    with pytest.raises(InvalidRequest):
        forget(history, [sample_id(1), name])

    assert len(list(history.find())) == 3


def test_an_empty_name_is_not_the_only_image_there_is() -> None:
    history = SqliteHistory(temporary_database())
    history.add([sample_entry(1)])

    with pytest.raises(InvalidRequest, match="No image ''"):
        forget(history, [""])

    assert len(list(history.find())) == 1
