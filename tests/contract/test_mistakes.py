"""The changes that make a correct backend a broken one."""

from pathlib import Path

import pytest
from tests.contract.mistakes import read_mistakes

CHANGES = """\
# Adds one too many
! test_adds
~ They add: test_sums
~ It adds: test_counts
-    return a + b
+    return a + b + 1
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "adder.py"
    file.write_text("def add(a, b):\n    return a + b\n")
    return file


def read(folder: Path, changes: str) -> Path:
    file = folder / "adder.diff"
    file.write_text(changes)
    return file


def test_a_mistake_changes_the_source(source: Path) -> None:
    (mistake,) = read_mistakes(read(source.parent, CHANGES))

    assert mistake.identifier == "AddsOneTooMany"
    assert mistake.detected_by == "test_adds"
    assert mistake.fails == {"test_adds", "test_sums", "test_counts"}
    assert mistake.load(source).add(1, 1) == 3


@pytest.mark.parametrize("text", ["", "    return a + b\n    return a + b\n"])
def test_text_that_does_not_occur_once_is_an_error(source: Path, text: str) -> None:
    source.write_text(f"def add(a, b):\n    pass\n{text}")
    (mistake,) = read_mistakes(read(source.parent, CHANGES))

    with pytest.raises(ValueError, match=r"adder.py, 'Adds one too many': .* occurs"):
        mistake.load(source)


def test_a_replacement_without_the_replaced_text_is_an_error(source: Path) -> None:
    with pytest.raises(ValueError, match="expected lines with - and then with"):
        read_mistakes(read(source.parent, "# Nothing\n! test_adds\n+ a\n- b\n"))
