"""Correct request keys and faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_the_contracts.py` runs it and compares.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar

import msgspec
import pytest
from tests.contract_internal.contracts.requests import RequestKeysContract
from tests.contract_internal.fakes.requests import MemoryRequestKeys
from tests.contract_internal.fakes.stores import MemoryJournal

from imagen.domain.call import Call
from imagen.domain.errors import JournalError
from imagen.domain.idempotency import (
    KeyAnswered,
    KeyClaimed,
    KeyInProgress,
    KeyInterrupted,
    KeyState,
    RequestKey,
    StoredAnswer,
)

replaced = msgspec.structs.replace


class Keys(MemoryRequestKeys):
    """Correct request keys."""


class Lost(Keys):
    """Request keys that can be neither read nor written."""

    error: Exception = JournalError("The keys are lost.")

    def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
        raise self.error

    def take_over(self, key: RequestKey) -> bool:
        raise self.error

    def record_calls(self, key: RequestKey, calls: Sequence[Call]) -> None:
        raise self.error

    def complete(self, key: RequestKey, answer: StoredAnswer) -> None:
        raise self.error

    def abandon(self, key: RequestKey) -> None:
        raise self.error

    def release(self, key: RequestKey) -> None:
        raise self.error


class Staged(RequestKeysContract):
    Made: ClassVar[type[Keys]] = Keys
    Broken: ClassVar[type[Keys]] = Lost
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def keys(self) -> Keys:
        return self.Made()

    @pytest.fixture
    def journal(self, keys: Keys) -> MemoryJournal:
        return keys.journal

    @pytest.fixture
    def another(self, keys: Keys) -> Keys:
        return keys.another()

    @pytest.fixture
    def end(self, keys: Keys) -> Callable[[], None]:
        return keys.journal.close

    @pytest.fixture
    def broken_keys(self) -> Keys:
        return self.Broken()


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


# Faults of the identity of a request.


class TestGivesEverythingToEverybody(Staged):
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
        "test_forgets_the_calls_of_what_is_taken_over",
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


class TestTakesNobodyForTheWriter(Staged):
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
            there = self._requests.get((key.caller, key.key))
            if there is not None and there.answer is not None:
                return KeyAnswered(there.answer)
            return super().claim(key, at=at)

    breaks: ClassVar[set[str]] = {"test_refuses_something_else"}


# Faults of claims.


class TestLooksBeforeItTakes(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            new = (key.caller, key.key) not in self._requests
            time.sleep(0.1)
            state = super().claim(key, at=at)
            return KeyClaimed() if new and state == KeyInProgress() else state

    breaks: ClassVar[set[str]] = {"test_gives_a_request_to_one_of_many"}


class TestGivesItselfWhatItHas(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            there = self._requests.get((key.caller, key.key))
            state = super().claim(key, at=at)
            mine = there is not None and there.owner is self.journal
            return KeyClaimed() if mine and state == KeyInProgress() else state

    breaks: ClassVar[set[str]] = {
        "test_gives_a_request_to_one_of_many",
        "test_gives_nobody_what_is_worked_on",
        "test_takes_over_nothing_else",
    }


class TestThinksThatNobodyDies(Staged):
    class Made(Keys):
        def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
            state = super().claim(key, at=at)
            owner = self._requests[key.caller, key.key].owner
            dead = owner is not None and not owner.alive
            return (
                KeyInProgress() if dead and isinstance(state, KeyInterrupted) else state
            )

    breaks: ClassVar[set[str]] = {
        "test_is_interrupted_when_its_process_dies",
        "test_says_which_calls_nobody_works_on",
    }


class TestKnowsOnlyItsOwn(Staged):
    class Made(Keys):
        def another(self) -> "TestKnowsOnlyItsOwn.Made":
            return type(self)()

    breaks: ClassVar[set[str]] = {
        "test_gives_a_request_to_one_of_many",
        "test_gives_nobody_what_is_worked_on",
        "test_says_the_same_ever_after",
        "test_is_interrupted_when_it_is_left",
        "test_is_interrupted_when_its_process_dies",
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

        def complete(self, key: RequestKey, answer: StoredAnswer) -> None:
            if (key.caller, key.key) in self._requests:
                super().complete(key, answer)

    breaks: ClassVar[set[str]] = {
        "test_refuses_something_else",
        "test_is_interrupted_when_it_is_left",
        "test_says_how_calls_stand",
        "test_is_taken_over_by_one_of_many",
        "test_forgets_the_calls_of_what_is_taken_over",
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
        def take_over(self, key: RequestKey) -> bool:
            there = self._requests.get((key.caller, key.key))
            free = there is not None and there.owner is None and there.answer is None
            time.sleep(0.1)
            return super().take_over(key) or free

    breaks: ClassVar[set[str]] = {"test_is_taken_over_by_one_of_many"}


class TestIsTakenOverInNobodysName(Staged):
    class Made(Keys):
        def take_over(self, key: RequestKey) -> bool:
            taken = super().take_over(key)
            if taken:
                self.abandon(key)
            return taken

    breaks: ClassVar[set[str]] = {"test_is_taken_over_by_one_of_many"}


class TestKeepsTheCallsOfWhatItTakesOver(Staged):
    class Made(Keys):
        def take_over(self, key: RequestKey) -> bool:
            there = self._requests.get((key.caller, key.key))
            calls = () if there is None else there.calls
            taken = super().take_over(key)
            if there is not None:
                there.calls = calls
            return taken

    breaks: ClassVar[set[str]] = {"test_forgets_the_calls_of_what_is_taken_over"}


class TestTakesOverWhatIsAnswered(Staged):
    class Made(Keys):
        def take_over(self, key: RequestKey) -> bool:
            there = self._requests.get((key.caller, key.key))
            if there is None or there.answer is None:
                return super().take_over(key)
            there.answer = None
            return True

    breaks: ClassVar[set[str]] = {"test_takes_over_nothing_else"}


# Faults of error handling.


class TestLetsAnotherErrorOut(Staged):
    class Broken(Lost):
        error = OSError("No space left on device")

    breaks: ClassVar[set[str]] = {"test_says_that_it_is_broken"}


class TestSaysNoSentence(Staged):
    class Broken(Lost):
        error = JournalError("SQLITE_FULL")

    breaks: ClassVar[set[str]] = {"test_says_that_it_is_broken"}
