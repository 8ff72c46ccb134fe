"""The public contracts fail broken implementations, and pass the example to copy."""

from pathlib import Path

import pytest
from tests.contract.broken import check_broken, run_contracts

from imagen.testing import HttpBackendContract

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "imagen-chalk"


@pytest.mark.timeout(1200)  # long enough for all tests of all implementations by night
@pytest.mark.parametrize("suite", ["backends", "ledgers", "storages"])
def test_broken_implementations_fail(suite: str, tmp_path: Path) -> None:
    check_broken(HERE / f"broken_{suite}.py", tmp_path)


WITHOUT_LISTS = {
    "test_finds_no_jobs_from_before",
    "test_finds_no_other_jobs",
    "test_finds_the_jobs_that_it_took",
    "test_keeps_what_it_says_of_a_model",
    "test_looks_a_model_up_at_no_cost",
    "test_looks_a_model_up_once",
    "test_refuses_to_look_up_what_there_is_not",
    "test_reports_why_a_lookup_failed",
    "test_says_the_same_of_a_model_every_time",
    "test_searches_at_no_cost",
    "test_stops_looking_up_when_cancelled",
    "test_stops_searching_when_cancelled",
}
"""The promises of a vendor that lists its jobs or its models; Chalk has neither."""

WITHOUT_INPUTS_AND_BATCHES = {
    "test_returns_all_outputs",
    "test_sends_the_reference_images",
}


def test_the_example_keeps_every_promise(tmp_path: Path) -> None:
    promises = {name for name in dir(HttpBackendContract) if name.startswith("test_")}
    lacking = WITHOUT_LISTS | WITHOUT_INPUTS_AND_BATCHES

    outcomes = run_contracts(EXAMPLE, tmp_path)

    assert outcomes.passed["TestChalk"] == promises - lacking
    assert outcomes.failed["TestChalk"] == set()
    assert len(lacking) <= 0.15 * len(promises)
