"""The contract of `SqliteJoinableRequests`."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.contract_internal.samples import sample_call

from imagen.adapters.database.idempotency import SqliteRequestKeys
from imagen.adapters.database.joining import SqliteJoinableRequests
from imagen.domain.call import CallSending
from imagen.domain.errors import JournalError
from imagen.domain.idempotency import (
    UNKEYED_REQUESTS,
    KeyAnswered,
    KeyClaimed,
    KeyInterrupted,
    RecordedCall,
    RequestKey,
    StoredAnswer,
)
from imagen.domain.joining import Joinable
from imagen.ports.journal import Journal
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, run_at_once
from imagen.testing.samples import MONDAY, sample_id

MINUTE = timedelta(minutes=1)
KEY = RequestKey(caller=f"{UNKEYED_REQUESTS}writer", key="1", fingerprint="ab" * 32)
LATER = RequestKey(caller=KEY.caller, key="2", fingerprint=KEY.fingerprint)
OTHERS = (
    RequestKey(caller=f"{UNKEYED_REQUESTS}reader", key="3", fingerprint="ab" * 32),
    RequestKey(caller=KEY.caller, key="4", fingerprint="cd" * 32),
)
"""Requests of another caller, and for another image."""
IMAGES = StoredAnswer(image_ids=(sample_id(1),))
REFUSAL = StoredAnswer(status=429, problem="{}")


class JoinableRequestsContract(Contract):
    """The tests that every `SqliteJoinableRequests` must pass.

    Override all fixtures.
    """

    @pytest.fixture
    def joinable(self) -> SqliteJoinableRequests:
        """An implementation without requests."""
        raise NotImplementedError("Override the fixture `joinable`.")

    @pytest.fixture
    def keys(self) -> SqliteRequestKeys:
        """The keys of the same requests."""
        raise NotImplementedError("Override the fixture `keys`.")

    @pytest.fixture
    def journal(self) -> Journal:
        """The journal of the same process."""
        raise NotImplementedError("Override the fixture `journal`.")

    @pytest.fixture
    def another(self) -> SqliteJoinableRequests:
        """A second instance on the same requests, as in another process."""
        raise NotImplementedError("Override the fixture `another`.")

    @pytest.fixture
    def end(self) -> Callable[[], None]:
        """A function that makes the process of `joinable` look dead to others."""
        raise NotImplementedError("Override the fixture `end`.")

    @pytest.fixture
    def broken(self) -> SqliteJoinableRequests:
        """An implementation that can be neither read nor written."""
        raise NotImplementedError("Override the fixture `broken`.")

    def test_finds_equal_requests_of_the_caller(
        self, joinable: SqliteJoinableRequests, another: SqliteJoinableRequests
    ) -> None:
        """All requests with the caller and the fingerprint, the oldest first."""
        joinable.record(LATER, [], at=MONDAY + MINUTE, retries=1)
        for key in (KEY, *OTHERS):
            joinable.record(key, [], at=MONDAY, retries=None)

        assert _find(another) == (
            Joinable(id="1", created_at=MONDAY, connection="open"),
            Joinable(id="2", created_at=MONDAY + MINUTE, connection="open", retries=1),
        )

    def test_records_the_calls(
        self,
        joinable: SqliteJoinableRequests,
        another: SqliteJoinableRequests,
        keys: SqliteRequestKeys,
    ) -> None:
        """The calls are those of the request; the state of the connection stays."""
        joinable.save(KEY, at=MONDAY, retries=None, connection="lost")
        joinable.record(KEY, [sample_call()], at=MONDAY, retries=None)
        keys.abandon(KEY)

        call = sample_call()
        recorded = RecordedCall(id=call.id, image_ids=call.image_ids)
        assert keys.claim(KEY, at=MONDAY) == KeyInterrupted((recorded,))
        assert [each.connection for each in _find(another)] == ["lost"]

    def test_loses_a_connection_with_its_process(
        self,
        joinable: SqliteJoinableRequests,
        another: SqliteJoinableRequests,
        end: Callable[[], None],
    ) -> None:
        """An open connection of a process that has ended is lost."""
        joinable.record(KEY, [], at=MONDAY, retries=None)
        end()

        assert [each.connection for each in _find(another)] == ["lost"]

    def test_saves_what_is_given(
        self,
        joinable: SqliteJoinableRequests,
        another: SqliteJoinableRequests,
        keys: SqliteRequestKeys,
    ) -> None:
        """What is not given stays as it is."""
        joinable.record(KEY, [sample_call()], at=MONDAY, retries=None)
        joinable.save(
            KEY, at=MONDAY, retries=None, ended_at=MONDAY + MINUTE, answer=IMAGES
        )
        states = [each.connection for each in _find(another)]
        joinable.save(KEY, at=MONDAY, retries=None, connection="answered")
        states += [each.connection for each in _find(another)]

        assert states == ["open", "answered"]
        assert keys.claim(KEY, at=MONDAY) == KeyAnswered(IMAGES)

    def test_changes_only_a_known_request_without_its_time(
        self, joinable: SqliteJoinableRequests
    ) -> None:
        """Without its time an unknown request is not recorded."""
        joinable.save(KEY, at=MONDAY, retries=None, connection="lost")
        for key in (KEY, LATER):
            joinable.save(key, at=None, retries=2, connection="answered")

        [found] = _find(joinable)
        assert (found.id, found.connection, found.retries) == ("1", "answered", 2)

    def test_leaves_out_what_ended_long_ago(
        self, joinable: SqliteJoinableRequests
    ) -> None:
        """A request that ended before `since` is not found."""
        joinable.save(KEY, at=MONDAY, retries=None, ended_at=MONDAY, answer=IMAGES)

        assert joinable.find(LATER, since=MONDAY)
        assert not joinable.find(LATER, since=MONDAY + MINUTE)

    def test_knows_what_was_refused(self, joinable: SqliteJoinableRequests) -> None:
        """A request whose answer is 429 or 503 was refused."""
        joinable.save(KEY, at=MONDAY, retries=None, ended_at=MONDAY, answer=REFUSAL)
        joinable.save(LATER, at=MONDAY, retries=None, ended_at=MONDAY, answer=IMAGES)

        assert [each.refused for each in _find(joinable)] == [True, False]

    def test_gives_a_connection_to_one_of_many(
        self, joinable: SqliteJoinableRequests, another: SqliteJoinableRequests
    ) -> None:
        """Of several concurrent attempts exactly one succeeds."""
        joinable.save(KEY, at=MONDAY, retries=None, connection="lost")
        instances = [joinable, another] * (CROWD // 2)
        [seen] = _find(joinable)

        taken = Counter(
            run_at_once(lambda n: instances[n].connect(KEY, seen, retries=1))
        )

        assert taken == {True: 1, False: CROWD - 1}
        [found] = _find(another)
        assert (found.connection, found.retries) == ("open", 1)

    def test_gives_no_connection_of_a_request_that_is_gone(
        self, joinable: SqliteJoinableRequests, keys: SqliteRequestKeys
    ) -> None:
        """A request that was forgotten meanwhile cannot be joined."""
        joinable.save(KEY, at=MONDAY, retries=None, connection="lost")
        [seen] = _find(joinable)
        keys.release(KEY)

        assert not joinable.connect(KEY, seen, retries=None)

    def test_forgets_what_ended_long_ago(
        self, joinable: SqliteJoinableRequests, keys: SqliteRequestKeys
    ) -> None:
        """Only requests that ended longer ago are deleted, and never those of keys."""
        keyed = RequestKey(caller="writer", key="1", fingerprint="ab" * 32)
        keys.claim(keyed, at=MONDAY)
        keys.complete(keyed, IMAGES)
        joinable.save(KEY, at=MONDAY, retries=None, ended_at=MONDAY, answer=IMAGES)
        joinable.save(
            LATER, at=MONDAY, retries=None, ended_at=MONDAY + MINUTE, answer=IMAGES
        )
        joinable.expire(now=MONDAY + 2 * MINUTE, after=MINUTE)

        assert [each.id for each in _find(joinable)] == ["2"]
        assert keys.claim(keyed, at=MONDAY) == KeyAnswered(IMAGES)
        assert keys.claim(KEY, at=MONDAY) == KeyClaimed()

    def test_ends_what_a_dead_process_left_and_forgets_it_later(
        self,
        joinable: SqliteJoinableRequests,
        another: SqliteJoinableRequests,
        end: Callable[[], None],
    ) -> None:
        """The request of a dead process ends when that is noticed."""
        joinable.record(KEY, [sample_call()], at=MONDAY, retries=None)
        end()
        counts = []
        for minutes in (5, 6, 7):
            another.expire(now=MONDAY + minutes * MINUTE, after=MINUTE)
            counts.append(len(_find(another)))

        assert counts == [1, 1, 0]

    def test_keeps_what_has_an_open_call(
        self,
        joinable: SqliteJoinableRequests,
        journal: Journal,
        another: SqliteJoinableRequests,
        end: Callable[[], None],
    ) -> None:
        """A request whose call is open at the backend is kept for a day."""
        call = sample_call()
        joinable.record(KEY, [call], at=MONDAY, retries=None)
        journal.begin([call])
        journal.record(call.id, CallSending())
        end()
        counts = []
        for minutes in (5, 60, 60 * 25):
            another.expire(now=MONDAY + minutes * MINUTE, after=MINUTE)
            counts.append(len(_find(another)))

        assert counts == [1, 1, 0]

    @pytest.mark.parametrize("method", ["find", "record", "save", "connect", "expire"])
    def test_says_that_it_is_broken(
        self, broken: SqliteJoinableRequests, method: str
    ) -> None:
        """What cannot be read or written raises JournalError."""
        seen = Joinable(id="1", created_at=MONDAY, connection="lost")
        calls: dict[str, Callable[[], object]] = {
            "find": lambda: _find(broken),
            "record": lambda: broken.record(KEY, [], at=MONDAY, retries=None),
            "save": lambda: broken.save(KEY, at=MONDAY, retries=None),
            "connect": lambda: broken.connect(KEY, seen, retries=None),
            "expire": lambda: broken.expire(now=MONDAY, after=MINUTE),
        }

        with pytest.raises(JournalError):
            calls[method]()


def _find(joinable: SqliteJoinableRequests) -> tuple[Joinable, ...]:
    return joinable.find(KEY, since=MONDAY - MINUTE)
