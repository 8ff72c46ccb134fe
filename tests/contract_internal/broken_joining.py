"""Correct joinable requests and faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_broken.py` runs it and compares.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from tests.contract_internal.contracts.joining import JoinableRequestsContract
from tests.contract_internal.databases import (
    FailingDatabase,
    QuickDatabase,
    damaged_database,
)

from imagen.adapters.database.idempotency import SqliteRequestKeys
from imagen.adapters.database.joining import SqliteJoinableRequests
from imagen.adapters.database.journal import SqliteJournal
from imagen.domain.call import Call
from imagen.domain.idempotency import RequestKey
from imagen.domain.joining import Joinable

replaced = msgspec.structs.replace


class Staged(JoinableRequestsContract):
    """Builds joinable requests of a class over one database."""

    Made: ClassVar[type[SqliteJoinableRequests]] = SqliteJoinableRequests
    error: ClassVar[Exception | None] = None
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def database(self, tmp_path: Path) -> QuickDatabase:
        return QuickDatabase(tmp_path)

    @pytest.fixture
    def journal(self, database: QuickDatabase) -> SqliteJournal:
        return SqliteJournal(database)

    @pytest.fixture
    def keys(
        self, database: QuickDatabase, journal: SqliteJournal
    ) -> SqliteRequestKeys:
        return SqliteRequestKeys(database, journal.process_lock)

    @pytest.fixture
    def joinable(
        self, database: QuickDatabase, journal: SqliteJournal
    ) -> SqliteJoinableRequests:
        return self.Made(database, journal.process_lock)

    @pytest.fixture
    def another(self, tmp_path: Path) -> SqliteJoinableRequests:
        database = QuickDatabase(tmp_path)
        return self.Made(database, SqliteJournal(database).process_lock)

    @pytest.fixture
    def end(self, journal: SqliteJournal) -> Callable[[], None]:
        return journal.close

    @pytest.fixture
    def broken(self, tmp_path: Path) -> SqliteJoinableRequests:
        database = (
            damaged_database(tmp_path)
            if self.error is None
            else FailingDatabase(tmp_path, self.error)
        )
        lock = SqliteJournal(QuickDatabase(tmp_path / "locks")).process_lock
        return SqliteJoinableRequests(database, lock)


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class TestFindsRequestsOfAllCallers(Staged):
    class Made(SqliteJoinableRequests):
        def find(self, key: RequestKey, *, since: datetime) -> tuple[Joinable, ...]:
            other = replaced(key, caller=key.caller.replace("writer", "reader"))
            return super().find(key, since=since) + super().find(other, since=since)

    breaks: ClassVar[set[str]] = {"test_finds_equal_requests_of_the_caller"}


class TestFindsTheNewestFirst(Staged):
    class Made(SqliteJoinableRequests):
        def find(self, key: RequestKey, *, since: datetime) -> tuple[Joinable, ...]:
            return super().find(key, since=since)[::-1]

    breaks: ClassVar[set[str]] = {
        "test_finds_equal_requests_of_the_caller",
        "test_knows_what_was_refused",
    }


class TestFindsWhatEndedLongAgo(Staged):
    class Made(SqliteJoinableRequests):
        def find(self, key: RequestKey, *, since: datetime) -> tuple[Joinable, ...]:
            return super().find(key, since=since - timedelta(days=1))

    breaks: ClassVar[set[str]] = {"test_leaves_out_what_ended_long_ago"}


class TestTakesEachConnectionForOpen(Staged):
    class Made(SqliteJoinableRequests):
        def find(self, key: RequestKey, *, since: datetime) -> tuple[Joinable, ...]:
            found = super().find(key, since=since)
            return tuple(replaced(each, connection="open") for each in found)

    breaks: ClassVar[set[str]] = {
        "test_records_the_calls",
        "test_loses_a_connection_with_its_process",
        "test_saves_what_is_given",
        "test_changes_only_a_known_request_without_its_time",
        "test_gives_a_connection_to_one_of_many",
    }


class TestForgetsThatItWasRefused(Staged):
    class Made(SqliteJoinableRequests):
        def find(self, key: RequestKey, *, since: datetime) -> tuple[Joinable, ...]:
            found = super().find(key, since=since)
            return tuple(replaced(each, refused=False) for each in found)

    breaks: ClassVar[set[str]] = {"test_knows_what_was_refused"}


class TestRecordsNoCalls(Staged):
    class Made(SqliteJoinableRequests):
        def record(self, key: RequestKey, calls: Sequence[Call], **given: Any) -> None:
            super().record(key, [], **given)

    breaks: ClassVar[set[str]] = {
        "test_records_the_calls",
        "test_keeps_what_has_an_open_call",
    }


class TestSavesNoAnswer(Staged):
    class Made(SqliteJoinableRequests):
        def save(self, key: RequestKey, **given: Any) -> None:
            super().save(key, **{**given, "answer": None})

    breaks: ClassVar[set[str]] = {
        "test_saves_what_is_given",
        "test_knows_what_was_refused",
    }


class TestRecordsWhatIsUnknown(Staged):
    class Made(SqliteJoinableRequests):
        def save(self, key: RequestKey, **given: Any) -> None:
            super().save(key, **{**given, "at": given["at"] or datetime.now(UTC)})

    breaks: ClassVar[set[str]] = {
        "test_changes_only_a_known_request_without_its_time",
    }


class TestGivesAConnectionToAll(Staged):
    class Made(SqliteJoinableRequests):
        def connect(
            self, key: RequestKey, seen: Joinable, *, retries: int | None
        ) -> bool:
            super().connect(key, seen, retries=retries)
            return True

    breaks: ClassVar[set[str]] = {
        "test_gives_a_connection_to_one_of_many",
        "test_gives_no_connection_of_a_request_that_is_gone",
    }


class TestForgetsAllThatEnded(Staged):
    class Made(SqliteJoinableRequests):
        def expire(self, *, now: datetime, after: timedelta) -> None:
            super().expire(now=now + timedelta(minutes=5), after=after)

    breaks: ClassVar[set[str]] = {"test_forgets_what_ended_long_ago"}


class TestForgetsNothing(Staged):
    class Made(SqliteJoinableRequests):
        def expire(self, *, now: datetime, after: timedelta) -> None:
            super().expire(now=now, after=after + timedelta(days=9))

    breaks: ClassVar[set[str]] = {
        "test_forgets_what_ended_long_ago",
        "test_ends_what_a_dead_process_left_and_forgets_it_later",
        "test_keeps_what_has_an_open_call",
    }


class TestLetsAnotherErrorOut(Staged):
    error = OSError("No space left on device")
    breaks: ClassVar[set[str]] = {"test_says_that_it_is_broken"}
