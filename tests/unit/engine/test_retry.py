from math import inf, nan

import pytest

from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    Refused,
    Throttled,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.engine.attempt import RetryPolicy


def test_waits_twice_as_long_each_time() -> None:
    policy = RetryPolicy(attempts=5)

    waits = [policy.wait_after(Unavailable("Down."), attempt=n) for n in range(1, 5)]

    assert waits == [0.5, 1, 2, 4]


def test_gives_up_after_the_last_attempt() -> None:
    assert RetryPolicy(attempts=3).wait_after(Unavailable("Down."), attempt=3) is None


def test_waits_no_longer_than_the_longest() -> None:
    policy = RetryPolicy(attempts=5000, longest_wait=30)

    assert policy.wait_after(Unavailable("Down."), attempt=1000) == 30


@pytest.mark.parametrize(
    ("asked", "waited"), [(7, 7), (0, 0), (-3, 0), (120, 120), (inf, inf), (nan, 0)]
)
def test_waits_as_the_backend_wishes(asked: float, waited: float) -> None:
    throttled = Throttled("Slowly.", retry_after=asked)

    assert RetryPolicy().wait_after(throttled, attempt=1) == waited


@pytest.mark.parametrize(
    "failure",
    [
        BackendError("x"),
        Cancelled("x"),
        Refused("x"),
        TimedOut("x"),
        Unauthorized("x"),
        Unfinished("x"),
    ],
)
def test_never_repeats_what_may_have_cost(failure: ImagenError) -> None:
    assert RetryPolicy().wait_after(failure, attempt=1) is None
