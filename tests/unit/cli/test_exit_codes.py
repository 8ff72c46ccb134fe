from pathlib import Path

import pytest
from tools.docs import MEANINGS, exit_codes_page, family

import imagen.settings.validate  # it has an error of its own  # noqa: F401
from imagen.cli.exit_codes import BY_ERROR, FAILURE, exit_code_for
from imagen.domain import errors

PAGE = Path(__file__).parents[3] / "docs" / "exit-codes.md"


@pytest.mark.parametrize("kind", family(errors.ImagenError)[1:])
def test_every_error_has_its_own_code_and_leads_to_an_exit_code(
    kind: type[errors.ImagenError],
) -> None:
    error = kind(()) if kind.__name__ == "InvalidConfig" else kind("x")  # type: ignore[arg-type]

    assert "code" in vars(kind)
    of_ours = issubclass(kind, (errors.SomeImagesFailed, errors.JournalError))
    assert (exit_code_for(error) == FAILURE) is of_ours
    assert exit_code_for(error) in MEANINGS


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in family(errors.ImagenError)]

    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.Misconfigured("x"), 2),
        (errors.Unsupported("x"), 2),
        (errors.Unavailable("x"), 3),
        (errors.Throttled("x"), 3),
        (errors.Refused("x"), 4),
        (errors.BackendError("x"), 4),
        (errors.Unauthorized("x"), 5),
        (errors.OutOfCredit("x"), 5),
        (errors.OverBudget("x"), 5),
        (errors.StorageError("x"), 6),
        (errors.Unfinished("x"), 7),
        (errors.JournalError("x"), 1),
        (errors.ReferenceTaken("x"), 1),
        (errors.Cancelled("x"), 130),
        (ZeroDivisionError("x"), 1),
        (errors.SomeImagesFailed("x", errors=[errors.Throttled("x")]), 3),
    ],
)
def test_the_table_of_the_specification(error: Exception, code: int) -> None:
    assert exit_code_for(error) == code


def test_what_cost_nothing_for_certain_never_may_have_cost() -> None:
    for kind, code in BY_ERROR.items():
        if code in {2, 3, 5}:
            assert not kind.may_have_cost


def test_only_what_cost_nothing_is_retried() -> None:
    retried = [kind for kind in family(errors.ImagenError) if kind.retryable]

    assert not any(kind.may_have_cost for kind in retried)


def test_the_page_in_the_docs_is_made_from_the_table() -> None:
    assert PAGE.read_text("utf-8") == exit_codes_page()
