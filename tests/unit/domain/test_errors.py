import inspect

from imagen.domain import errors
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    InvalidRequest,
    NameTaken,
    SomeImagesFailed,
    StorageError,
    Throttled,
    TimedOut,
    Unavailable,
    Unfinished,
)

FAMILY = [
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, ImagenError)
]


def test_each_class_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in FAMILY if "code" in vars(kind)]

    assert len(set(codes)) == len(codes) == len(FAMILY)


def test_says_its_message_and_its_hint() -> None:
    for kind in FAMILY:
        error = kind("It is broken.", hint="Mend it.")

        said = (error.message, str(error), error.hint)
        assert said == ("It is broken.", "It is broken.", "Mend it."), kind


def test_a_wrong_request_is_a_value_error() -> None:
    wrong = [kind for kind in FAMILY if issubclass(kind, ValueError)]

    assert {kind.code for kind in wrong} == {"invalid_request", "usage", "unsupported"}
    assert issubclass(InvalidRequest, ValueError)


def test_only_what_cost_nothing_is_asked_again() -> None:
    again = {kind for kind in FAMILY if kind.retryable}

    assert again == {Unavailable, Throttled}
    assert not any(kind.may_have_cost for kind in again)


def test_what_may_have_cost_money_says_so() -> None:
    costly = {kind for kind in FAMILY if kind.may_have_cost}

    assert costly >= {BackendError, Unfinished, StorageError, NameTaken, Cancelled}
    assert TimedOut not in costly


def test_throttled_knows_how_long_to_wait() -> None:
    assert Throttled("Slowly.", retry_after=5).retry_after == 5
    assert Throttled("Slowly.").retry_after is None


def test_some_images_failed_has_both_kinds() -> None:
    error = SomeImagesFailed("Two failed.", images=["one"], errors=[Cancelled("No.")])

    assert error.images == ("one",)
    assert [each.code for each in error.errors] == ["cancelled"]
