"""The public contracts fail broken implementations, and pass correct ones."""

from pathlib import Path

import pytest
from tests.contract.broken import check_broken
from tests.nightly import NIGHTLY

HERE = Path(__file__).parent
PARTS = 24 if NIGHTLY else 2  # of the broken backends, which mostly wait


@pytest.mark.timeout(1200)  # long enough for all tests of all implementations by night
@pytest.mark.parametrize("suite", ["ledgers", "storages"])
def test_broken_implementations_fail(suite: str, tmp_path: Path) -> None:
    check_broken(HERE / f"broken_{suite}.py", tmp_path)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
def test_broken_backends_fail(part: int, tmp_path: Path) -> None:
    check_broken(HERE / "broken_backends.py", tmp_path, part=part, parts=PARTS)
