"""What all contracts share: nobody leaves one silently."""

from collections.abc import Iterator
from inspect import getattr_static
from typing import cast

import pytest

_SWITCHES_OFF = {"skip", "skipif", "xfail"}
_HIDES_THE_CLASS = ("__init__", "__new__")


class _ContractMeta(type):
    """Refuses classes, and later changes to them, that would drop a promise."""

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]
    ) -> None:
        super().__init__(name, bases, namespace)
        if cls.states_promises():
            return
        for promise, promised in _promises(cls).items():
            _refuse_borrowed_marks(cls, promise, promised)
            _check_promise(cls, promise, getattr_static(cls, promise), promised)
        for setting in ("__test__", "pytestmark"):
            _check_setting(cls, setting, getattr(cls, setting, None))
        for method in _HIDES_THE_CLASS:
            if getattr_static(cls, method) is not getattr_static(object, method):
                raise TypeError(
                    f"{name}.{method} keeps pytest from running the contract; "
                    "prepare what you need in a fixture."
                )

    def states_promises(cls) -> bool:
        """Whether it is a contract itself, rather than one who has to keep it."""
        return cls.__bases__ == (object,) or Contract in cls.__bases__

    def __setattr__(cls, name: str, value: object) -> None:
        if cls.states_promises() and name.startswith("test_"):
            raise TypeError(f"{cls.__name__}.{name} is a promise; it stays as it is.")
        if name in _promises(cls):
            _check_promise(cls, name, value, _promises(cls)[name])
        _check_setting(cls, name, value)
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        if cls.states_promises() and name.startswith("test_"):
            raise TypeError(f"{cls.__name__}.{name} is a promise; it stays.")
        super().__delattr__(name)


class Contract(metaclass=_ContractMeta):
    """A set of tests that every implementation of one port must pass.

    An implementer overrides fixtures and may add tests. A promise that cannot be kept
    is overridden with `@pytest.mark.xfail(reason=..., strict=True)`; one that is
    deleted, replaced, hidden or skipped makes the class an error.
    """


def _promises(cls: type) -> dict[str, object]:
    return {
        name: value
        for base in cls.__mro__
        if isinstance(base, _ContractMeta) and base.states_promises()
        for name, value in vars(base).items()
        if name.startswith("test_")
    }


def _check_promise(cls: type, name: str, test: object, promised: object) -> None:
    if test is promised or _is_given_up(test):
        return
    raise TypeError(
        f"{cls.__name__}.{name} takes the place of a promise of the contract. If it "
        "cannot be kept, say so: override it with @pytest.mark.xfail(reason=..., "
        "strict=True) and call the one that it overrides."
    )


def _is_given_up(test: object) -> bool:
    marks = {mark.name: mark.kwargs for mark in _marks(test)}
    honest = marks.get("xfail", {})
    return (
        callable(test)
        and bool(honest.get("reason"))
        and honest.get("strict") is True
        and honest.get("run", True) is True
        and not {"skip", "skipif"} & marks.keys()
        and getattr(test, "__test__", True) is not False
    )


def _check_setting(cls: type, name: str, value: object) -> None:
    if name == "__test__" and value is False:
        raise TypeError(f"{cls.__name__}.__test__ = False leaves the whole contract.")
    if name == "pytestmark" and value is not None:
        off = {mark.name for mark in _unpacked(value)} & _SWITCHES_OFF
        if off:
            raise TypeError(
                f"{cls.__name__} is marked {', '.join(sorted(off))}, which leaves the "
                "whole contract; give up one promise at a time, with a reason."
            )


def _refuse_borrowed_marks(cls: type, name: str, promised: object) -> None:
    """Undo a mark that was put on the contract's own test, for everybody."""
    if not {mark.name for mark in _marks(promised)} & _SWITCHES_OFF:
        return
    own = [mark for mark in _marks(promised) if mark.name not in _SWITCHES_OFF]
    vars(promised)["pytestmark"] = own
    raise TypeError(
        f"{cls.__name__}.{name} marks the contract's own test, for every adapter; "
        "mark a method of your own that calls it."
    )


def _marks(test: object) -> list[pytest.Mark]:
    return list(_unpacked(getattr(test, "pytestmark", ())))


def _unpacked(marks: object) -> Iterator[pytest.Mark]:
    """Yield what pytest takes for marks: one or a list, each bare or a decorator."""
    if isinstance(marks, pytest.MarkDecorator):
        yield marks.mark
    elif isinstance(marks, pytest.Mark):
        yield marks
    elif isinstance(marks, (list, tuple)):
        for mark in cast("list[object]", marks):  # its type says nothing of its items
            yield from _unpacked(mark)
