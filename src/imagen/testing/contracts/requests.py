"""The promises that all `RequestKeys` keep."""

from collections import Counter
from collections.abc import Callable

import pytest

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
from imagen.ports.idempotency import RequestKeys
from imagen.ports.journal import Journal
from imagen.testing.concurrency import CROWD, run_at_once
from imagen.testing.contracts.base import Contract
from imagen.testing.samples import MONDAY, PROMPT, sample_call, sample_id, sample_row

KEY = RequestKey(caller="writer", key="header-1", fingerprint="ab" * 32)
"""A request."""
OTHERS = (
    RequestKey(caller="reader", key="header-1", fingerprint="ab" * 32),
    RequestKey(caller="", key="header-1", fingerprint="ab" * 32),
    RequestKey(caller="writer", key="HEADER-1", fingerprint="ab" * 32),
    RequestKey(caller="writer", key="header-1 ", fingerprint="ab" * 32),
    RequestKey(caller="writer", key=f"{PROMPT}\0", fingerprint="ab" * 32),
    RequestKey(caller="writer", key=PROMPT, fingerprint="ab" * 32),
    RequestKey(caller="writer", key="h" * LONGEST_KEY, fingerprint="ab" * 32),
)
"""Requests that are not that one, nor each other."""
SOMETHING_ELSE = RequestKey(caller="writer", key="header-1", fingerprint="cd" * 32)
"""Under the same key."""

IMAGES = StoredAnswer(
    image_ids=(sample_id(1), sample_id(2)), warnings=("seed 0", PROMPT)
)
REFUSAL = StoredAnswer(status=400, problem='{"message":"Nö."}')


class RequestKeysContract(Contract):
    """Override `keys` and `journal`; and `another`, `end` and `broken_keys`."""

    @pytest.fixture
    def keys(self) -> RequestKeys:
        """Keys under which nothing was asked for."""
        raise NotImplementedError("Override the fixture `keys` to return yours.")

    @pytest.fixture
    def journal(self) -> Journal:
        """The journal, of the same process, with the calls of `keys`."""
        raise NotImplementedError("Override the fixture `journal` to return yours.")

    @pytest.fixture
    def another(self) -> RequestKeys:
        """A second instance over the same requests, as another process would have."""
        pytest.skip("there is no `another` over the same requests")

    @pytest.fixture
    def end(self) -> Callable[[], None]:
        """A way to end the process of `keys`, as far as others can tell."""
        pytest.skip("there is no way to `end` a process")

    @pytest.fixture
    def broken_keys(self) -> RequestKeys:
        """Keys that can be neither read nor written."""
        pytest.skip("no `broken_keys` are staged")

    def test_takes_what_is_new(self, keys: RequestKeys) -> None:
        """A request under a key that nobody used is in one's hands."""
        assert _take(keys) == KeyClaimed()

    @pytest.mark.parametrize("other", OTHERS, ids=range(len(OTHERS)))
    def test_tells_requests_apart(self, keys: RequestKeys, other: RequestKey) -> None:
        """Another caller's request, or one under another key, is another one."""
        for each in (KEY, *OTHERS):
            if each != other:
                _take(keys, each)

        assert _take(keys, other) == KeyClaimed()

    def test_gives_a_request_to_one_of_many(
        self, keys: RequestKeys, another: RequestKeys
    ) -> None:
        """Of many who ask the same at once one gets it, and the others hear of that."""
        them = [keys, another] * (CROWD // 2)

        heard = Counter(map(repr, run_at_once(lambda n: _take(them[n]))))

        assert heard == {repr(KeyClaimed()): 1, repr(KeyInProgress()): CROWD - 1}

    def test_gives_nobody_what_is_worked_on(
        self, keys: RequestKeys, another: RequestKeys
    ) -> None:
        """What a process works on, not even it itself gets."""
        _take(keys)
        keys.record_calls(KEY, [sample_call()])

        assert _take(keys) == KeyInProgress()
        assert _take(another) == KeyInProgress()

    def test_refuses_something_else(self, keys: RequestKeys) -> None:
        """Under one key one thing can be asked for, whatever has become of it."""
        _take(keys)
        heard = [_take(keys, SOMETHING_ELSE)]
        keys.abandon(KEY)
        heard.append(_take(keys, SOMETHING_ELSE))
        keys.complete(KEY, IMAGES)
        heard.append(_take(keys, SOMETHING_ELSE))

        assert heard == [KeyConflict()] * 3

    @pytest.mark.parametrize("answer", [IMAGES, REFUSAL], ids=["images", "refusal"])
    def test_says_the_same_ever_after(
        self,
        keys: RequestKeys,
        another: RequestKeys,
        end: Callable[[], None],
        answer: StoredAnswer,
    ) -> None:
        """What was answered is answered again, to the letter, by whomever."""
        _take(keys)
        keys.record_calls(KEY, [sample_call()])
        keys.complete(KEY, answer)
        ours = _take(keys)
        end()

        assert [ours, _take(another), _take(another)] == [KeyAnswered(answer)] * 3

    def test_forgets_what_is_released(
        self, keys: RequestKeys, another: RequestKeys
    ) -> None:
        """What is released may be asked again, and be something else."""
        _take(keys)
        keys.release(KEY)

        assert _take(another, SOMETHING_ELSE) == KeyClaimed()

    def test_is_interrupted_when_it_is_left(
        self, keys: RequestKeys, another: RequestKeys
    ) -> None:
        """What was left is in nobody's hands, with all calls that were begun for it."""
        _take(keys)
        keys.record_calls(KEY, [sample_call(1), sample_call(2)])
        keys.abandon(KEY)

        interrupted = KeyInterrupted((_kept(1), _kept(2)))
        assert [_take(keys), _take(another)] == [interrupted] * 2

    def test_is_interrupted_when_its_process_dies(
        self, keys: RequestKeys, another: RequestKeys, end: Callable[[], None]
    ) -> None:
        """What a process had in hand when it died is in nobody's."""
        _take(keys)
        keys.record_calls(KEY, [sample_call()])
        end()

        assert _take(another) == KeyInterrupted((_kept(1),))

    def test_says_how_calls_stand(
        self, keys: RequestKeys, journal: Journal, another: RequestKeys
    ) -> None:
        """A call is open if sent and not closed, live in hand, billed in the ledger."""
        _begin_four(keys, journal)
        keys.abandon(KEY)

        assert _take(another) == KeyInterrupted(
            (
                _kept(1),
                _kept(2, live=True),
                _kept(3, live=True, open=True),
                _kept(4, billed=True),
            )
        )

    def test_says_which_calls_nobody_works_on(
        self,
        keys: RequestKeys,
        journal: Journal,
        another: RequestKeys,
        end: Callable[[], None],
    ) -> None:
        """What a process had sent when it died is open, and not live."""
        _begin_four(keys, journal)
        end()

        assert _take(another) == KeyInterrupted(
            (_kept(1), _kept(2), _kept(3, open=True), _kept(4, billed=True))
        )

    def test_is_taken_over_by_one_of_many(
        self, keys: RequestKeys, another: RequestKeys
    ) -> None:
        """Of many who take over what was interrupted one gets it, and keeps it."""
        _take(keys)
        keys.abandon(KEY)
        them = [keys, another] * (CROWD // 2)

        taken = Counter(map(str, run_at_once(lambda n: them[n].take_over(KEY))))

        assert taken == {"True": 1, "False": CROWD - 1}
        assert _take(keys) == KeyInProgress()

    def test_forgets_the_calls_of_what_is_taken_over(self, keys: RequestKeys) -> None:
        """Nothing was made of what is taken over, so it has no calls."""
        _take(keys)
        keys.record_calls(KEY, [sample_call()])
        keys.abandon(KEY)
        keys.take_over(KEY)
        keys.abandon(KEY)

        assert _take(keys) == KeyInterrupted(())

    def test_takes_over_nothing_else(
        self, keys: RequestKeys, another: RequestKeys
    ) -> None:
        """What is new, in hand or answered is not taken over, and stays as it is."""
        taken = [another.take_over(KEY)]
        heard = [_take(keys)]
        taken.append(another.take_over(KEY))
        heard.append(_take(keys))
        keys.complete(KEY, IMAGES)
        taken.append(another.take_over(KEY))
        heard.append(_take(keys))

        assert taken == [False] * 3
        assert heard == [KeyClaimed(), KeyInProgress(), KeyAnswered(IMAGES)]

    @pytest.mark.parametrize(
        "what", ["claim", "take_over", "record_calls", "complete", "abandon", "release"]
    )
    def test_says_that_it_is_broken(self, broken_keys: RequestKeys, what: str) -> None:
        """What cannot be read or written is a JournalError, with a sentence."""
        doing: dict[str, Callable[[], object]] = {
            "claim": lambda: _take(broken_keys),
            "take_over": lambda: broken_keys.take_over(KEY),
            "record_calls": lambda: broken_keys.record_calls(KEY, [sample_call()]),
            "complete": lambda: broken_keys.complete(KEY, IMAGES),
            "abandon": lambda: broken_keys.abandon(KEY),
            "release": lambda: broken_keys.release(KEY),
        }

        with pytest.raises(JournalError) as failed:
            doing[what]()

        assert failed.value.message.endswith(".")


def _take(keys: RequestKeys, key: RequestKey = KEY) -> KeyState:
    return keys.claim(key, at=MONDAY)


def _kept(number: int, **how: bool) -> RecordedCall:
    call = sample_call(number)
    return RecordedCall(id=call.id, image_ids=call.image_ids, **how)


def _begin_four(keys: RequestKeys, journal: Journal) -> None:
    """Leave one only announced, one planned, one sent, and one closed."""
    calls = [sample_call(number) for number in range(1, 5)]
    _take(keys)
    keys.record_calls(KEY, calls)
    journal.begin(calls[1:])
    journal.record(calls[2].id, CallSending())
    journal.record(calls[3].id, CallSending())
    journal.record(calls[3].id, CallClosed(usage=sample_row(4)))
