"""The contract of `SqliteRequestKeys`."""

from collections import Counter
from collections.abc import Callable

import pytest
from tests.contract_internal.samples import PROMPT, sample_call

from imagen.adapters.database.idempotency import SqliteRequestKeys
from imagen.domain.call import CallClosed, CallSending
from imagen.domain.errors import JournalError
from imagen.domain.idempotency import (
    LONGEST_KEY,
    KeyAnswered,
    KeyClaimed,
    KeyConflict,
    KeyInProgress,
    KeyInterrupted,
    KeyState,
    RecordedCall,
    RequestKey,
    StoredAnswer,
)
from imagen.ports.journal import Journal
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, run_at_once
from imagen.testing.samples import MONDAY, sample_id, sample_row

KEY = RequestKey(caller="writer", key="header-1", fingerprint="ab" * 32)
# A database whose collation ignores case or trailing spaces would mix these up.
OTHERS = (
    RequestKey(caller="reader", key="header-1", fingerprint="ab" * 32),
    RequestKey(caller="", key="header-1", fingerprint="ab" * 32),
    RequestKey(caller="writer", key="HEADER-1", fingerprint="ab" * 32),
    RequestKey(caller="writer", key="header-1 ", fingerprint="ab" * 32),
    RequestKey(caller="writer", key=f"{PROMPT}\0", fingerprint="ab" * 32),
    RequestKey(caller="writer", key=PROMPT, fingerprint="ab" * 32),
    RequestKey(caller="writer", key="h" * LONGEST_KEY, fingerprint="ab" * 32),
)
"""Requests that differ from `KEY` and from each other in the caller or the key."""
CONFLICTING = RequestKey(caller="writer", key="header-1", fingerprint="cd" * 32)
"""The key of `KEY` with another fingerprint."""

IMAGES = StoredAnswer(
    image_ids=(sample_id(1), sample_id(2)), warnings=("seed 0", PROMPT)
)
REFUSAL = StoredAnswer(status=400, problem='{"message":"Nö."}')


class RequestKeysContract(Contract):
    """The tests that every `SqliteRequestKeys` must pass.

    Override `keys` and `journal`, and `another`, `end` and `broken_keys` as far as
    possible.
    """

    @pytest.fixture
    def keys(self) -> SqliteRequestKeys:
        """An implementation without recorded requests."""
        raise NotImplementedError("Override the fixture `keys`.")

    @pytest.fixture
    def journal(self) -> Journal:
        """The journal of the same process, with the calls of `keys`."""
        raise NotImplementedError("Override the fixture `journal`.")

    @pytest.fixture
    def another(self) -> SqliteRequestKeys:
        """A second instance on the same requests, as in another process."""
        pytest.skip("the fixture `another` is not provided")

    @pytest.fixture
    def end(self) -> Callable[[], None]:
        """A function that makes the process of `keys` look dead to others."""
        pytest.skip("the fixture `end` is not provided")

    @pytest.fixture
    def broken_keys(self) -> SqliteRequestKeys:
        """An implementation that can be neither read nor written."""
        pytest.skip("the fixture `broken_keys` is not provided")

    def test_takes_what_is_new(self, keys: SqliteRequestKeys) -> None:
        """A new key is claimed."""
        assert _claim(keys) == KeyClaimed()

    @pytest.mark.parametrize("other", OTHERS, ids=range(len(OTHERS)))
    def test_tells_requests_apart(
        self, keys: SqliteRequestKeys, other: RequestKey
    ) -> None:
        """A request is identified by the caller and the exact key."""
        # Clients choose keys independently, so two callers may choose the same one.
        for each in (KEY, *OTHERS):
            if each != other:
                _claim(keys, each)

        assert _claim(keys, other) == KeyClaimed()

    def test_gives_a_request_to_one_of_many(
        self, keys: SqliteRequestKeys, another: SqliteRequestKeys
    ) -> None:
        """Of simultaneous claims one succeeds; the others see "in progress"."""
        instances = [keys, another] * (CROWD // 2)

        states = Counter(map(repr, run_at_once(lambda n: _claim(instances[n]))))

        assert states == {repr(KeyClaimed()): 1, repr(KeyInProgress()): CROWD - 1}

    def test_gives_nobody_what_is_worked_on(
        self, keys: SqliteRequestKeys, another: SqliteRequestKeys
    ) -> None:
        """A claimed key is in progress for every process."""
        # Also not the process itself: a client may retry while its first request runs.
        _claim(keys)
        keys.record_calls(KEY, [sample_call()])

        assert _claim(keys) == KeyInProgress()
        assert _claim(another) == KeyInProgress()

    def test_refuses_something_else(self, keys: SqliteRequestKeys) -> None:
        """A key with another fingerprint is a conflict in every state."""
        # Answering with the result of another request would be worse than an error.
        _claim(keys)
        states = [_claim(keys, CONFLICTING)]
        keys.abandon(KEY)
        states.append(_claim(keys, CONFLICTING))
        keys.complete(KEY, IMAGES)
        states.append(_claim(keys, CONFLICTING))

        assert states == [KeyConflict()] * 3

    @pytest.mark.parametrize("answer", [IMAGES, REFUSAL], ids=["images", "refusal"])
    def test_says_the_same_ever_after(
        self,
        keys: SqliteRequestKeys,
        another: SqliteRequestKeys,
        end: Callable[[], None],
        answer: StoredAnswer,
    ) -> None:
        """A completed request returns the same answer to every process."""
        # A client repeats a request because it did not receive the first answer.
        _claim(keys)
        keys.record_calls(KEY, [sample_call()])
        keys.complete(KEY, answer)
        ours = _claim(keys)
        end()

        assert [ours, _claim(another), _claim(another)] == [KeyAnswered(answer)] * 3

    def test_forgets_what_is_released(
        self, keys: SqliteRequestKeys, another: SqliteRequestKeys
    ) -> None:
        """A released key can be claimed again, also with another fingerprint."""
        _claim(keys)
        keys.release(KEY)

        assert _claim(another, CONFLICTING) == KeyClaimed()

    def test_is_interrupted_when_it_is_left(
        self, keys: SqliteRequestKeys, another: SqliteRequestKeys
    ) -> None:
        """An abandoned request is interrupted and returns its calls."""
        _claim(keys)
        keys.record_calls(KEY, [sample_call(1), sample_call(2)])
        keys.abandon(KEY)

        interrupted = KeyInterrupted((_recorded(1), _recorded(2)))
        assert [_claim(keys), _claim(another)] == [interrupted] * 2

    def test_is_interrupted_when_its_process_dies(
        self,
        keys: SqliteRequestKeys,
        another: SqliteRequestKeys,
        end: Callable[[], None],
    ) -> None:
        """The request of a dead process is interrupted."""
        _claim(keys)
        keys.record_calls(KEY, [sample_call()])
        end()

        assert _claim(another) == KeyInterrupted((_recorded(1),))

    def test_says_how_calls_stand(
        self, keys: SqliteRequestKeys, journal: Journal, another: SqliteRequestKeys
    ) -> None:
        """A call is open if sent, live if owned, billed if in the ledger."""
        _record_four_calls(keys, journal)
        keys.abandon(KEY)

        assert _claim(another) == KeyInterrupted(
            (
                _recorded(1),
                _recorded(2, live=True),
                _recorded(3, live=True, open=True),
                _recorded(4, billed=True),
            )
        )

    def test_says_which_calls_nobody_works_on(
        self,
        keys: SqliteRequestKeys,
        journal: Journal,
        another: SqliteRequestKeys,
        end: Callable[[], None],
    ) -> None:
        """A call that a dead process had sent is open, but not live."""
        _record_four_calls(keys, journal)
        end()

        assert _claim(another) == KeyInterrupted(
            (
                _recorded(1),
                _recorded(2),
                _recorded(3, open=True),
                _recorded(4, billed=True),
            )
        )

    def test_is_taken_over_by_one_of_many(
        self, keys: SqliteRequestKeys, another: SqliteRequestKeys
    ) -> None:
        """Of simultaneous takeovers one succeeds."""
        _claim(keys)
        keys.abandon(KEY)
        instances = [keys, another] * (CROWD // 2)

        taken = Counter(map(str, run_at_once(lambda n: instances[n].take_over(KEY))))

        assert taken == {"True": 1, "False": CROWD - 1}
        assert [_claim(keys), _claim(another)] == [KeyInProgress()] * 2

    def test_keeps_the_calls_of_what_is_taken_over(
        self, keys: SqliteRequestKeys
    ) -> None:
        """A takeover changes only the process that works on the request."""
        _claim(keys)
        keys.record_calls(KEY, [sample_call()])
        keys.abandon(KEY)
        keys.take_over(KEY)
        keys.abandon(KEY)

        assert _claim(keys) == KeyInterrupted((_recorded(1),))

    def test_takes_over_nothing_else(
        self, keys: SqliteRequestKeys, another: SqliteRequestKeys
    ) -> None:
        """A new, live or completed request cannot be taken over."""
        taken = [another.take_over(KEY)]
        states = [_claim(keys)]
        taken.append(another.take_over(KEY))
        states.append(_claim(keys))
        keys.complete(KEY, IMAGES)
        taken.append(another.take_over(KEY))
        states.append(_claim(keys))

        assert taken == [False] * 3
        assert states == [KeyClaimed(), KeyInProgress(), KeyAnswered(IMAGES)]

    @pytest.mark.parametrize(
        "method",
        ["claim", "take_over", "record_calls", "complete", "abandon", "release"],
    )
    def test_says_that_it_is_broken(
        self, broken_keys: SqliteRequestKeys, method: str
    ) -> None:
        """Keys that cannot be read or written raise JournalError."""
        calls: dict[str, Callable[[], object]] = {
            "claim": lambda: _claim(broken_keys),
            "take_over": lambda: broken_keys.take_over(KEY),
            "record_calls": lambda: broken_keys.record_calls(KEY, [sample_call()]),
            "complete": lambda: broken_keys.complete(KEY, IMAGES),
            "abandon": lambda: broken_keys.abandon(KEY),
            "release": lambda: broken_keys.release(KEY),
        }

        with pytest.raises(JournalError) as failed:
            calls[method]()

        assert failed.value.message.endswith(".")


def _claim(keys: SqliteRequestKeys, key: RequestKey = KEY) -> KeyState:
    return keys.claim(key, at=MONDAY)


def _recorded(number: int, **flags: bool) -> RecordedCall:
    call = sample_call(number)
    return RecordedCall(
        id=call.id,
        image_ids=call.image_ids,
        call=call,
        images=1 if flags.get("billed") else 0,
        **flags,
    )


def _record_four_calls(keys: SqliteRequestKeys, journal: Journal) -> None:
    """Record four calls: one not begun, one planned, one sent and one closed."""
    calls = [sample_call(number) for number in range(1, 5)]
    _claim(keys)
    keys.record_calls(KEY, calls)
    journal.begin(calls[1:])
    journal.record(calls[2].id, CallSending())
    journal.record(calls[3].id, CallSending())
    journal.record(calls[3].id, CallClosed(usage=sample_row(4)))
