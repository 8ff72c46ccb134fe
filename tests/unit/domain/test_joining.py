"""Which earlier request a repetition joins."""

from datetime import timedelta

import pytest

from imagen.domain.joining import ConnectionState, Joinable, find_joinable
from imagen.testing.samples import MONDAY


def earlier(
    number: int,
    connection: ConnectionState = "lost",
    *,
    retries: int | None = None,
    sent: bool = True,
    refused: bool = False,
) -> Joinable:
    return Joinable(
        id=str(number),
        created_at=MONDAY + timedelta(seconds=number),
        connection=connection,
        retries=retries,
        sent=sent,
        refused=refused,
    )


def joined(retries: int | None, *requests: Joinable) -> str | None:
    found = find_joinable(requests, retries)
    return None if found is None else found.id


@pytest.mark.parametrize("retries", [None, 0, 1])
def test_any_request_joins_the_oldest_without_a_connection(retries: int | None) -> None:
    requests = earlier(3), earlier(2), earlier(1, "answered"), earlier(0, "open")

    assert joined(retries, *requests) == "2"


@pytest.mark.parametrize("connection", ["open", "answered"])
def test_only_a_stated_retry_joins_a_request_that_looks_connected_or_was_answered(
    connection: ConnectionState,
) -> None:
    found = [joined(retries, earlier(1, connection)) for retries in (None, 0, 1, 2)]

    assert found == [None, None, "1", "1"]


def test_the_retries_of_two_genuine_requests_join_one_each() -> None:
    first, second = earlier(1, "open", retries=0), earlier(2, "open", retries=0)
    after = earlier(1, "open", retries=1)

    assert joined(1, first, second) == "1"
    assert joined(1, after, second) == "2"
    assert joined(2, after, earlier(2, "open", retries=1)) == "1"
    assert joined(1, after, earlier(2, "open", retries=1)) is None


def test_what_was_sent_comes_before_what_waits() -> None:
    assert joined(None, earlier(1, sent=False), earlier(2)) == "2"
    assert joined(None, earlier(1, sent=False)) == "1"


def test_an_open_connection_comes_before_an_old_answer() -> None:
    assert joined(1, earlier(1, "answered"), earlier(2, "open")) == "2"


def test_a_refused_request_is_matched_first() -> None:
    refused = earlier(2, "answered", refused=True)

    assert joined(None, earlier(1), refused) == "2"
    assert joined(1, earlier(1, "answered"), refused) == "2"


@pytest.mark.parametrize(
    ("before", "retries", "matches"),
    [
        *((None, None, True), (None, 1, True), (0, 1, True), (1, 2, True)),
        *((0, 0, False), (1, 1, False), (0, None, False), (None, 0, False)),
    ],
)
def test_a_first_attempt_is_no_repetition_of_a_refused_one(
    before: int | None, retries: int | None, matches: bool
) -> None:
    refused = earlier(1, "answered", retries=before, refused=True)

    assert (joined(retries, refused) is not None) == matches
