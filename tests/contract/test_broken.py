"""The public contracts fail broken implementations, and pass the example to copy."""

from pathlib import Path

import pytest
from tests.contract.broken import check_broken, run_contracts

from imagen.testing import BackendContract
from imagen.testing.contracts.backend_lookup import LookupContract

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "imagen-chalk"


@pytest.mark.timeout(1200)  # long enough for all tests of all implementations by night
@pytest.mark.parametrize("suite", ["backends", "ledgers", "storages"])
def test_broken_implementations_fail(suite: str, tmp_path: Path) -> None:
    check_broken(HERE / f"broken_{suite}.py", tmp_path)


def test_the_example_keeps_every_promise(tmp_path: Path) -> None:
    promises = {name for name in dir(BackendContract) if name.startswith("test_")}
    beyond = {name for name in dir(LookupContract) if name.startswith("test_")}
    beyond |= {"test_prepares_without_network"}  # the example has no `prepare`

    outcomes = run_contracts(EXAMPLE, tmp_path)

    assert outcomes.passed["TestChalkBackend"] == promises - beyond
    assert outcomes.failed["TestChalkBackend"] == set()
