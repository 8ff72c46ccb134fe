"""The contracts of internal ports fail broken implementations."""

from pathlib import Path

import pytest
from tests.contract.broken import check_broken

FILES = sorted(Path(__file__).parent.glob("broken_*.py"))


@pytest.mark.timeout(1200)  # long enough for all tests of all implementations by night
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_broken_implementations_fail(file: Path, tmp_path: Path) -> None:
    check_broken(file, tmp_path)
