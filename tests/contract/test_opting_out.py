"""A test of a contract cannot be dropped silently."""

import pytest

from imagen.testing import Contract, MemoryStorage, StorageContract

PROMISE = "test_leaves_what_has_the_name"


class Promising(Contract):
    def test_is_kind(self) -> None:
        """The greeting is kind."""


class Mixin:
    test_is_kind = None


def test_a_promise_cannot_be_replaced() -> None:
    with pytest.raises(TypeError, match="replaces a test of the contract"):

        class Cheat(StorageContract):
            def test_leaves_what_has_the_name(self) -> None: ...


@pytest.mark.parametrize(
    "instead", [None, 1, property(), staticmethod(print), "a test", lambda _: None]
)
def test_a_promise_cannot_be_hidden_by_something_else(instead: object) -> None:
    with pytest.raises(TypeError, match="replaces a test of the contract"):
        type(StorageContract)("Cheat", (StorageContract,), {PROMISE: instead})


def test_a_promise_cannot_be_hidden_by_another_base() -> None:
    with pytest.raises(TypeError, match="replaces a test of the contract"):

        class Cheat(Mixin, Promising): ...


def test_a_promise_cannot_be_replaced_on_the_way() -> None:
    class Between(Promising):
        @pytest.mark.xfail(reason="it is not kind", strict=True)
        def test_is_kind(self) -> None: ...

    with pytest.raises(TypeError, match="replaces a test of the contract"):

        class Cheat(Between):
            def test_is_kind(self) -> None: ...


def test_a_promise_cannot_be_marked_skip() -> None:
    with pytest.raises(TypeError, match="replaces a test of the contract"):

        class Cheat(Promising):
            @pytest.mark.skip(reason="not today")
            def test_is_kind(self) -> None: ...


def test_a_promise_cannot_be_given_up_and_skipped() -> None:
    with pytest.raises(TypeError, match="replaces a test of the contract"):

        class Cheat(Promising):
            @pytest.mark.skipif(True, reason="not today")
            @pytest.mark.xfail(reason="it is not kind", strict=True)
            def test_is_kind(self) -> None: ...


@pytest.mark.parametrize(
    "mark",
    [
        pytest.mark.xfail,
        pytest.mark.xfail(strict=True),
        pytest.mark.xfail(reason="", strict=True),
        pytest.mark.xfail(reason="it may pass, and nobody hears of it"),
        pytest.mark.xfail(reason="it is not run", strict=True, run=False),
        pytest.mark.parametrize("nothing", []),
    ],
)
def test_a_promise_cannot_be_given_up_halfway(mark: pytest.MarkDecorator) -> None:
    with pytest.raises(TypeError, match="replaces a test of the contract"):

        class Cheat(Promising):
            @mark
            def test_is_kind(self) -> None: ...


def test_the_contracts_own_test_cannot_be_marked() -> None:
    with pytest.raises(TypeError, match="affects every implementation"):

        class Cheat(Promising):
            test_is_kind = pytest.mark.skip(reason="not today")(Promising.test_is_kind)

    class Innocent(Promising): ...

    assert Innocent.test_is_kind is Promising.test_is_kind


def test_a_class_cannot_be_marked_skip() -> None:
    with pytest.raises(TypeError, match="disables the whole contract"):

        @pytest.mark.skip(reason="not today")
        class Cheat(Promising): ...


@pytest.mark.parametrize("mark", [pytest.mark.skip, pytest.mark.xfail(reason="no")])
def test_a_class_cannot_be_marked_off_inside(mark: pytest.MarkDecorator) -> None:
    with pytest.raises(TypeError, match="disables the whole contract"):

        class Cheat(Promising):
            pytestmark = (mark,)


def test_a_class_cannot_be_hidden_from_pytest() -> None:
    with pytest.raises(TypeError, match="disables the whole contract"):

        class Cheat(Promising):
            __test__ = False


def test_a_class_cannot_be_hidden_from_pytest_later() -> None:
    class Cheat(Promising): ...

    with pytest.raises(TypeError, match="disables the whole contract"):
        Cheat.__test__ = False


def test_a_class_cannot_be_built_in_a_way_that_pytest_does_not_run() -> None:
    with pytest.raises(TypeError, match="keeps pytest from running"):

        class Cheat(Promising):
            def __init__(self) -> None: ...


def test_a_promise_cannot_be_replaced_later() -> None:
    class Cheat(Promising): ...

    with pytest.raises(TypeError, match="replaces a test of the contract"):
        Cheat.test_is_kind = None


def test_a_promise_cannot_be_taken_out_of_the_contract() -> None:
    with pytest.raises(TypeError, match="cannot be deleted"):
        del Promising.test_is_kind


def test_a_promise_cannot_be_changed_in_the_contract() -> None:
    with pytest.raises(TypeError, match="cannot be changed"):
        Promising.test_is_kind = None


def test_a_promise_can_be_given_up_with_a_reason() -> None:
    class Honest(Promising):
        @pytest.mark.xfail(reason="it is not kind before noon", strict=True)
        def test_is_kind(self) -> None:
            super().test_is_kind()

    class LikeTheOther(Honest):
        test_is_kind = Promising.test_is_kind

    assert LikeTheOther.test_is_kind is Promising.test_is_kind


def test_fixtures_and_further_tests_are_welcome() -> None:
    class Eager(StorageContract):
        pytestmark = pytest.mark.usefixtures("tmp_path")

        @pytest.fixture
        def storage(self) -> MemoryStorage:
            return MemoryStorage()

        def test_is_in_memory(self, storage: MemoryStorage) -> None: ...

    assert Eager.test_is_in_memory
