"""Correct request keys and faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_broken.py` runs it and compares.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import ClassVar, NamedTuple

import msgspec
import pytest
from tests.contract.broken import Rendezvous
from tests.contract_internal.contracts.requests import RequestKeysContract
from tests.contract_internal.databases import (
    FailingDatabase,
    QuickDatabase,
    damaged_database,
)

from imagen.adapters.database.connection import Database
from imagen.adapters.database.idempotency import SqliteRequestKeys
from imagen.adapters.database.journal import SqliteJournal
from imagen.domain.call import Call
from imagen.domain.errors import JournalError
from imagen.domain.idempotency import (
    KeyAnswered,
    KeyClaimed,
    KeyConflict,
    KeyInProgress,
    KeyInterrupted,
    KeyState,
    RequestKey,
    StoredAnswer,
)

replaced = msgspec.structs.replace


class Keys(SqliteRequestKeys):
    """Correct request keys, which can be distorted with SQL.

    Attributes:
        journal: The journal of the same process.
    """

    def __init__(self, database: Database) -> None:
        self.journal = SqliteJournal(database)
        super().__init__(database, self.journal.process_lock)

    def row(self, key: RequestKey) -> "Row | None":
        """Return the row of a key."""
        query = "SELECT owner, calls, answer FROM requests WHERE caller = ? AND key = ?"
        with self._database.reading() as connection:
            row = connection.execute(query, [key.caller, key.key]).fetchone()
        return None if row is None else Row(*row)

    def set(self, key: RequestKey, column: str, value: str | None) -> None:
        """Change a column of a row."""
        query = f"UPDATE requests SET {column} = ? WHERE caller = ? AND key = ?"
        with self._database.writing(durable=False) as connection:
            connection.execute(query, [value, key.caller, key.key])


class Row(NamedTuple):
    owner: str | None
    calls: str
    answer: str | None


class Staged(RequestKeysContract):
    """Builds keys of a class over one database.

    Attributes:
        Made: The class.
        error: What every method of the broken keys raises; None to damage their file.
        is_shared: Whether the second instance has the same requests.
    """

    Made: ClassVar[type[Keys]] = Keys
    error: ClassVar[Exception | None] = None
    is_shared: ClassVar[bool] = True
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def keys(self, tmp_path: Path) -> Keys:
        return self.Made(QuickDatabase(tmp_path))

    @pytest.fixture
    def journal(self, keys: Keys) -> SqliteJournal:
        return keys.journal

    @pytest.fixture
    def another(self, tmp_path: Path) -> Keys:
        return self.Made(QuickDatabase(tmp_path if self.is_shared else tmp_path / "b"))

    @pytest.fixture
    def end(self, keys: Keys) -> Callable[[], None]:
        return keys.journal.close

    @pytest.fixture
    def broken_keys(self, tmp_path: Path) -> Keys:
        if self.error is None:
            return Keys(damaged_database(tmp_path))
        return Keys(FailingDatabase(tmp_path, self.error))


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


# Faults of the identity of a request.


class TestGivesEachKeyToAll(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            super().claim(key, at=at)
            return KeyClaimed()

    breaks: ClassVar[set[str]] = {
        "test_gives_a_request_to_one_of_many",
        "test_gives_nobody_what_is_worked_on",
        "test_refuses_something_else",
        "test_says_the_same_ever_after",
        "test_is_interrupted_when_it_is_left",
        "test_is_interrupted_when_its_process_dies",
        "test_says_how_calls_stand",
        "test_says_which_calls_nobody_works_on",
        "test_is_taken_over_by_one_of_many",
        "test_keeps_the_calls_of_what_is_taken_over",
        "test_takes_over_nothing_else",
    }


class TestGivesNothing(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            state = super().claim(key, at=at)
            return KeyInProgress() if state == KeyClaimed() else state

    breaks: ClassVar[set[str]] = {
        "test_takes_what_is_new",
        "test_tells_requests_apart",
        "test_gives_a_request_to_one_of_many",
        "test_forgets_what_is_released",
        "test_takes_over_nothing_else",
    }


class TestTakesAnEmptyCallerForTheWriter(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            return super().claim(replaced(key, caller=key.caller or "writer"), at=at)

    breaks: ClassVar[set[str]] = {"test_tells_requests_apart"}


class TestReadsKeysInCapitals(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            return super().claim(replaced(key, key=key.key.lower()), at=at)

    breaks: ClassVar[set[str]] = {"test_tells_requests_apart"}


class TestDoesNotLookAtWhatIsAsked(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            return super().claim(replaced(key, fingerprint=""), at=at)

    breaks: ClassVar[set[str]] = {"test_refuses_something_else"}


class TestForgetsWhatWasAskedOnceItIsOver(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            state = super().claim(key, at=at)
            row = self.row(key)
            if isinstance(state, KeyConflict) and row is not None and row.answer:
                return KeyAnswered(msgspec.json.decode(row.answer, type=StoredAnswer))
            return state

    breaks: ClassVar[set[str]] = {"test_refuses_something_else"}


# Faults of claims.


class TestLooksBeforeItTakes(Staged):
    class Made(Keys):
        crowd = Rendezvous()

        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            is_new = self.row(key) is None
            self.crowd.wait()
            state = super().claim(key, at=at)
            return KeyClaimed() if is_new and state == KeyInProgress() else state

    breaks: ClassVar[set[str]] = {"test_gives_a_request_to_one_of_many"}


class TestGivesItselfWhatItHas(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            state = super().claim(key, at=at)
            row = self.row(key)
            is_mine = row and row.owner == self._process_lock.acquire()
            return KeyClaimed() if is_mine and state == KeyInProgress() else state

    breaks: ClassVar[set[str]] = {
        "test_gives_a_request_to_one_of_many",
        "test_gives_nobody_what_is_worked_on",
        "test_is_taken_over_by_one_of_many",
        "test_takes_over_nothing_else",
    }


class TestTakesEachProcessForAlive(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            state = super().claim(key, at=at)
            row = self.row(key)
            has_owner = row is not None and row.owner is not None
            is_interrupted = isinstance(state, KeyInterrupted)
            return KeyInProgress() if has_owner and is_interrupted else state

    breaks: ClassVar[set[str]] = {
        "test_is_interrupted_when_its_process_dies",
        "test_says_which_calls_nobody_works_on",
    }


class TestKnowsOnlyItsOwn(Staged):
    is_shared = False
    breaks: ClassVar[set[str]] = {
        "test_gives_a_request_to_one_of_many",
        "test_gives_nobody_what_is_worked_on",
        "test_says_the_same_ever_after",
        "test_is_interrupted_when_it_is_left",
        "test_is_interrupted_when_its_process_dies",
        "test_is_taken_over_by_one_of_many",
        "test_says_how_calls_stand",
        "test_says_which_calls_nobody_works_on",
    }


class TestKeepsWhatIsReleased(Staged):
    class Made(Keys):
        def release(self, key: RequestKey) -> None:
            super().abandon(key)

    breaks: ClassVar[set[str]] = {"test_forgets_what_is_released"}


class TestForgetsWhatIsLeft(Staged):
    class Made(Keys):
        def abandon(self, key: RequestKey) -> None:
            super().release(key)

    breaks: ClassVar[set[str]] = {
        "test_refuses_something_else",
        "test_is_interrupted_when_it_is_left",
        "test_says_how_calls_stand",
        "test_is_taken_over_by_one_of_many",
        "test_keeps_the_calls_of_what_is_taken_over",
    }


# Faults of the returned state.


class TestSaysOnlyWhichImages(Staged):
    class Made(Keys):
        def complete(self, key: RequestKey, answer: StoredAnswer) -> None:
            super().complete(key, StoredAnswer(image_ids=answer.image_ids))

    breaks: ClassVar[set[str]] = {
        "test_says_the_same_ever_after",
        "test_takes_over_nothing_else",
    }


class TestSaysItOnce(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            state = super().claim(key, at=at)
            if isinstance(state, KeyAnswered):
                self.release(key)
            return state

    breaks: ClassVar[set[str]] = {"test_says_the_same_ever_after"}


class TestForgetsTheSecondCall(Staged):
    class Made(Keys):
        def record_calls(self, key: RequestKey, calls: Sequence[Call]) -> None:
            super().record_calls(key, calls[:1])

    breaks: ClassVar[set[str]] = {
        "test_is_interrupted_when_it_is_left",
        "test_says_how_calls_stand",
        "test_says_which_calls_nobody_works_on",
    }


class TestTakesThePlannedForSent(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            state = super().claim(key, at=at)
            if not isinstance(state, KeyInterrupted):
                return state
            there = {call.call.id for call in self.journal.list_open()}
            return KeyInterrupted(
                tuple(replaced(call, open=call.id in there) for call in state.calls)
            )

    breaks: ClassVar[set[str]] = {
        "test_says_how_calls_stand",
        "test_says_which_calls_nobody_works_on",
    }


class TestTakesTheOpenForLive(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            state = super().claim(key, at=at)
            if not isinstance(state, KeyInterrupted):
                return state
            return KeyInterrupted(
                tuple(
                    replaced(call, live=call.live or call.open) for call in state.calls
                )
            )

    breaks: ClassVar[set[str]] = {"test_says_which_calls_nobody_works_on"}


class TestDoesNotLookIntoTheLedger(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            state = super().claim(key, at=at)
            if not isinstance(state, KeyInterrupted):
                return state
            return KeyInterrupted(
                tuple(replaced(one, billed=False) for one in state.calls)
            )

    breaks: ClassVar[set[str]] = {
        "test_says_how_calls_stand",
        "test_says_which_calls_nobody_works_on",
    }


# Faults of takeovers.


class TestIsTakenOverByAll(Staged):
    class Made(Keys):
        crowd = Rendezvous()

        def take_over(self, key: RequestKey) -> bool:
            row = self.row(key)
            is_free = row is not None and row.owner is None and row.answer is None
            self.crowd.wait()
            return super().take_over(key) or is_free

    breaks: ClassVar[set[str]] = {"test_is_taken_over_by_one_of_many"}


class TestIsTakenOverWithoutAnOwner(Staged):
    class Made(Keys):
        lock = Lock()

        def take_over(self, key: RequestKey) -> bool:
            with self.lock:
                taken = super().take_over(key)
                if taken:
                    self.abandon(key)
                return taken

    breaks: ClassVar[set[str]] = {"test_is_taken_over_by_one_of_many"}


class TestForgetsTheCallsOfWhatItTakesOver(Staged):
    class Made(Keys):
        def take_over(self, key: RequestKey) -> bool:
            taken = super().take_over(key)
            self.set(key, "calls", "[]")
            return taken

    breaks: ClassVar[set[str]] = {"test_keeps_the_calls_of_what_is_taken_over"}


class TestTakesOverWhatIsAnswered(Staged):
    class Made(Keys):
        def take_over(self, key: RequestKey) -> bool:
            row = self.row(key)
            if row is None or row.answer is None:
                return super().take_over(key)
            self.set(key, "answer", None)
            return True

    breaks: ClassVar[set[str]] = {"test_takes_over_nothing_else"}


# Faults of error handling.


class TestLetsAnotherErrorOut(Staged):
    error = OSError("No space left on device")
    breaks: ClassVar[set[str]] = {"test_says_that_it_is_broken"}


class TestRaisesAnErrorCode(Staged):
    error = JournalError("SQLITE_FULL")
    breaks: ClassVar[set[str]] = {"test_says_that_it_is_broken"}
