"""Run contracts against deliberately broken implementations, inside this process.

A file `broken_*.py` has correct implementations and broken ones. The set `breaks` of a
broken one names the tests that it must fail, and `lacks` of a correct one those that it
skips, because its vendor has no such ability (`lacks.py`).
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from threading import Barrier, current_thread, main_thread

import pytest
from tests.contract.lacks import list_skipped
from tests.nightly import NIGHTLY

from imagen.testing.contracts.observation import CROWD

# Plugins that these runs do not need. The timeout is that of the test that runs them.
LEAN = [
    *(
        f"-pno:{name}"
        for name in ("cacheprovider", "faulthandler", "hypothesispytest", "logging")
    ),
    *("-pno:junitxml", "-pno:xdist", "-otimeout=0", "--assert=plain", "--tb=no"),
]


def check_broken(file: Path, folder: Path, *, part: int = 0, parts: int = 1) -> None:
    """Check that each implementation of the file fails the tests that it names.

    By day a broken one is run if it fails a test that none before it fails: these tests
    and two others (if `detected_by` names one, this test and another, by preference of
    its `quick`). By night all run all tests. The correct ones run all tests, those that
    are `by_night` only then; each test is passed by one of them, and failed by a broken
    one.

    Args:
        file: The file.
        folder: A folder for temporary files.
        part: The part of the implementations that is run.
        parts: The number of parts.
    """
    outcomes = run_contracts(file, folder, part=part, parts=parts)
    broken = {
        name: breaks
        for name, made in outcomes.classes.items()
        if (breaks := getattr(made, "breaks", None))
    }
    lacks = {
        name: list_skipped(made)
        for name, made in outcomes.classes.items()
        if name not in broken
    }

    wrong = {
        name: f"passes {expected - failed}, fails {failed - expected}"
        for name, selected in outcomes.selected.items()
        if (failed := outcomes.failed[name])
        != (expected := broken.get(name, set()) & selected)
    }
    assert wrong == {}, wrong
    skips = {
        name: (skipped, lacks[name])
        for name in outcomes.selected.keys() - broken.keys()
        if (skipped := outcomes.skipped[name] - outcomes.passed[name]) != lacks[name]
    }
    assert skips == {}, skips
    every = set().union(*map(promises, outcomes.classes.values()))
    unproved = set.intersection(*lacks.values())
    assert unproved == set(), unproved
    unbroken = every - set().union(*broken.values())
    assert unbroken == set(), unbroken


def run_contracts(
    tests: Path, folder: Path, *, part: int = 0, parts: int = 1
) -> "Outcomes":
    """Run the tests of a file or folder.

    Args:
        tests: The file or folder.
        folder: A folder for temporary files.
        part: The part of the classes that is run.
        parts: The number of parts.
    """
    outcomes = Outcomes(part, parts)
    with pytest.MonkeyPatch.context() as patch:
        # There pytest compares values in full, which would take minutes for two images.
        patch.setenv("CI", "true")
        status = pytest.main(
            ["-qq", "-s", "-rN", f"--basetemp={folder / 'nested'}", *LEAN, str(tests)],
            plugins=[outcomes],
        )
    assert status in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    assert outcomes.errors == [], outcomes.errors
    return outcomes


class Outcomes:
    """A plugin that collects which tests of which classes failed, and runs few by day.

    Attributes:
        classes: The classes with tests, by name.
        selected: The names of the tests that each class of this part runs.
        failed: The names of the failed tests of each class.
        skipped: The names of the skipped tests of each class.
        passed: The names of the tests of each class of which every case passed.
        errors: The tests that failed before or after their call.
    """

    def __init__(self, part: int, parts: int) -> None:
        self.classes: dict[str, type] = {}
        self.selected: dict[str, set[str]] = {}
        self.failed: dict[str, set[str]] = defaultdict(set)
        self.skipped: dict[str, set[str]] = defaultdict(set)
        self.passed: dict[str, set[str]] = defaultdict(set)
        self.errors: list[str] = []
        self._part, self._parts = part, parts
        self._chosen: set[str] = set()
        self._broken: set[str] = set()

    def pytest_pycollect_makeitem(
        self, collector: object, name: str, obj: object
    ) -> Sequence[pytest.Item] | None:
        """Leave out by day most of the tests that a broken implementation passes."""
        if not isinstance(collector, pytest.Class) or not name.startswith("test_"):
            return None
        made = collector.obj
        if collector.name not in self.classes:
            selected = promises(made) if NIGHTLY else self._select_by_day(made)
            if selected and len(self._chosen) % self._parts == self._part:
                self.selected[collector.name] = selected
            if selected:
                self._chosen.add(collector.name)
            self.classes[collector.name] = made
        return None if name in self.selected.get(collector.name, ()) else []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip by day the other cases of a test that has failed."""
        owner, test = _names(item.nodeid)
        if not NIGHTLY and test in self.failed[owner]:
            pytest.skip("another case has failed")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of a case."""
        owner, test = _names(report.nodeid)
        if report.failed and report.when != "call":
            self.errors.append(report.nodeid)
        elif report.failed:
            self.failed[owner].add(test)
            self.passed[owner].discard(test)
        elif report.skipped:
            self.skipped[owner].add(test)
        elif report.when == "call" and test not in self.failed[owner]:
            self.passed[owner].add(test)

    def _select_by_day(self, made: type) -> set[str]:
        breaks = getattr(made, "breaks", set[str]())
        if not breaks:
            return set() if getattr(made, "by_night", False) else promises(made)
        detected_by = getattr(made, "detected_by", "")
        fails = {detected_by} if detected_by else set[str](breaks)
        if fails <= self._broken:
            return set()
        self._broken |= fails
        # Others that it passes: one that fails everything, say by a typing error, would
        # seem to be caught by the tests that it breaks.
        others = [
            name
            for name in [*getattr(made, "quick", ()), *sorted(promises(made))]
            if name not in breaks
            and not hasattr(getattr(made, name), "pytestmark")  # has one case
        ]
        return fails | {*others[:1], *(others[-1:] if not detected_by else ())}


class Rendezvous:
    """Makes the threads of `run_at_once` wait for each other, and no other thread.

    With it a race is lost every time, however busy the machine is.
    """

    def __init__(self) -> None:
        self._barrier = Barrier(CROWD, timeout=60)

    def wait(self) -> None:
        """Return when all threads of the crowd have arrived."""
        if current_thread() is not main_thread():
            self._barrier.wait()


def promises(made: type) -> set[str]:
    """Return the names of the tests of a class."""
    return {name for name in dir(made) if name.startswith("test_")}


def _names(node: str) -> tuple[str, str]:
    *_, owner, test = node.partition("[")[0].split("::")
    return owner, test
