"""The contract of `Journal`."""

from collections.abc import Callable

import pytest
from tests.contract_internal.contracts.journal_budgets import (
    BudgetsContract,
    budget_limit,
)
from tests.contract_internal.contracts.journal_calls import CallStatesContract
from tests.contract_internal.contracts.journal_claims import ClaimsContract
from tests.contract_internal.samples import sample_call

from imagen.domain.call import CallSending
from imagen.domain.errors import JournalError, ReferenceTaken
from imagen.ports.journal import Journal
from imagen.ports.ledger import Ledger
from imagen.testing.contracts.base import Contract
from imagen.testing.samples import sample_id


class JournalContract(CallStatesContract, ClaimsContract, BudgetsContract, Contract):
    """The tests that every `Journal` must pass.

    Override `journal` and `ledger`, and `another`, `end` and `broken_journal` as far as
    the implementation has them.
    """

    @pytest.fixture
    def journal(self) -> Journal:
        """A journal without calls."""
        raise NotImplementedError("Override the fixture `journal`.")

    @pytest.fixture
    def ledger(self) -> Ledger:
        """The ledger that receives the usage rows of `journal`."""
        raise NotImplementedError("Override the fixture `ledger`.")

    @pytest.fixture
    def another(self) -> Journal:
        """A second instance on the same calls, as in another process."""
        pytest.skip("the fixture `another` is not provided")

    @pytest.fixture
    def end(self) -> Callable[[], None]:
        """A function that makes the process of `journal` look dead to others."""
        pytest.skip("the fixture `end` is not provided")

    @pytest.fixture
    def broken_journal(self) -> Journal:
        """A journal that can be neither read nor written."""
        pytest.skip("the fixture `broken_journal` is not provided")

    @pytest.mark.parametrize(
        "method", ["begin", "committed_micros", "record", "list_open", "claim"]
    )
    def test_says_that_it_is_broken(self, broken_journal: Journal, method: str) -> None:
        """A journal that cannot be read or written raises JournalError."""
        limit = budget_limit(1)
        calls: dict[str, Callable[[], object]] = {
            "begin": lambda: broken_journal.begin([sample_call()]),
            "committed_micros": lambda: broken_journal.committed_micros(limit),
            "record": lambda: broken_journal.record(sample_id(1), CallSending()),
            "list_open": broken_journal.list_open,
            "claim": lambda: broken_journal.claim(sample_id(1)),
        }

        with pytest.raises(JournalError) as failed:
            calls[method]()

        assert not isinstance(failed.value, ReferenceTaken)
        assert failed.value.message.endswith(".")
