"""The base class of all contracts, which refuses to drop a test silently."""

from collections.abc import Iterator
from inspect import getattr_static
from typing import NoReturn, cast

import pytest

from imagen.ports.backend import ImageBackend

_DISABLING_MARKS = {"skip", "skipif", "xfail"}
_GIVE_UP = "override it with @pytest.mark.xfail(reason=..., strict=True)"


class _ContractMeta(type):
    """A metaclass that refuses classes and assignments that would drop a test."""

    # A metaclass instead of __init_subclass__: only a metaclass sees assignments and
    # deletions on a class that exists already, such as `del TestMine.test_x`.
    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]
    ) -> None:
        super().__init__(name, bases, namespace)
        if cls.is_contract():
            return
        for attribute in (*_contract_tests(cls), "__test__", "pytestmark"):
            _check(cls, attribute, getattr_static(cls, attribute, None))
        for method in ("__init__", "__new__"):
            if getattr_static(cls, method) is not getattr_static(object, method):
                raise TypeError(
                    f"{name}.{method} keeps pytest from running the contract. Use a "
                    "fixture to prepare the tests."
                )

    def is_contract(cls) -> bool:
        """Return whether the class is a contract rather than an implementer's test."""
        return cls.__bases__ == (object,) or Contract in cls.__bases__

    def __setattr__(cls, name: str, value: object) -> None:
        cls._keep(name, "changed")
        _check(cls, name, value)
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        cls._keep(name, "deleted")
        super().__delattr__(name)

    def _keep(cls, name: str, participle: str) -> None:
        if cls.is_contract() and name.startswith("test_"):
            raise TypeError(
                f"{cls.__name__}.{name} belongs to the contract and cannot be "
                f"{participle}."
            )


class Contract(metaclass=_ContractMeta):
    """A set of tests that every implementation of a port must pass.

    An implementer overrides fixtures and may add tests. To give up one test, override
    it with `@pytest.mark.xfail(reason=..., strict=True)`. Deleting, replacing, hiding
    or skipping a test raises a TypeError.
    """

    def evidence(self) -> list[str]:
        """Return what was recorded during the test, in lines for a failure."""
        return []


def _contract_tests(cls: type) -> dict[str, object]:
    return {
        name: value
        for base in cls.__mro__
        if isinstance(base, _ContractMeta) and base.is_contract()
        for name, value in vars(base).items()
        if name.startswith("test_")
    }


def _check(cls: type, name: str, value: object) -> None:
    """Raise a TypeError if this attribute of the class would drop a test."""
    path, advice = f"{cls.__name__}.{name}", f"To give up a single test, {_GIVE_UP}."
    if name == "__test__" and value is False:
        raise TypeError(f"{path} = False disables the whole contract. {advice}")
    if name == "pytestmark":
        if marks := {mark.name for mark in _flatten(value)} & _DISABLING_MARKS:
            raise TypeError(
                f"The mark {', '.join(sorted(marks))} on {cls.__name__} disables the "
                f"whole contract. {advice}"
            )
    elif name in (tests := _contract_tests(cls)):
        if value is tests[name]:
            _refuse_borrowed_marks(path, value)
        elif not _is_given_up(value):
            raise TypeError(
                f"{path} replaces a test of the contract. To give up the test, "
                f"{_GIVE_UP} and call super().{name}."
            )


def _is_given_up(test: object) -> bool:
    marks = {mark.name: mark.kwargs for mark in _marks(test)}
    xfail = marks.get("xfail", {})
    # Strict, so that the author notices when the implementation passes the test again.
    return (
        callable(test)
        and bool(xfail.get("reason"))
        and xfail.get("strict") is True
        and xfail.get("run", True) is True
        and not {"skip", "skipif"} & marks.keys()
        and getattr(test, "__test__", True) is not False
    )


def _refuse_borrowed_marks(path: str, test: object) -> None:
    kept = [mark for mark in _marks(test) if mark.name not in _DISABLING_MARKS]
    if len(kept) < len(_marks(test)):
        # `pytest.mark.skip(Contract.test_x)` marks the function of the contract itself,
        # and so every implementation in this process. So the mark is removed.
        vars(test)["pytestmark"] = kept
        raise TypeError(
            f"{path} marks the test of the contract, which affects every "
            "implementation. Define a method that calls the test, and mark the method."
        )


def _marks(test: object) -> list[pytest.Mark]:
    return list(_flatten(getattr(test, "pytestmark", ())))


def _flatten(marks: object) -> Iterator[pytest.Mark]:
    # pytest accepts one mark or a list, each as a mark or as a decorator.
    if isinstance(marks, pytest.MarkDecorator):
        yield marks.mark
    elif isinstance(marks, pytest.Mark):
        yield marks
    elif isinstance(marks, (list, tuple)):
        for mark in cast("list[object]", marks):
            yield from _flatten(mark)


def missing_fixture(
    fixture: str,
    backend: ImageBackend,
    reason: str = "its errors decide whether a retry pays twice or a key leaks. "
    "Override it. If the vendor has no such case, call pytest.skip with the reason.",
) -> NoReturn:
    """Fail the test if the backend may cost money, and skip it otherwise."""
    if backend.capabilities().may_cost:
        pytest.fail(
            f"The fixture `{fixture}` is required, because this backend may cost money "
            f"and {reason}",
            pytrace=False,
        )
    pytest.skip(f"the fixture `{fixture}` is not provided")
